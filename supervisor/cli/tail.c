/* SPDX-License-Identifier: MIT */
#include "tail.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKUPS_MAX = 1000, CHUNK = 65536, HALF_MAX = 2 * 1024 * 1024 };

/* The offset where the last *lines lines of the file begin; *lines becomes how many are still
 * wanted. */
static off_t find_start(int fd, off_t size, size_t *lines)
{
	char chunk[CHUNK];
	off_t start = size, end = size;
	while (end > 0) {
		size_t len = (size_t)MIN(end, (off_t)CHUNK);
		ssize_t n = pread(fd, chunk, len, end - (off_t)len);
		if (n <= 0)
			return start;
		for (ssize_t i = n; i-- > 0;) {
			off_t at = end - (off_t)len + i;
			/* The end of the last line begins no further one. */
			if (chunk[i] != '\n' || at == size - 1)
				continue;
			if (--*lines == 0)
				return at + 1;
			start = at + 1;
		}
		end -= (off_t)len;
	}
	if (size > 0)
		--*lines;
	return 0;
}

struct piece {
	int fd;
	off_t from, to;
};

static void hand_out(const struct piece *p, tail_line each, void *arg)
{
	struct buf line = BUF_INIT;
	char chunk[CHUNK];
	off_t at = p->from;
	while (at < p->to) {
		ssize_t n = pread(p->fd, chunk, (size_t)MIN(p->to - at, (off_t)CHUNK), at);
		if (n <= 0)
			break;
		for (const char *s = chunk, *stop = chunk + n; s < stop;) {
			const char *end = memchr(s, '\n', (size_t)(stop - s));
			buf_add(&line, s, (size_t)((end ? end : stop) - s));
			if (end) {
				each(arg, buf_str(&line), line.len);
				buf_reset(&line);
			}
			s = end ? end + 1 : stop;
		}
		at += n;
	}
	if (line.len)
		each(arg, buf_str(&line), line.len);
	buf_finish(&line);
}

int tail_last(const char *path, size_t lines, tail_line each, void *arg, struct err *err)
{
	CLEANUP(freep) struct piece *pieces = NULL;
	size_t count = 0, cap = 0;
	int rc = 0;
	for (int n = 0; lines > 0 && n < BACKUPS_MAX; n++) {
		char *name = NULL;
		if (asprintf(&name, n ? "%s.%d" : "%s", path, n) == -1)
			break;
		int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
		free(name);
		struct stat st;
		if (fd == -1 && n == 0 && errno != ENOENT)
			rc = err_sys(err, -errno, "read %s", path);
		if (fd == -1 && (n > 0 || rc < 0))
			break;
		if (fd == -1)
			continue;
		if (fstat(fd, &st) == -1 ||
			mem_grow((void **)&pieces, &cap, count, sizeof(*pieces)) < 0) {
			close(fd);
			break;
		}
		off_t from = find_start(fd, st.st_size, &lines);
		pieces[count++] = (struct piece) { fd, from, st.st_size };
	}
	while (count-- > 0) {
		hand_out(&pieces[count], each, arg);
		close(pieces[count].fd);
	}
	return rc;
}

static void open_file(struct follow *f)
{
	struct stat st;
	f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	f->at = 0;
	if (f->fd != -1 && fstat(f->fd, &st) == 0)
		f->inode = st.st_ino;
}

int follow_init(struct follow *f, const char *path, bool from_end)
{
	*f = (struct follow) { .path = strdup(path), .fd = -1 };
	if (!f->path)
		return -ENOMEM;
	open_file(f);
	if (f->fd != -1 && from_end)
		f->at = lseek(f->fd, 0, SEEK_END);
	return 0;
}

void follow_finish(struct follow *f)
{
	if (f->fd != -1)
		close(f->fd);
	free(f->path);
	free(f->half);
	*f = (struct follow) { .fd = -1 };
}

static void keep_half(struct follow *f, const char *text, size_t len)
{
	while (f->half_len + len > f->half_cap)
		if (mem_grow((void **)&f->half, &f->half_cap, f->half_len + len, 1) < 0)
			return;
	memcpy(f->half + f->half_len, text, len);
	f->half_len += len;
}

static void take(struct follow *f, const char *text, size_t len, tail_line each, void *arg)
{
	for (const char *s = text, *stop = text + len; s < stop;) {
		const char *end = memchr(s, '\n', (size_t)(stop - s));
		keep_half(f, s, (size_t)((end ? end : stop) - s));
		if (end || f->half_len > HALF_MAX) {
			each(arg, f->half ? f->half : "", f->half_len);
			f->half_len = 0;
		}
		s = end ? end + 1 : stop;
	}
}

static void read_on(struct follow *f, tail_line each, void *arg)
{
	char chunk[CHUNK];
	struct stat st;
	if (fstat(f->fd, &st) == 0 && st.st_size < f->at)
		f->at = 0; /* someone truncated it */
	ssize_t n;
	while ((n = pread(f->fd, chunk, sizeof(chunk), f->at)) > 0) {
		f->at += n;
		take(f, chunk, (size_t)n, each, arg);
	}
}

void follow_read(struct follow *f, tail_line each, void *arg)
{
	if (f->fd == -1)
		open_file(f);
	if (f->fd == -1)
		return;
	read_on(f, each, arg);
	struct stat st;
	if (stat(f->path, &st) == 0 && st.st_ino != f->inode) {
		/* Renamed away: nothing is added to it any more, but something may have been since
		 * we read. */
		read_on(f, each, arg);
		close(f->fd);
		open_file(f);
		if (f->fd != -1)
			read_on(f, each, arg);
	}
}
