/* SPDX-License-Identifier: MIT */
#include "base/mem.h"
#include "tail.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 65536, HALF_MAX = 2 * 1024 * 1024, TURN_MAX = 1024 * 1024 };

/* Where the last whole line of the file ends. */
static off_t end_of_lines(int fd)
{
	char chunk[CHUNK];
	off_t end = lseek(fd, 0, SEEK_END);
	while (end > 0) {
		size_t len = (size_t)MIN(end, (off_t)CHUNK);
		ssize_t n = pread(fd, chunk, len, end - (off_t)len);
		const char *last = n > 0 ? memrchr(chunk, '\n', (size_t)n) : NULL;
		if (last)
			return end - (off_t)len + (last + 1 - chunk);
		end -= (off_t)len;
	}
	return 0;
}

static void begin(struct follow *f, const struct log_file *file)
{
	f->file = *file;
	f->at = 0;
	int rc = log_file_unpack(&f->file);
	if (rc == 0)
		return;
	/* It counts as read: what cannot be unpacked must not stop the rest. */
	f->unreadable = rc;
	f->file.unpacked = true;
	log_file_close(&f->file);
	f->file.fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* PATH itself, or with `any` the youngest there is: between a rotation and the next line there is
 * no PATH. */
static void open_newest(struct follow *f, bool any)
{
	struct log_walk walk;
	struct log_file file;
	log_walk_init(&walk, f->path);
	if (log_walk_next(&walk, &file)) {
		if (file.number == 0 || any)
			begin(f, &file);
		else
			log_file_close(&file);
	}
	log_walk_finish(&walk);
}

static void open_oldest(struct follow *f)
{
	struct log_walk walk;
	struct log_file file, last = { .fd = -1 };
	log_walk_init(&walk, f->path);
	while (log_walk_next(&walk, &file)) {
		log_file_close(&last);
		last = file;
	}
	log_walk_finish(&walk);
	if (last.fd != -1)
		begin(f, &last);
}

int follow_init(struct follow *f, const char *path, bool from_end)
{
	*f = (struct follow) { .path = strdup(path), .file.fd = -1 };
	if (!f->path)
		return -ENOMEM;
	open_newest(f, from_end);
	f->all_is_new = from_end && f->file.fd == -1;
	if (f->file.fd != -1 && from_end)
		f->at = end_of_lines(f->file.fd);
	return 0;
}

void follow_finish(struct follow *f)
{
	log_file_close(&f->file);
	free(f->path);
	free(f->half);
	*f = (struct follow) { .file.fd = -1 };
}

static void keep_half(struct follow *f, const char *text, size_t len)
{
	while (f->half_len + len > f->half_cap)
		if (mem_grow((void **)&f->half, &f->half_cap, f->half_len + len, 1) < 0)
			return;
	memcpy(f->half + f->half_len, text, len);
	f->half_len += len;
}

static void hand_out(struct follow *f, tail_line each, void *arg)
{
	each(arg, f->half ? f->half : "", f->half_len);
	f->half_len = 0;
}

static void take(struct follow *f, const char *text, size_t len, tail_line each, void *arg)
{
	for (const char *s = text, *stop = text + len; s < stop;) {
		const char *end = memchr(s, '\n', (size_t)(stop - s));
		keep_half(f, s, (size_t)((end ? end : stop) - s));
		if (end || f->half_len > HALF_MAX)
			hand_out(f, each, arg);
		s = end ? end + 1 : stop;
	}
}

/* @return true when the end was not reached */
static bool read_on(struct follow *f, tail_line each, void *arg)
{
	char chunk[CHUNK];
	struct stat st;
	if (fstat(f->file.fd, &st) == 0 && st.st_size < f->at) {
		f->at = 0; /* someone truncated it */
		f->half_len = 0;
	}
	for (size_t total = 0; total < TURN_MAX;) {
		ssize_t n = pread(f->file.fd, chunk, sizeof(chunk), f->at);
		if (n <= 0)
			return false;
		f->at += n;
		total += (size_t)n;
		take(f, chunk, (size_t)n, each, arg);
	}
	return true;
}

/*
 * The file that came after ours: the one before it on the walk. When ours is gone (removed by hand,
 * or so many came since that it was dropped) the oldest that was written after it.
 */
static bool find_successor(struct follow *f, const struct timespec *written, struct log_file *out)
{
	struct log_walk walk;
	struct log_file file, last = { .fd = -1 }, younger = { .fd = -1 };
	bool found = false;
	log_walk_init(&walk, f->path);
	while (!found && log_walk_next(&walk, &file)) {
		found = log_id_eq(&file.id, &f->file.id);
		if (found) {
			log_file_close(&file);
			break;
		}
		if (last.fd != younger.fd)
			log_file_close(&last);
		last = file;
		if (file.number > 0 && !log_file_is_younger(&file, written))
			continue;
		log_file_close(&younger);
		younger = file;
	}
	log_walk_finish(&walk);
	f->missed = f->missed || !found;
	*out = found ? last : younger;
	if (last.fd != younger.fd)
		log_file_close(found ? &younger : &last);
	return out->fd != -1;
}

/* @return true when there is another file to read */
static bool go_on(struct follow *f, tail_line each, void *arg)
{
	struct stat ours;
	struct log_id named;
	struct log_file next;
	if (fstat(f->file.fd, &ours) == -1 || log_file_named(&named, f->path) < 0 ||
		log_id_eq(&named, &f->file.id))
		return false;
	/* Of an unpacked copy the time says nothing. */
	bool copy = f->file.unpacked;
	if (!find_successor(f, copy ? &f->file.written : &ours.st_mtim, &next))
		return false;
	/* Ours was renamed before the other came, so nothing is added to it any more; but something
	 * may have been since we read. */
	while (read_on(f, each, arg))
		;
	if (f->half_len)
		hand_out(f, each, arg);
	log_file_close(&f->file);
	begin(f, &next);
	return f->file.fd != -1;
}

bool follow_read(struct follow *f, tail_line each, void *arg)
{
	if (f->file.fd == -1 && f->all_is_new)
		open_oldest(f);
	else if (f->file.fd == -1)
		open_newest(f, false);
	if (f->file.fd == -1)
		return false;
	return read_on(f, each, arg) || go_on(f, each, arg);
}
