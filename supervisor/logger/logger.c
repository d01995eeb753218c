/* SPDX-License-Identifier: MIT */
#include "logger/logger.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "ipc/channel.h"
#include "log/log.h"
#include "logger/logfile.h"
#include "logger/pump.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define LOCK_FILE ".drover-log.lock"

struct logger {
	struct loop *loop;
	struct channel *channel; /* NULL once droverd is gone */
	struct pump_tools tools;
	struct pump_place place; /* descriptors are -1 until LOG_DIR */
	struct pump **pumps;
	size_t count, cap;
};

static void on_message(void *arg, struct message *m);
static void on_closed(void *arg, const char *why);

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
	int rc = pump_tools_init(&logger->tools, loop);
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

void logger_stop(struct logger *logger)
{
	if (!logger)
		return;
	channel_free(logger->channel);
	for (size_t i = 0; i < logger->count; i++)
		pump_free(logger->pumps[i]);
	free(logger->pumps);
	leave_place(&logger->place);
	pump_tools_finish(&logger->tools);
	free(logger);
}

void logger_drain(struct logger *logger)
{
	for (size_t i = 0; i < logger->count; i++)
		pump_drain(logger->pumps[i]);
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

static void take_dir(struct logger *logger, struct message *m)
{
	struct pump_place old = logger->place, place = {
		.dir = take_fd(m), .lock = -1, .max_line = (int64_t)m->body.log_dir.max_line
	};
	if (place.dir != -1)
		place.lock = sys_openat(place.dir, LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW, 0640);
	if (place.lock == -1) {
		refuse("LOG_DIR", LOCK_FILE, place.dir == -1 ? -EBADF : -errno);
		leave_place(&place);
		return;
	}
	logger->place = place;
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
		.backups = body->backups,
	};
	size_t i = find(logger, body->name);
	int fifo = take_fd(m), rc;
	struct pump *pump = NULL;
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
	open_own_log(logger);
}

static void on_message(void *arg, struct message *m)
{
	struct logger *logger = arg;
	size_t i;
	switch (m->id) {
	case MSG_LOG_DIR: take_dir(logger, m); return;
	case MSG_LOG_OPEN: take_log(logger, m); return;
	case MSG_LOG_ROTATE:
		for (i = 0; i < logger->count; i++)
			pump_rotate(logger->pumps[i]);
		return;
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
