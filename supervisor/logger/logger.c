/* SPDX-License-Identifier: MIT */
#include "logger/logger.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "ipc/channel.h"
#include "log/log.h"
#include "logger/compressor.h"
#include "logger/logfile.h"
#include "logger/pump.h"
#include "loop/loop.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LOCK_FILE ".drover-log.lock"
enum { EXPIRY_MIN_MS = 100, EXPIRY_MAX_MS = 3600 * 1000, LOST_AGAIN_MS = 1000 };

struct logger {
	struct loop *loop;
	struct channel *channel; /* NULL once droverd is gone */
	struct pump_tools tools;
	struct pump_place place; /* descriptors are -1 until LOG_DIR */
	struct pump **pumps;
	size_t count, cap;
	struct loop_timer *expiry;
	struct compressor *compressor;
	struct pump *packed; /* whose backup is being compressed; NULL: none */
	struct logfile_packing packing;
	size_t next_packed; /* the logs take turns */
	int64_t max_age_ms;
	int64_t lost_told_ms;
	bool ending; /* by LOG_END */
};

static void on_message(void *arg, struct message *m);
static void on_closed(void *arg, const char *why);
static void on_expiry(void *arg);
static void on_rotated(void *arg);
static void stop_packing(struct logger *logger, struct pump *pump);
static bool on_dir_lost(void *arg);
static void on_line_ended(void *arg, const char *name);

static int open_tools(struct logger *logger)
{
	int rc = pump_tools_init(&logger->tools, logger->loop);
	if (rc < 0)
		return rc;
	logger->tools.rotated = on_rotated;
	logger->tools.dir_lost = on_dir_lost;
	logger->tools.line_ended = on_line_ended;
	logger->tools.arg = logger;
	logger->expiry = loop_timer_new(logger->loop, on_expiry, logger);
	rc = logger->expiry ? compressor_new(&logger->compressor, logger->loop) : -ENOMEM;
	if (rc < 0) {
		loop_timer_free(logger->expiry);
		pump_tools_finish(&logger->tools);
	}
	return rc;
}

int logger_start(struct logger **out, struct loop *loop, int fd, struct err *err)
{
	static const struct channel_ops ops = { .message = on_message, .closed = on_closed };
	struct logger *logger = NEW(struct logger);
	if (!logger) {
		sys_close(fd);
		return err_set(err, -ENOMEM, "start drover-log");
	}
	logger->loop = loop;
	logger->place = (struct pump_place) { .dir = -1, .lock = -1 };
	logger->lost_told_ms = INT64_MIN;
	int rc = open_tools(logger);
	if (rc < 0) {
		sys_close(fd);
		free(logger);
		return err_sys(err, rc, "start drover-log: open pipes");
	}
	rc = channel_new(&logger->channel, loop, fd, TO_LOGGER, &ops, logger);
	if (rc < 0) {
		logger_stop(logger);
		return err_sys(err, rc, "start drover-log: channel");
	}
	*out = logger;
	return 0;
}

static void leave_place(const struct pump_place *place)
{
	if (place->dir != -1)
		sys_close(place->dir);
	if (place->lock != -1)
		sys_close(place->lock);
}

/* --- compression: one backup at a time --- */

static void on_packed(void *arg, bool whole)
{
	struct logger *logger = arg;
	if (logger->packed)
		pump_packed(logger->packed, &logger->packing, whole ? 0 : -EIO);
	logger->packed = NULL;
	on_rotated(logger);
}

/* A log that goes away or elsewhere. */
static void stop_packing(struct logger *logger, struct pump *pump)
{
	if (!pump || logger->packed != pump)
		return;
	compressor_cancel(logger->compressor);
	pump_unpacked(pump, &logger->packing);
	logger->packed = NULL;
}

static void pack_next(void *arg)
{
	struct logger *logger = arg;
	if (compressor_busy(logger->compressor))
		return;
	for (size_t i = 0; i < logger->count; i++) {
		size_t at = (logger->next_packed + i) % logger->count;
		struct pump *pump = logger->pumps[at];
		int rc = pump_pack(pump, &logger->packing);
		if (rc == -ENOENT)
			continue;
		logger->next_packed = at + 1;
		if (rc == 0)
			rc = compressor_start(logger->compressor, logger->packing.from,
				logger->packing.to, on_packed, logger);
		else
			logger->packing.from = logger->packing.to = -1;
		if (rc == 0) {
			logger->packed = pump;
			return;
		}
		pump_packed(pump, &logger->packing, rc);
	}
}

/* Deferred: a pump is in the middle of its work when it says so. */
static void on_rotated(void *arg)
{
	struct logger *logger = arg;
	loop_cancel_deferred(logger->loop, logger);
	loop_defer(logger->loop, pack_next, logger);
}

/* --- age --- */

static void arm_expiry(struct logger *logger)
{
	int64_t age = logger->max_age_ms;
	if (age > 0)
		loop_timer_start(logger->expiry,
			MIN(MAX(age / 10, (int64_t)EXPIRY_MIN_MS), (int64_t)EXPIRY_MAX_MS));
	else
		loop_timer_stop(logger->expiry);
}

static void on_expiry(void *arg)
{
	struct logger *logger = arg;
	for (size_t i = 0; i < logger->count; i++)
		pump_expire(logger->pumps[i]);
	on_rotated(logger);
	arm_expiry(logger);
}

/* --- the directory --- */

/* One telling serves all logs; again only when nothing came of it. */
static bool on_dir_lost(void *arg)
{
	static const struct msg_empty body;
	struct logger *logger = arg;
	int64_t now = loop_now_ms(logger->loop);
	if (!logger->channel)
		return false;
	if (logger->lost_told_ms != INT64_MIN && now - logger->lost_told_ms < LOST_AGAIN_MS)
		return true;
	logger->lost_told_ms = now;
	return channel_send(logger->channel, MSG_LOG_LOST, &body, NULL, 0) == 0;
}

void logger_stop(struct logger *logger)
{
	if (!logger)
		return;
	stop_packing(logger, logger->packed);
	compressor_free(logger->compressor);
	loop_timer_free(logger->expiry);
	loop_cancel_deferred(logger->loop, logger);
	channel_free(logger->channel);
	leave_place(&logger->place);
	logger->place = (struct pump_place) { .dir = -1, .lock = -1 };
	for (size_t i = 0; i < logger->count; i++)
		pump_free(logger->pumps[i]);
	free(logger->pumps);
	pump_tools_finish(&logger->tools);
	free(logger);
}

void logger_drain(struct logger *logger)
{
	for (size_t i = 0; i < logger->count; i++)
		pump_drain(logger->pumps[i]);
	if (logger->ending && logger->channel)
		channel_send(logger->channel, MSG_LOG_DRAINED, &(struct msg_empty) { 0 }, NULL, 0);
}

size_t logger_count(const struct logger *logger)
{
	return logger->count;
}

bool logger_has_parent(const struct logger *logger)
{
	return logger->channel != NULL;
}

/* The index of the log, or count when unknown. */
static size_t find(const struct logger *logger, const char *name)
{
	size_t i = 0;
	while (i < logger->count && !str_eq(pump_name(logger->pumps[i]), name))
		i++;
	return i;
}

static void refuse(const char *what, const char *name, int code)
{
	log_error(MAIN, "log_order_refused", KV_STR("name", name), KV_STR("verb", what),
		KV_STR("reason", strerror(-code)));
}

/* A descriptor of the message that we keep; -1 when there is none. */
static int take_fd(struct message *m)
{
	int fd = m->fd_count > 0 ? m->fds[0] : -1;
	if (fd != -1)
		m->fds[0] = -1;
	return fd;
}

/* Whatever lies there under that name may neither stop nor mislead us. */
static int open_lock(int dir)
{
	int fd = sys_open_beneath(dir, LOCK_FILE, O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY, 0640);
	struct stat st;
	if (fd == -1 || (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)))
		return fd;
	sys_close(fd);
	errno = EINVAL;
	return -1;
}

static void take_dir(struct logger *logger, struct message *m)
{
	struct pump_place old = logger->place, place = { .dir = take_fd(m), .lock = -1 };
	if (place.dir != -1)
		place.lock = open_lock(place.dir);
	if (place.lock == -1) {
		refuse("LOG_DIR", LOCK_FILE, place.dir == -1 ? -EBADF : -errno);
		leave_place(&place);
		return;
	}
	stop_packing(logger, logger->packed);
	logger->place = place;
	logger->lost_told_ms = INT64_MIN;
	/* Pumps give their locks back through the old descriptor, so they move before it is closed.
	 */
	for (size_t i = 0; i < logger->count; i++)
		pump_set_place(logger->pumps[i], &logger->place);
	leave_place(&old);
}

/* Once the FIFOs of all categories are here, our own records go where everybody's go. */
static void open_own_log(struct logger *logger)
{
	int fds[LOG_CATEGORIES];
	for (int c = 0; c < LOG_CATEGORIES; c++) {
		size_t i = 0;
		size_t stem = strlen(log_category_file((enum log_category)c));
		for (; i < logger->count; i++)
			if (str_starts(pump_file(logger->pumps[i]),
				    log_category_file((enum log_category)c)) &&
				str_eq(pump_file(logger->pumps[i]) + stem, ".log"))
				break;
		if (i == logger->count)
			return;
		fds[c] = pump_fifo(logger->pumps[i]);
	}
	log_open("drover-log", fds, LOG_INFO);
}

static void take_log(struct logger *logger, struct message *m)
{
	const struct msg_log_open *body = &m->body.log_open;
	uint64_t max_size = MIN(body->max_size, (uint64_t)INT64_MAX / 4);
	const struct pump_settings settings = {
		.name = body->name,
		.file = body->file,
		.max_size = (int64_t)max_size,
		.max_line = body->max_line,
		.max_age_ms = (int64_t)MIN(body->max_age_ms, (uint64_t)INT64_MAX / 4),
		.backups = body->backups,
		.compress = body->compress != 0,
		.half_line = body->half_line != 0,
	};
	size_t i = find(logger, body->name);
	int fifo = take_fd(m), rc;
	struct pump *pump = NULL;
	logger->max_age_ms = settings.max_age_ms;
	arm_expiry(logger);
	if (i < logger->count)
		stop_packing(logger, logger->pumps[i]);
	if (fifo == -1) {
		rc = i < logger->count ? pump_set(logger->pumps[i], &settings) : -EBADF;
	} else {
		if (i < logger->count)
			pump_drain(logger->pumps[i]);
		rc = mem_grow((void **)&logger->pumps, &logger->cap, logger->count,
			sizeof(struct pump *));
		if (rc == 0 && logger->place.dir == -1)
			rc = -ENOTDIR;
		if (rc == 0 && i < logger->count) {
			pump_free(logger->pumps[i]);
			logger->pumps[i] = logger->pumps[--logger->count];
		}
		if (rc == 0)
			rc = pump_new(&pump, &logger->tools, &logger->place, &settings, fifo);
		else
			sys_close(fifo);
	}
	if (pump)
		logger->pumps[logger->count++] = pump;
	if (rc < 0)
		refuse("LOG_OPEN", body->name, rc);
	on_rotated(logger);
	open_own_log(logger);
}

static void rotate_all(struct logger *logger)
{
	struct msg_log_rotated answer = { 0 };
	for (size_t i = 0; i < logger->count; i++) {
		if (pump_rotate(logger->pumps[i]))
			answer.rotated++;
		else
			answer.later++;
	}
	channel_send(logger->channel, MSG_LOG_ROTATED, &answer, NULL, 0);
}

/* --- the end --- */

struct names {
	char **list; /* sorted */
	void *array;
	size_t count, cap;
	bool all; /* false: it may hold others */
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_name(struct names *names, const char *name)
{
	char *copy = strdup(name);
	if (!copy || mem_grow(&names->array, &names->cap, names->count, sizeof(char *)) < 0) {
		free(copy);
		names->all = false;
		return;
	}
	names->list = names->array;
	names->list[names->count++] = copy;
}

/* Of hundreds of logs most were never written: one look at the directory instead of one at each. */
static void list_directory(struct names *names, int dir)
{
	int copy = sys_openat(dir, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *files = copy == -1 ? NULL : fdopendir(copy);
	names->all = files != NULL;
	if (!files) {
		if (copy != -1)
			sys_close(copy);
		return;
	}
	for (const struct dirent *d; errno = 0, (d = readdir(files));)
		add_name(names, d->d_name);
	names->all = names->all && errno == 0;
	closedir(files);
	if (names->count)
		qsort(names->list, names->count, sizeof(char *), by_text);
}

static bool may_be_there(const struct names *names, const char *file)
{
	return !names->all ||
	       (names->count && bsearch(&file, names->list, names->count, sizeof(char *), by_text));
}

static void free_names(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->list[i]);
	free(names->array);
}

/* Nobody listens any more, so no half line is answered. */
static void end_all(struct logger *logger)
{
	struct names names = { 0 };
	logger->tools.line_ended = NULL;
	list_directory(&names, logger->place.dir);
	for (size_t i = 0; i < logger->count; i++)
		if (pump_is_written(logger->pumps[i]) ||
			may_be_there(&names, pump_file(logger->pumps[i])))
			pump_half_line(logger->pumps[i]);
	free_names(&names);
	logger->ending = true;
	loop_stop(logger->loop);
}

static void on_line_ended(void *arg, const char *name)
{
	struct logger *logger = arg;
	const struct msg_log_name answer = { .name = name };
	if (logger->channel)
		channel_send(logger->channel, MSG_LOG_LINE_ENDED, &answer, NULL, 0);
}

static void on_message(void *arg, struct message *m)
{
	struct logger *logger = arg;
	size_t i;
	switch (m->id) {
	case MSG_LOG_DIR: take_dir(logger, m); return;
	case MSG_LOG_OPEN: take_log(logger, m); return;
	case MSG_LOG_ROTATE: rotate_all(logger); return;
	case MSG_LOG_END: end_all(logger); return;
	default: break;
	}
	i = find(logger, m->body.log_name.name);
	if (i == logger->count) {
		refuse(message_name(m->id), m->body.log_name.name, -ENOENT);
		return;
	}
	if (m->id == MSG_LOG_HALF_LINE) {
		pump_half_line(logger->pumps[i]);
		return;
	}
	stop_packing(logger, logger->pumps[i]);
	pump_drain(logger->pumps[i]);
	pump_free(logger->pumps[i]);
	logger->pumps[i] = logger->pumps[--logger->count];
}

static void on_closed(void *arg, const char *why)
{
	struct logger *logger = arg;
	if (why)
		log_error(MAIN, "channel_broken", KV_STR("reason", why));
	channel_free(logger->channel);
	logger->channel = NULL;
	/* Without a log there is nothing to live for. */
	if (logger->count == 0)
		loop_stop(logger->loop);
}
