/* SPDX-License-Identifier: MIT */
#include "log_room.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "base/sys.h"
#include "config/config.h"
#include "contain.h"
#include "half_line.h"
#include "hand_over.h"
#include "ipc/channel.h"
#include "log_fifo.h"
#include "log_gap.h"
#include "loop/loop.h"
#include "records.h"
#include "reserve.h"
#include "service_manager.h"
#include "spawn.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOGGER_SLOT ":log"
enum {
	NAME_SIZE = 80,
	OLD_LOGGER_MS = 5000, /* an old drover-log may take this long to drain */
	HAND_OVER_MS = 1000,  /* the new one may take this long to take the FIFOs */
	SHORT_LIFE_MS = 1000, /* one that lived shorter is not restarted at once again and again */
	DELAY_MS = 100,
	DELAY_MAX_MS = 5000,
	SETTLE_MS = 250, /* drover-log's answer is not waited for longer */
	RETELL_MS = 20,	 /* how soon it is told again what could not be sent */
	OWN_PIPE = 1024 * 1024,
};

struct log_room {
	struct loop *loop;
	struct log_room_place place;
	int fifo_dir, log_dir, record_fd;
	int aux[2]; /* a pipe to look into FIFOs */
	struct config_logs settings;
	struct log_fifos fifos;
	int categories[LOG_CATEGORIES];
	struct record record;
	/* drover-log */
	struct spawned child; /* pid 0: none */
	struct loop_exit *exit;
	struct channel *channel;
	bool rotate_due;
	struct loop_timer *timer, *retell;
	struct log_gap *gap;
	int64_t started_ms, delay_ms;
	unsigned restarts;
	void (*done)(void *arg);
	void *done_arg;
	bool was_left; /* by the droverd before us, without an end */
	bool killed;   /* at the end, after it had its time */
	bool drained;  /* at the end: all is in the files, and it is about to leave */
	void (*rotated)(void *arg, const struct msg_log_rotated *answer);
	void *rotated_arg;
	void (*settled)(void *arg, const char *name);
	void *settled_arg;
};

static void start_logger(void *arg);
static void tell_rotated(struct log_room *room, const struct msg_log_rotated *answer);
static int open_directory(const char *path, struct err *err);
static void renew_directory(struct log_room *room);
static void on_timer(void *arg);
static void end_logger(struct log_room *room);

/* --- FIFOs --- */

static struct log_fifo *find(const struct log_room *room, const char *name)
{
	return log_fifos_find(&room->fifos, name);
}

/*
 * Opened by name it is the same FIFO that the service manager holds, and that goes on; another one
 * lies there when somebody took ours away. A second description would be kept as well.
 */
static void have_kept(struct log_room *room, const struct log_fifo *f)
{
	struct stat st = { 0 };
	int kept = service_manager_take(room->place.manager, f->name);
	bool same = kept >= 0 && fstat(kept, &st) == 0 && S_ISFIFO(st.st_mode) &&
		    st.st_ino == f->inode;
	if (kept >= 0)
		sys_close(kept);
	if (same)
		return;
	if (kept >= 0)
		service_manager_forget(room->place.manager, f->name);
	service_manager_keep(room->place.manager, f->name, f->fd);
}

/* The name of its file without ".log". */
static const char *stem_of(const char *name)
{
	for (int c = 0; name[0] == ':' && c < LOG_CATEGORIES; c++)
		if (strcmp(name + 1, log_category_name((enum log_category)c)) == 0)
			return log_category_file((enum log_category)c);
	return name;
}

static int send_open(struct log_room *room, const struct log_fifo *f, bool with_fd)
{
	char file[NAME_SIZE + 32];
	snprintf(file, sizeof(file), "%s.log", stem_of(f->name));
	const struct msg_log_open body = { .name = f->name,
		.file = file,
		.max_size = (uint64_t)room->settings.max_size,
		.backups = (uint32_t)room->settings.backups,
		.max_line = (uint32_t)room->settings.max_line,
		.max_age_ms = (uint64_t)room->settings.max_age_ms,
		.compress = room->settings.compress == COMPRESS_ZSTD,
		/* What came since is another's, so the file is looked at first. */
		.half_line = with_fd && f->unsettled && f->in_file };
	return channel_send(room->channel, MSG_LOG_OPEN, &body, &f->fd, with_fd ? 1 : 0);
}

static void send_name(struct log_room *room, enum message_id id, const char *name)
{
	const struct msg_log_name body = { .name = name };
	if (room->channel && find(room, name))
		channel_send(room->channel, id, &body, NULL, 0);
}

/* Of hundreds some wait in the channel's queue, each with a descriptor more; when there is none, it
 * is told again as soon as others are gone. */
static void tell_of(struct log_room *room, struct log_fifo *f)
{
	f->untold = send_open(room, f, true) < 0;
	if (f->untold)
		loop_timer_start(room->retell, RETELL_MS);
	/* The one before may have died over it. */
	else if (f->unsettled && !f->in_file)
		send_name(room, MSG_LOG_HALF_LINE, f->name);
}

static bool any_untold(const struct log_room *room)
{
	LIST_FOR_EACH (node, &room->fifos.list)
		if (LIST_ENTRY(node, struct log_fifo, node)->untold)
			return true;
	return false;
}

static void on_retell(void *arg)
{
	struct log_room *room = arg;
	LIST_FOR_EACH (node, &room->fifos.list) {
		struct log_fifo *f = LIST_ENTRY(node, struct log_fifo, node);
		if (f->untold && room->channel)
			tell_of(room, f);
	}
	if (room->done && room->child.pid > 0)
		end_logger(room);
}

static void send_directory(struct log_room *room)
{
	const struct msg_empty body = { 0 };
	if (room->channel)
		channel_send(room->channel, MSG_LOG_DIR, &body, &room->log_dir, 1);
}

static struct log_fifo *add(struct log_room *room, const char *name, struct err *err)
{
	struct log_fifo *f = log_fifos_add(&room->fifos, room->fifo_dir, name, err);
	if (!f)
		return NULL;
	have_kept(room, f);
	if (room->channel)
		tell_of(room, f);
	return f;
}

int log_room_open(struct log_room *room, const char *name, struct err *err)
{
	if (find(room, name))
		return 0;
	return add(room, name, err) ? 0 : err->code;
}

int log_room_writer(struct log_room *room, const char *name, struct err *err)
{
	int rc = log_room_open(room, name, err);
	return rc < 0 ? rc : log_fifo_open(room->fifo_dir, name, NULL, err);
}

uint64_t log_room_inode(const struct log_room *room, const char *name)
{
	const struct log_fifo *f = find(room, name);
	return f ? f->inode : 0;
}

void log_room_half_line(struct log_room *room, const char *name, bool with_all)
{
	struct log_fifo *f = find(room, name);
	if (!f)
		return;
	/* In the pipe nobody writes behind it any more: LOG_END comes when all of it is read. */
	enum half_line end = with_all ? HALF_LINE_NO_ROOM : half_line_end(f->fd, room->aux);
	f->unsettled = end != HALF_LINE_NONE;
	f->in_file = end == HALF_LINE_IN_FILE;
	f->asked_ms = clock_mono_ms();
	if (f->unsettled && !with_all)
		send_name(room, MSG_LOG_HALF_LINE, name);
}

void log_room_say(struct log_room *room, const char *name, const char *line)
{
	struct err err = { 0 };
	const struct log_fifo *f = log_room_open(room, name, &err) < 0 ? NULL : find(room, name);
	if (f)
		(void)half_line_put(f->fd, room->aux, line, strlen(line));
}

bool log_room_was_left(const struct log_room *room)
{
	return room->was_left;
}

bool log_room_settled(const struct log_room *room, const char *name)
{
	const struct log_fifo *f = find(room, name);
	return !f || !f->unsettled || clock_mono_ms() - f->asked_ms > SETTLE_MS;
}

void log_room_watch(struct log_room *room, void (*settled)(void *arg, const char *name), void *arg)
{
	room->settled = settled;
	room->settled_arg = arg;
}

static void settle(struct log_room *room, const char *name)
{
	struct log_fifo *f = find(room, name);
	if (!f)
		return;
	f->unsettled = false;
	if (room->settled)
		room->settled(room->settled_arg, f->name);
}

void log_room_close(struct log_room *room, const char *name)
{
	struct log_fifo *f = find(room, name);
	if (!f)
		return;
	send_name(room, MSG_LOG_CLOSE, name);
	service_manager_forget(room->place.manager, name);
	sys_unlinkat(room->fifo_dir, name, 0);
	log_fifos_remove(&room->fifos, f);
}

int log_room_give(const struct log_room *room, struct hand_over *h)
{
	int rc = 0;
	LIST_FOR_EACH (node, &room->fifos.list) {
		const struct log_fifo *f = LIST_ENTRY(node, struct log_fifo, node);
		if (rc == 0)
			rc = hand_over_add(h, HAND_OVER_LOG, f->name, f->fd);
	}
	return rc;
}

void log_room_tidy(struct log_room *room, bool (*used)(void *arg, const char *name), void *arg)
{
	LIST_FOR_EACH_SAFE (node, &room->fifos.list) {
		const struct log_fifo *f = LIST_ENTRY(node, struct log_fifo, node);
		char name[NAME_SIZE];
		str_copy(name, sizeof(name), f->name);
		if (name[0] != ':' && !used(arg, name))
			log_room_close(room, name);
	}
}

int log_room_rotate(struct log_room *room,
	void (*rotated)(void *arg, const struct msg_log_rotated *answer), void *arg)
{
	const struct msg_empty body = { 0 };
	renew_directory(room);
	int rc = room->channel ? channel_send(room->channel, MSG_LOG_ROTATE, &body, NULL, 0)
			       : -ENOTCONN;
	/* Who waits for the answer is told; a signal cannot be, so the next drover-log is. */
	room->rotate_due = rc < 0 && (room->rotate_due || !rotated);
	if (rc == 0 && rotated) {
		room->rotated = rotated;
		room->rotated_arg = arg;
	}
	return rc;
}

const int *log_room_categories(const struct log_room *room)
{
	return room->categories;
}

pid_t log_room_pid(const struct log_room *room)
{
	return room->child.pid;
}

/* --- drover-log --- */

static void save_record(struct log_room *room, pid_t pid)
{
	room->record.pid = pid;
	room->record.start_time = pid ? contain_start_time(pid) : 0;
	if (room->record_fd >= 0)
		record_write(room->record_fd, &room->record);
}

static void let_go(struct log_room *room)
{
	loop_exit_free(room->exit);
	channel_free(room->channel);
	room->exit = NULL;
	room->channel = NULL;
	tell_rotated(room, NULL);
	if (room->child.pid > 0) {
		sys_close(room->child.pidfd);
		sys_close(room->child.error_fd);
	}
	room->child = (struct spawned) { 0 };
	contain_set_exempt(room->place.contain, 0);
}

static void ended(struct log_room *room);

static void on_ended(void *arg, const siginfo_t *info)
{
	struct log_room *room = arg;
	bool expected = room->done != NULL;
	if (room->drained)
		return; /* log_room_free() waits for it */
	struct spawn_failure failure;
	bool unstarted = read(room->child.error_fd, &failure, sizeof(failure)) ==
			 (ssize_t)sizeof(failure);
	if (!expected)
		log_error(MAIN, "drover_log_ended", KV_INT("pid", room->child.pid),
			KV_INT("code", info ? info->si_status : -1),
			KV_STR("step", unstarted ? spawn_step_name(failure.step) : "running"),
			KV_INT("errno", unstarted ? failure.error : 0));
	let_go(room);
	room->record.state = expected ? PROCESS_STOPPED : PROCESS_RUNNING;
	save_record(room, 0);
	if (expected) {
		/* Killed by somebody: what lies in the FIFOs goes with us. */
		if (info && info->si_code != CLD_EXITED && !room->killed)
			end_logger(room);
		else
			ended(room);
		return;
	}
	if (clock_mono_ms() - room->started_ms >= SHORT_LIFE_MS)
		room->delay_ms = 0;
	loop_timer_start(room->timer, room->delay_ms);
	room->delay_ms = MIN(MAX(room->delay_ms * 2, (int64_t)DELAY_MS), (int64_t)DELAY_MAX_MS);
}

/*
 * The directory of that name now: another one when somebody removed or renamed ours. Asked only
 * when drover-log misses it and when all logs are reopened.
 */
static void renew_directory(struct log_room *room)
{
	struct err err = { 0 };
	struct stat ours, named;
	int fd = open_directory(room->place.log_dir, &err);
	if (fd < 0) {
		log_error(MAIN, "log_directory_lost", KV_STR("error", err.text));
		return;
	}
	if (fstat(fd, &named) == 0 && fstat(room->log_dir, &ours) == 0 &&
		named.st_ino == ours.st_ino && named.st_dev == ours.st_dev) {
		sys_close(fd);
		return;
	}
	sys_close(room->log_dir);
	room->log_dir = fd;
	log_warn(MAIN, "log_directory_renewed", KV_STR("path", room->place.log_dir));
	send_directory(room);
}

static void tell_rotated(struct log_room *room, const struct msg_log_rotated *answer)
{
	void (*rotated)(void *, const struct msg_log_rotated *) = room->rotated;
	room->rotated = NULL;
	if (rotated)
		rotated(room->rotated_arg, answer);
}

/* What it still has to do for its own end, we have too. */
static void drained(struct log_room *room)
{
	room->drained = true;
	ended(room);
}

static void on_message(void *arg, struct message *m)
{
	struct log_room *room = arg;
	if (m->id == MSG_LOG_LOST)
		renew_directory(room);
	else if (m->id == MSG_LOG_ROTATED)
		tell_rotated(room, &m->body.log_rotated);
	else if (m->id == MSG_LOG_DRAINED && room->done)
		drained(room);
	else if (m->id == MSG_LOG_LINE_ENDED)
		settle(room, m->body.log_name.name);
}

static void on_closed(void *arg, const char *why)
{
	struct log_room *room = arg;
	if (why) /* it lies in the channel */
		log_error(MAIN, "drover_log_channel_broken", KV_STR("error", why));
	channel_free(room->channel);
	room->channel = NULL;
	/* One that closed its channel cannot be told of new logs: its end is told by the pidfd. */
	if (room->child.pid > 0 && !room->done && !room->drained)
		sys_pidfd_send_signal(room->child.pidfd, SIGTERM);
}

static void hand_over(struct log_room *room)
{
	send_directory(room);
	LIST_FOR_EACH (node, &room->fifos.list)
		tell_of(room, LIST_ENTRY(node, struct log_fifo, node));
	if (room->rotate_due)
		(void)log_room_rotate(room, NULL, NULL);
}

static int spawn_logger(struct log_room *room, int channel_fd, struct err *err)
{
	char instance[64];
	const char *argv[] = { room->place.program, NULL };
	room->record.incarnation++;
	room->record.state = PROCESS_RUNNING;
	save_record(room, 0);
	snprintf(instance, sizeof(instance), "%s:%llu", room->place.mark,
		(unsigned long long)room->record.incarnation);
	struct spawn_variable environment[3] = { { MARK_SLOT, LOGGER_SLOT },
		{ MARK_INSTANCE, instance } };
	size_t count = 2;
#ifdef DROVER_MUTANTS
	if (mutant_name())
		environment[count++] = (struct spawn_variable) { "DROVER_MUTANT", mutant_name() };
#endif
	const struct spawn_spec spec = { .argv = argv,
		.environment = environment,
		.environment_count = count,
		.stdin_fd = room->place.empty_fd,
		.output_fd = -1, /* its complaints go where ours go */
		.channel_fd = channel_fd,
		.record_fd = room->record_fd,
		.incarnation = room->record.incarnation };
	return spawn_child(&spec, &room->child, err);
}

static void start_logger(void *arg)
{
	struct log_room *room = arg;
	static const struct channel_ops ops = { .message = on_message, .closed = on_closed };
	struct reserve *reserve = contain_reserve(room->place.contain);
	struct err err = { 0 };
	int fds[2];
	/* What it needs in the end is what the one before had. */
	reserve_give(reserve, RESERVE_FDS);
	int rc = channel_pair(fds);
	if (rc < 0) {
		err_set(&err, rc, "socketpair");
	} else {
		rc = spawn_logger(room, fds[1], &err);
		sys_close(fds[1]);
		if (rc < 0)
			sys_close(fds[0]);
	}
	reserve_take(reserve);
	room->started_ms = clock_mono_ms();
	if (rc < 0) {
		room->child = (struct spawned) { 0 };
		log_error(MAIN, "drover_log_not_started", KV_STR("step", err.text),
			KV_INT("errno", -rc));
		loop_timer_start(room->timer, DELAY_MAX_MS);
		return;
	}
	contain_set_exempt(room->place.contain, room->child.pid);
	room->exit = loop_exit_new(room->loop, room->child.pidfd, on_ended, room);
	if (channel_new(&room->channel, room->loop, fds[0], FROM_WORKER, &ops, room) < 0 ||
		!room->exit) {
		/* Without memory for a watcher it is ended again and started later. */
		sys_pidfd_send_signal(room->child.pidfd, SIGKILL);
		let_go(room);
		loop_timer_start(room->timer, DELAY_MAX_MS);
		return;
	}
	hand_over(room);
	if (room->restarts++)
		log_info(MAIN, "drover_log_started", KV_INT("pid", room->child.pid),
			KV_INT("incarnation", room->record.incarnation));
}

static void ended(struct log_room *room)
{
	void (*done)(void *) = room->done;
	room->done = NULL;
	loop_timer_stop(room->timer);
	done(room->done_arg);
}

/* A stalled disk may hold even the dead one; it holds the file's lock so long, and droverd's end
 * does not wait for it. */
static void end_by_force(struct log_room *room)
{
	if (room->killed) {
		let_go(room);
		ended(room);
		return;
	}
	room->killed = true;
	sys_pidfd_send_signal(room->child.pidfd, SIGKILL);
	loop_timer_start(room->timer, OLD_LOGGER_MS);
}

static void on_timer(void *arg)
{
	struct log_room *room = arg;
	if (room->done && room->child.pid > 0)
		end_by_force(room);
	else if (!room->done)
		start_logger(room);
}

/* It empties the FIFOs before it ends; when there is none, another one is started for that. */
static void end_logger(struct log_room *room)
{
	if (room->child.pid <= 0)
		start_logger(room);
	if (room->child.pid <= 0)
		ended(room);
	else if (room->channel && any_untold(room))
		return; /* on_retell() comes here again */
	else if (!room->channel ||
		 channel_send(room->channel, MSG_LOG_END, &(struct msg_empty) { 0 }, NULL, 0) < 0)
		sys_pidfd_send_signal(room->child.pidfd, SIGTERM);
}

void log_room_end(struct log_room *room, void (*done)(void *arg), void *arg)
{
	room->done = done;
	room->done_arg = arg;
	loop_timer_start(room->timer, OLD_LOGGER_MS);
	end_logger(room);
}

/* --- making it --- */

static int make_path(const char *path)
{
	char part[4096];
	if (!str_copy(part, sizeof(part), path))
		return -ENAMETOOLONG;
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, 0755) == -1 && errno != EEXIST)
			return -errno;
		*p = '/';
	}
	return mkdir(part, 0750) == -1 && errno != EEXIST ? -errno : 0;
}

static int open_directory(const char *path, struct err *err)
{
	int rc = make_path(path);
	if (rc < 0)
		return err_sys(err, rc, "make the log directory %s", path);
	int fd = sys_open(path, O_RDONLY | O_DIRECTORY, 0);
	if (fd == -1)
		return err_sys(err, -errno, "open the log directory %s", path);
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) == -1) {
		rc = -errno;
		sys_close(fd);
		return err_sys(err, rc, "write to the log directory %s", path);
	}
	return fd;
}

void log_room_configure(struct log_room *room, const struct config_logs *config)
{
	room->settings = *config;
	room->settings.dir = NULL; /* the one that we began with stays */
	if (!room->channel)
		return;
	LIST_FOR_EACH (node, &room->fifos.list)
		send_open(room, LIST_ENTRY(node, struct log_fifo, node), false);
}

static void wait_for_end(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	if (poll(&p, 1, OLD_LOGGER_MS) == 1)
		return;
	sys_pidfd_send_signal(pidfd, SIGKILL);
	poll(&p, 1, OLD_LOGGER_MS);
}

/* The drover-log of an earlier supervisor, by its record. @return pidfd, -1 none */
static int find_old_logger(struct log_room *room)
{
	struct record old;
	if (record_read(room->record_fd, &old) < 0)
		return -1;
	room->record.incarnation = old.incarnation;
	room->was_left = old.state == PROCESS_RUNNING;
	return old.pid > 0 ? contain_open((pid_t)old.pid, old.start_time) : -1;
}

static void end_old_logger(struct log_room *room, int pidfd)
{
	const struct contain_target by_mark = { .slot = LOGGER_SLOT };
	if (pidfd >= 0) {
		sys_pidfd_send_signal(pidfd, SIGTERM);
		wait_for_end(pidfd);
	}
	/* One whose record was lost. */
	int64_t end_ms = clock_mono_ms() + OLD_LOGGER_MS;
	if (contain_count(room->place.contain, &by_mark) == 0)
		return;
	contain_signal(room->place.contain, &by_mark, SIGTERM, CONTAIN_TREE);
	while (contain_count(room->place.contain, &by_mark) > 0) {
		int64_t late_ms = clock_mono_ms() - end_ms;
		if (late_ms > 0)
			contain_signal(room->place.contain, &by_mark, SIGKILL, CONTAIN_TREE);
		/* A stalled disk holds it. It holds the files' locks as well: ours will wait. */
		if (late_ms > OLD_LOGGER_MS)
			break;
		poll(NULL, 0, 20);
	}
}

static bool has_locks(int dir)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	return fcntl(dir, F_OFD_GETLK, &lock) == 0;
}

/*
 * Never two pumps on one FIFO: ours pumps when the earlier one has given back its locks. But it
 * holds all FIFOs before that one ends: killed in between we would leave nobody who does, and what
 * a service wrote last would go with it. The loop does not run yet, so waiting is allowed.
 */
static void succeed_logger(struct log_room *room)
{
	CLEANUP(closep) int old = find_old_logger(room);
	bool overlap = has_locks(room->log_dir);
	if (!overlap)
		end_old_logger(room, old);
	start_logger(room);
	if (room->channel)
		(void)channel_flush(room->channel, HAND_OVER_MS);
	if (overlap)
		end_old_logger(room, old);
}

static void open_present(struct log_room *room)
{
	int copy = sys_openat(room->fifo_dir, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = copy == -1 ? NULL : fdopendir(copy);
	struct err err = { 0 };
	if (!dir) {
		if (copy != -1)
			sys_close(copy);
		return;
	}
	for (const struct dirent *d; (d = readdir(dir));)
		if (d->d_name[0] != '.' && d->d_name[0] != ':' && strlen(d->d_name) < NAME_SIZE &&
			!add(room, d->d_name, &err))
			log_warn(MAIN, "log_not_opened", KV_STR("error", err.text));
	closedir(dir);
	service_manager_forget_rest(room->place.manager);
}

static int open_all(struct log_room *room, const struct config_logs *config, struct err *err)
{
	int fd = room->place.runtime_fd;
	if (mkdirat(fd, "log", 0711) == -1 && errno != EEXIST)
		return err_sys(err, -errno, "make log in the runtime directory");
	room->fifo_dir = sys_openat(fd, "log", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (room->fifo_dir == -1)
		return err_sys(err, -errno, "open log in the runtime directory");
	room->record_fd = record_open(room->place.slots_fd, LOGGER_SLOT, err);
	if (room->record_fd < 0)
		return room->record_fd;
	for (int c = 0; c < LOG_CATEGORIES; c++) {
		char name[NAME_SIZE];
		snprintf(name, sizeof(name), ":%s", log_category_name((enum log_category)c));
		struct log_fifo *f = add(room, name, err);
		if (!f)
			return err->code;
		/* Hundreds that start or end say so within milliseconds. */
		if (c == MAIN)
			(void)fcntl(f->fd, F_SETPIPE_SZ, OWN_PIPE);
		room->categories[c] = f->fd;
	}
	open_present(room);
	log_room_configure(room, config);
	room->log_dir = open_directory(room->place.log_dir, err);
	return room->log_dir < 0 ? room->log_dir : 0;
}

int log_room_new(struct log_room **out, struct loop *loop, const struct log_room_place *place,
	const struct config_logs *config, struct err *err)
{
	struct log_room *room = NEW(struct log_room);
	if (!room)
		return err_set(err, -ENOMEM, "open the logs");
	room->loop = loop;
	room->place = *place;
	room->fifo_dir = room->log_dir = room->record_fd = room->aux[0] = room->aux[1] = -1;
	log_fifos_init(&room->fifos);
	str_copy(room->record.name, sizeof(room->record.name), LOGGER_SLOT);
	str_copy(room->record.mark, sizeof(room->record.mark), place->mark);
	str_copy(room->record.epoch, sizeof(room->record.epoch), place->mark);
	room->record.state = PROCESS_RUNNING;
	room->record.wanted = true;
	room->timer = loop_timer_new(loop, on_timer, room);
	room->retell = loop_timer_new(loop, on_retell, room);
	room->gap = log_gap_new(loop);
	int rc = room->timer && room->retell && room->gap ? open_all(room, config, err)
							  : err_set(err, -ENOMEM, "open the logs");
	if (rc == 0 && pipe2(room->aux, O_CLOEXEC | O_NONBLOCK) == -1)
		rc = err_sys(err, -errno, "open the logs: pipe");
	if (rc < 0) {
		log_room_free(room);
		return rc;
	}
	succeed_logger(room);
	*out = room;
	return 0;
}

static void reap_drained(struct log_room *room)
{
	siginfo_t info;
	wait_for_end(room->child.pidfd);
	(void)sys_wait_pidfd(room->child.pidfd, &info);
	room->record.state = PROCESS_STOPPED;
	save_record(room, 0);
}

void log_room_free(struct log_room *room)
{
	if (!room)
		return;
	room->rotated = NULL;
	log_fifos_finish(&room->fifos);
	if (room->drained && room->child.pid > 0)
		reap_drained(room);
	let_go(room);
	loop_timer_free(room->timer);
	loop_timer_free(room->retell);
	log_gap_free(room->gap);
	if (room->fifo_dir >= 0)
		sys_close(room->fifo_dir);
	if (room->log_dir >= 0)
		sys_close(room->log_dir);
	if (room->record_fd >= 0)
		sys_close(room->record_fd);
	for (int i = 0; i < 2; i++)
		if (room->aux[i] >= 0)
			sys_close(room->aux[i]);
	free(room);
}
