/* SPDX-License-Identifier: MIT */
#include "logger/pump.h"

#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "base/sys.h"
#include "log/log.h"
#include "logger/logfile.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
	TURN_BYTES = 1024 * 1024, /* of one log, before the others have their turn */
	LOCK_AGAIN_MS = 50,	  /* an earlier drover-log is about to end */
	WRITE_AGAIN_MS = 1000,	  /* the disk is full */
	LARGE_PIPE = 1024 * 1024, /* for a log that fills its pipe again and again */
	LARGE_PIPES = 16,	  /* an ordinary user has 64, and then pipes of two pages */
	FULL_TURNS = 32,
	SMALL_PIPE = 65536,
	SMALL_TURN = 8192, /* bytes; so many turns in a row, each soon after the other: */
	SMALL_TURNS = 16,
	REST_MS = 2, /* the pipe gathers what would wake us for every line */
};

struct pump {
	struct pump_tools *tools;
	const struct pump_place *place;
	struct logfile out;
	int fifo;
	char *name, *file;
	struct loop_io *io;
	struct loop_timer *again, *rest;
	int64_t turn_ms; /* when the last one was, or a rest ended */
	int64_t pipe_size;
	bool rested, hasty; /* before this turn; must not rest */
	bool locked;
	bool rotate_asked, half_line_asked;
	bool half_line_first; /* what is in the pipe is of another writer */
	bool failing;	      /* said so in drover's own log */
	bool compress, pack_asked, pack_failing;
	bool dir_awaited; /* it was asked for once; the next time bytes are dropped */
	bool lazy; /* a move that came short has emptied the pipe: no call to see that it is empty
		    */
	unsigned small_turns; /* in a row */
	unsigned full_turns;  /* in a row; more than FULL_TURNS: has a large pipe, or may not */
	uint64_t dropped;
	int dropped_why; /* errno */
};

static void on_readable(void *arg, int fd, unsigned events);
static void on_again(void *arg);
static bool hold_lock(struct pump *p);
static void release_lock(struct pump *p);
static void judge_pace(struct pump *p, int64_t moved);
static void on_rested(void *arg);
static bool grow_pipe(struct pump *p);
static int64_t run(struct pump *p, int64_t limit);
static void drop(struct pump *p, int code);
static int64_t waiting(const struct pump *p);
static bool await_dir(struct pump *p);

int pump_tools_init(struct pump_tools *tools, struct loop *loop)
{
	*tools = (struct pump_tools) { .loop = loop, .large_pipes = LARGE_PIPES };
	tools->null = sys_open("/dev/null", O_WRONLY, 0);
	if (tools->null == -1)
		return -errno;
	if (pipe2(tools->aux, O_CLOEXEC | O_NONBLOCK) == 0)
		return 0;
	int rc = -errno;
	sys_close(tools->null);
	return rc;
}

void pump_tools_finish(struct pump_tools *tools)
{
	sys_close(tools->null);
	sys_close(tools->aux[0]);
	sys_close(tools->aux[1]);
}

int pump_new(struct pump **out, struct pump_tools *tools, const struct pump_place *place,
	const struct pump_settings *settings, int fifo)
{
	struct pump *p = NEW(struct pump);
	if (!p) {
		sys_close(fifo);
		return -ENOMEM;
	}
	p->tools = tools;
	p->place = place;
	p->fifo = fifo;
	p->pipe_size = SMALL_PIPE;
	logfile_init(&p->out, place->dir, "");
	p->io = loop_io_new(tools->loop, fifo, 0, on_readable, p);
	p->again = loop_timer_new(tools->loop, on_again, p);
	int rc = p->io && p->again ? pump_set(p, settings) : -ENOMEM;
	if (rc < 0) {
		pump_free(p);
		return rc;
	}
	p->half_line_asked = p->half_line_first = settings->half_line;
	on_again(p);
	*out = p;
	return 0;
}

void pump_free(struct pump *p)
{
	if (!p)
		return;
	loop_io_free(p->io);
	loop_timer_free(p->again);
	loop_timer_free(p->rest);
	logfile_finish(&p->out);
	release_lock(p);
	sys_close(p->fifo);
	free(p->name);
	free(p->file);
	free(p);
}

const char *pump_name(const struct pump *p)
{
	return p->name;
}

const char *pump_file(const struct pump *p)
{
	return p->file;
}

int pump_fifo(const struct pump *p)
{
	return p->fifo;
}

uint64_t pump_dropped(const struct pump *p)
{
	return p->dropped;
}

/* Takes the name. */
static void set_file(struct pump *p, char *file)
{
	struct logfile old = p->out;
	logfile_finish(&p->out);
	release_lock(p);
	if (p->file != file)
		free(p->file);
	p->file = file;
	logfile_init(&p->out, p->place->dir, file);
	p->out.max_size = old.max_size;
	p->out.max_line = old.max_line;
	p->out.max_age_ms = old.max_age_ms;
	p->out.backups = old.backups;
}

/* @return 0, -ENOMEM: all is as it was */
static int set_names(struct pump *p, const struct pump_settings *settings)
{
	bool renamed = !p->name || !str_eq(p->name, settings->name);
	bool moved = !p->file || !str_eq(p->file, settings->file);
	char *name = renamed ? strdup(settings->name) : NULL;
	char *file = moved ? strdup(settings->file) : NULL;
	if ((renamed && !name) || (moved && !file)) {
		free(name);
		free(file);
		return -ENOMEM;
	}
	if (renamed) {
		free(p->name);
		p->name = name;
	}
	if (moved) {
		set_file(p, file);
		loop_timer_start(p->again, 0);
	}
	return 0;
}

int pump_set(struct pump *p, const struct pump_settings *settings)
{
	if (!logfile_is_name(settings->file) || settings->max_size < 0 || settings->max_line < 0 ||
		settings->max_age_ms < 0)
		return -EINVAL;
	int rc = set_names(p, settings);
	if (rc < 0)
		return rc;
	p->out.max_size = MUTANT(ROTATION_BY_AGE_ONLY) ? 0 : settings->max_size;
	p->out.max_line = settings->max_line ? settings->max_line : PUMP_MAX_LINE;
	p->out.max_age_ms = settings->max_age_ms;
	p->out.backups = settings->backups;
	p->compress = p->pack_asked = settings->compress;
	return 0;
}

void pump_set_place(struct pump *p, const struct pump_place *place)
{
	p->place = place;
	set_file(p, p->file);
	on_again(p);
}

void pump_drain(struct pump *p)
{
	if (hold_lock(p))
		(void)run(p, waiting(p));
}

bool pump_rotate(struct pump *p)
{
	p->rotate_asked = true;
	on_again(p);
	return !p->rotate_asked;
}

void pump_expire(struct pump *p)
{
	if (p->locked)
		logfile_expire(&p->out);
	/* What could not be compressed is tried again. */
	p->pack_asked = p->compress;
}

int pump_pack(struct pump *p, struct logfile_packing *out)
{
	int rc = p->locked && p->compress && p->pack_asked ? logfile_pack(&p->out, out) : -ENOENT;
	if (rc == -ENOENT)
		p->pack_asked = false;
	return rc;
}

void pump_packed(struct pump *p, struct logfile_packing *packing, int code)
{
	int rc = logfile_packed(&p->out, packing, code == 0);
	code = code ? code : rc;
	/* Rotated away meanwhile: there is a next one. */
	bool failed = code != 0 && code != -ESTALE;
	if (failed && !p->pack_failing)
		log_error(MAIN, "log_not_compressed", KV_STR("name", p->name),
			KV_STR("reason", strerror(-code)));
	p->pack_failing = failed;
	/* Not again and again: the next rotation asks anew. */
	p->pack_asked = p->pack_asked && !failed;
}

void pump_unpacked(struct pump *p, struct logfile_packing *packing)
{
	(void)!logfile_packed(&p->out, packing, false);
}

bool pump_is_written(const struct pump *p)
{
	return p->out.fd != -1 || p->dropped || waiting(p) > 0;
}

void pump_half_line(struct pump *p)
{
	p->half_line_asked = true;
	on_again(p);
}

/* One byte of the lock file, chosen by the name: two drovers with one directory may share it, but
 * no file. */
static struct flock lock_of(const struct pump *p, short type)
{
	uint64_t hash = str_hash(p->file, strlen(p->file));
	return (struct flock) {
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)(hash >> 2), .l_len = 1
	};
}

/* Never two pumps on one file: an earlier drover-log may still be busy. */
static bool hold_lock(struct pump *p)
{
	if (!p->locked) {
		struct flock lock = lock_of(p, F_WRLCK);
		/* A file system without locks must not stop the logs: droverd has ended the earlier
		 * one. */
		p->locked = fcntl(p->place->lock, F_OFD_SETLK, &lock) == 0 ||
			    (errno != EAGAIN && errno != EACCES && errno != EINTR);
		if (p->locked)
			logfile_tidy(&p->out);
	}
	loop_io_set(p->io, p->locked ? LOOP_READ : 0);
	if (!p->locked)
		loop_timer_start(p->again, LOCK_AGAIN_MS);
	return p->locked;
}

static void release_lock(struct pump *p)
{
	if (!p->locked)
		return;
	struct flock lock = lock_of(p, F_UNLCK);
	/* Closed, it has given back all locks at once. */
	if (p->place->lock != -1)
		fcntl(p->place->lock, F_OFD_SETLK, &lock);
	p->locked = false;
}

static void on_readable(void *arg, int fd UNUSED, unsigned events UNUSED)
{
	struct pump *p = arg;
	if (!hold_lock(p))
		return;
	/* A full disk is asked once a second, not for every line, or the marks would fill it. */
	if (p->failing && loop_timer_armed(p->again)) {
		drop(p, p->dropped_why);
		return;
	}
	if (p->half_line_first) {
		on_again(p);
		return;
	}
	p->lazy = !MUTANT(LOG_PUMP_READ_WRITE); /* which would wait for bytes */
	int64_t moved = run(p, TURN_BYTES);
	p->lazy = false;
	judge_pace(p, moved);
}

/* A writer of many short lines would have us woken for each of them. One that fills its pipe while
 * we rest is not held up again. */
static void judge_pace(struct pump *p, int64_t moved)
{
	int64_t now_ms = loop_now_ms(p->tools->loop);
	bool soon = now_ms - p->turn_ms <= REST_MS + 1, rested = p->rested;
	bool filled = rested && moved >= p->pipe_size / 4 * 3;
	p->turn_ms = now_ms;
	p->rested = false;
	if (filled)
		p->hasty = !grow_pipe(p);
	bool small = soon && !filled && (rested || moved < SMALL_TURN);
	p->small_turns = small ? MIN(p->small_turns + 1, (unsigned)SMALL_TURNS) : 0;
	if (p->small_turns < SMALL_TURNS || p->hasty || p->failing || p->dir_awaited)
		return;
	/* Few logs ever come to it; without memory for it they do not rest. */
	if (!p->rest)
		p->rest = loop_timer_new(p->tools->loop, on_rested, p);
	if (!p->rest)
		return;
	loop_io_set(p->io, 0);
	loop_timer_start(p->rest, REST_MS);
}

static void on_rested(void *arg)
{
	struct pump *p = arg;
	p->rested = true;
	p->turn_ms = loop_now_ms(p->tools->loop);
	if (p->locked && !p->dir_awaited)
		loop_io_set(p->io, LOOP_READ);
}

/* A writer that fills its pipe faster than we come gets a larger one: fewer switches from one to
 * the other. Refused (no right, no memory), it works as before. */
static void judge_pipe(struct pump *p, ssize_t moved)
{
	if (p->full_turns > FULL_TURNS)
		return;
	p->full_turns = moved >= SMALL_PIPE * 3 / 4 ? p->full_turns + 1 : 0;
	if (p->full_turns > FULL_TURNS)
		(void)grow_pipe(p);
}

/* @return true when it is large */
static bool grow_pipe(struct pump *p)
{
	if (p->pipe_size == LARGE_PIPE)
		return true;
	p->full_turns = FULL_TURNS + 1;
	if (p->tools->large_pipes == 0 || fcntl(p->fifo, F_SETPIPE_SZ, LARGE_PIPE) == -1)
		return false;
	p->tools->large_pipes--;
	p->pipe_size = LARGE_PIPE;
	return true;
}

static int64_t waiting(const struct pump *p)
{
	int n = 0;
	return ioctl(p->fifo, FIONREAD, &n) == -1 ? 0 : n;
}

/* The planted bug is what everybody writes first: a SIGKILL between read and write loses what was
 * read. */
static ssize_t read_and_write(struct pump *p, size_t n)
{
	ssize_t got = sys_read(p->fifo, p->tools->window, MIN(n, (size_t)PUMP_WINDOW));
	for (ssize_t done = 0, put; done < got; done += put) {
		put = sys_write(p->out.fd, p->tools->window + done, (size_t)(got - done));
		if (put == -1)
			return -1;
	}
	return got;
}

/* Every step below returns 1: there was progress; 0: nothing to do; negative errno: the file cannot
 * be written. */
static int move(struct pump *p, int64_t n, int64_t *limit)
{
	ssize_t moved = MUTANT(LOG_PUMP_READ_WRITE)
				? read_and_write(p, (size_t)n)
				: sys_splice(p->fifo, p->out.fd, (size_t)n, SPLICE_F_NONBLOCK);
	if (moved == -1)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	p->out.left += moved;
	*limit -= moved;
	if (!p->lazy)
		return moved > 0;
	judge_pipe(p, moved);
	return moved == n;
}

/* Shows the first bytes of the pipe in the window and leaves them there. @return how many; negative
 * errno */
static ssize_t look_ahead(struct pump *p)
{
	ssize_t n = sys_tee(p->fifo, p->tools->aux[1], PUMP_WINDOW, SPLICE_F_NONBLOCK);
	if (n == -1)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (ssize_t got = 0; got < n;) {
		ssize_t r = read(p->tools->aux[0], p->tools->window + got, (size_t)(n - got));
		if (r <= 0)
			return -EIO;
		got += r;
	}
	return n;
}

static int rotate(struct pump *p, int64_t size)
{
	int rc = 0;
	if (size > 0)
		rc = logfile_rotate(&p->out);
	else
		logfile_close(&p->out); /* opened again by name: it may have been moved away */
	if (rc < 0)
		return rc;
	p->rotate_asked = false;
	if (size > 0)
		logfile_expire(&p->out);
	p->pack_asked = p->compress;
	if (p->compress && p->tools->rotated)
		p->tools->rotated(p->tools->arg);
	return 1;
}

/* More waits than the `room` that is left (<= 0: none): finds where the file may end. */
static int step_at_end(struct pump *p, int64_t size, int64_t room, int64_t *limit)
{
	bool at_line_start = logfile_ends_line(&p->out, size);
	if (room <= 0 && at_line_start && size > 0)
		return rotate(p, size);
	ssize_t n = look_ahead(p);
	if (n <= 0)
		return (int)n;
	const char *window = p->tools->window, *end = NULL;
	n = MIN(n, (ssize_t)*limit);
	if (room > 0)
		end = memrchr(window, '\n', (size_t)MIN((int64_t)n, room));
	if (end)
		return move(p, end + 1 - window, limit);
	if (at_line_start && size > 0)
		return rotate(p, size);
	/* A line that began in this file, or that no file can hold: here it ends, or is cut. */
	end = memchr(window, '\n', (size_t)n);
	int64_t want = end ? end + 1 - window : n;
	int64_t bound = p->out.max_size ? p->out.max_size + p->out.max_line - size : want;
	if (bound > 0)
		return move(p, MIN(want, bound), limit);
	static const char mark[] = " [drover: line cut]\n";
	int rc = logfile_append(&p->out, mark, sizeof(mark) - 1);
	return rc < 0 ? rc : 1;
}

/* The log tells what is missing, on a line of its own. */
static int end_drop(struct pump *p, int64_t size)
{
	char text[160];
	bool at_line_start = logfile_ends_line(&p->out, size);
	/* Where it cannot rotate it may not grow either. */
	if (p->out.max_size && size >= p->out.max_size && at_line_start)
		return rotate(p, size);
	int n = snprintf(text, sizeof(text), "%s[drover: %llu bytes dropped: %s]\n",
		at_line_start ? "" : "\n", (unsigned long long)p->dropped,
		strerror(p->dropped_why));
	int rc = logfile_append(&p->out, text, (size_t)n);
	if (rc < 0)
		return rc;
	log_warn(MAIN, "log_written_again", KV_STR("name", p->name), KV_INT("bytes", p->dropped));
	p->dropped = 0;
	p->failing = false;
	return 1;
}

static int end_half_line(struct pump *p, int64_t size)
{
	static const char mark[] = " [drover: line not ended]\n";
	int rc = logfile_ends_line(&p->out, size) ? 0
						  : logfile_append(&p->out, mark, sizeof(mark) - 1);
	p->half_line_asked = rc < 0;
	return rc;
}

/* Far from the file's end, the common case: no question before the move, none after it. */
static int step_far(struct pump *p, int64_t *limit)
{
	int64_t size = logfile_seek_end(&p->out);
	if (size < 0)
		return (int)size;
	int64_t room = p->out.max_size ? p->out.max_size - size - PUMP_WINDOW : *limit;
	return room > 0 ? move(p, MIN(room, *limit), limit) : -EAGAIN;
}

static int step(struct pump *p, int64_t *limit)
{
	if (p->lazy && *limit > 0 && !p->dropped && !p->rotate_asked) {
		int rc = step_far(p, limit);
		if (rc != -EAGAIN)
			return rc;
	}
	int64_t avail = *limit > 0 ? MIN(waiting(p), *limit) : 0;
	if (avail <= 0 && !p->dropped && !p->rotate_asked)
		return 0;
	int64_t size = logfile_seek_end(&p->out);
	if (size < 0)
		return (int)size;
	if (p->dropped)
		return end_drop(p, size);
	if (p->rotate_asked && logfile_ends_line(&p->out, size))
		return rotate(p, size);
	if (avail <= 0)
		return 0;
	if (p->out.max_size == 0 && !p->rotate_asked)
		return move(p, avail, limit);
	int64_t room = p->rotate_asked ? 0 : p->out.max_size - size;
	if (avail <= room)
		return move(p, avail, limit);
	if (room > PUMP_WINDOW)
		return move(p, room - PUMP_WINDOW, limit);
	return step_at_end(p, size, room, limit);
}

/* @return bytes moved */
static int64_t run(struct pump *p, int64_t limit)
{
	const int64_t given = limit;
	int rc;
	do
		rc = step(p, &limit);
	while (rc > 0);
	if (rc < 0 && !(rc == -ENOENT && await_dir(p)))
		drop(p, -rc);
	else if (rc == 0)
		p->dir_awaited = false;
	return given - limit;
}

/* The directory was removed, all at once: its successor is told within milliseconds. @return true:
 * the bytes wait for it */
static bool await_dir(struct pump *p)
{
	bool first = !p->dir_awaited;
	bool asked = p->tools->dir_lost && p->tools->dir_lost(p->tools->arg);
	p->dir_awaited = true;
	if (!asked || !first)
		return false;
	loop_io_set(p->io, 0);
	loop_timer_start(p->again, WRITE_AGAIN_MS);
	return true;
}

/* The writer must not wait for our trouble: what is in the pipe goes, and is counted. */
static void drop(struct pump *p, int code)
{
	if (!p->failing)
		log_error(MAIN, "log_not_written", KV_STR("name", p->name), KV_STR("file", p->file),
			KV_STR("reason", strerror(code)));
	p->failing = true;
	p->dropped_why = code;
	ssize_t n = sys_splice(p->fifo, p->tools->null, TURN_BYTES, SPLICE_F_NONBLOCK);
	if (n > 0)
		p->dropped += (uint64_t)n;
	if (!loop_timer_armed(p->again))
		loop_timer_start(p->again, WRITE_AGAIN_MS);
}

/* Takes up what could not be done before. */
static void on_again(void *arg)
{
	struct pump *p = arg;
	if (!hold_lock(p))
		return;
	if (!p->half_line_first)
		(void)run(p, waiting(p));
	if (p->dropped || p->dir_awaited)
		return;
	bool asked = p->half_line_asked;
	/* One that never wrote gets no empty file for it. */
	int64_t rc = asked && logfile_is_there(&p->out) ? logfile_seek_end(&p->out) : 0;
	if (rc >= 0 && p->half_line_asked)
		rc = end_half_line(p, rc);
	if (rc < 0)
		drop(p, (int)-rc);
	else
		p->failing = p->failing && loop_timer_armed(p->again);
	if (asked && !p->half_line_asked && p->tools->line_ended)
		p->tools->line_ended(p->tools->arg, p->name);
	if (p->half_line_first) {
		p->half_line_first = false;
		loop_timer_start(p->again, 0);
	}
}
