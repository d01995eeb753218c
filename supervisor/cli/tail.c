/* SPDX-License-Identifier: MIT */
#include "tail.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 65536, PENDING_MAX = 10000 };

struct search {
	struct tail *tail;
	const struct tail_filter *filter;
	size_t lines;	/* how many in all */
	size_t pending; /* of the lines found, the last ones: they have the time of the next found
			 */
	struct buf text;
};

static void read_range(int fd, off_t from, size_t len, struct buf *out)
{
	while (len > 0) {
		size_t part = MIN(len, (size_t)CHUNK);
		char *at = buf_reserve(out, part);
		ssize_t n = at ? pread(fd, at, part, from) : -1;
		if (n <= 0)
			return;
		out->len += (size_t)n;
		from += n;
		len -= (size_t)n;
	}
}

static bool has_enough(const struct search *s)
{
	const struct tail_filter *f = s->filter;
	bool judged = !f || (f->since_ms == 0 && !f->times) || s->pending >= PENDING_MAX;
	return s->tail->count - (judged ? 0 : s->pending) >= s->lines;
}

/* A line with a time came before those that have none. */
static void settle_pending(struct search *s, int64_t time_ms, bool too_old)
{
	struct tail *t = s->tail;
	if (too_old)
		t->count -= s->pending;
	for (; s->pending > 0 && !too_old; s->pending--)
		t->lines[t->count - s->pending].time_ms = time_ms;
	s->pending = 0;
}

/* @return 0; -ENOMEM */
static int take_line(struct search *s, off_t from, off_t end)
{
	struct tail *t = s->tail;
	struct tail_found found = {
		.file = (unsigned)(t->file_count - 1), .from = from, .len = (size_t)(end - from)
	};
	if (s->filter && s->filter->wanted) {
		buf_reset(&s->text);
		read_range(t->files[found.file].fd, from, found.len, &s->text);
		bool wanted = s->filter->wanted(
			s->filter->arg, buf_str(&s->text), s->text.len, &found.time_ms);
		bool too_old = found.time_ms && found.time_ms < s->filter->since_ms;
		if (found.time_ms)
			settle_pending(s, found.time_ms, too_old);
		if (!wanted || too_old)
			return 0;
	}
	s->pending += found.time_ms == 0;
	if (mem_grow((void **)&t->lines, &t->cap, t->count, sizeof(*t->lines)) < 0)
		return -ENOMEM;
	t->lines[t->count++] = found;
	return 0;
}

/* The lines of the last file of the tail, from `size` backwards. @return 0; -ENOMEM */
static int search_file(struct search *s, off_t size)
{
	char chunk[CHUNK];
	int fd = s->tail->files[s->tail->file_count - 1].fd, rc = 0;
	off_t end = size, stop = size; /* of the chunk, of the line */
	while (end > 0 && rc == 0) {
		size_t len = (size_t)MIN(end, (off_t)CHUNK);
		ssize_t n = pread(fd, chunk, len, end - (off_t)len);
		if (n != (ssize_t)len)
			return 0; /* somebody truncated it */
		for (size_t i = len; i-- > 0 && rc == 0;) {
			off_t at = end - (off_t)len + (off_t)i;
			if (chunk[i] != '\n')
				continue;
			if (at != size - 1)
				rc = take_line(s, at + 1, stop);
			stop = at;
			if (has_enough(s))
				return rc;
		}
		end -= (off_t)len;
	}
	return rc == 0 && size > 0 ? take_line(s, 0, stop) : rc;
}

static int add_file(struct tail *t, const struct log_file *file)
{
	int rc = mem_grow((void **)&t->files, &t->file_cap, t->file_count, sizeof(*t->files));
	if (rc == 0)
		t->files[t->file_count++] = *file;
	return rc;
}

static bool is_older(const struct log_file *file, int64_t since_ms)
{
	return (int64_t)file->written.tv_sec * 1000 + file->written.tv_nsec / 1000000 < since_ms;
}

/* @param size  -1: all of it */
static int search_next(struct search *s, struct log_file *file, off_t size)
{
	struct stat st;
	int rc = log_file_unpack(file);
	if (rc == 0 && size == -1) {
		rc = fstat(file->fd, &st) == -1 ? -errno : 0;
		size = rc == 0 ? st.st_size : 0;
	}
	if (rc < 0) {
		s->tail->bad_files++;
		s->tail->bad_number = file->number;
		s->tail->bad_errno = -rc;
		log_file_close(file);
		return 0;
	}
	rc = add_file(s->tail, file);
	if (rc < 0) {
		log_file_close(file);
		return rc;
	}
	return search_file(s, size);
}

/* Only what is before the place of who follows. It has the file open, whatever became of its name.
 */
static int search_followed(struct search *s, const struct follow *before)
{
	struct log_file file = before->file;
	file.fd = fcntl(before->file.fd, F_DUPFD_CLOEXEC, 3);
	return file.fd == -1 ? -errno : search_next(s, &file, before->at);
}

static int search_all(
	struct search *s, struct log_walk *walk, const struct follow *before, int64_t since_ms)
{
	struct log_file file;
	bool followed = before && before->file.fd != -1, reached = !followed;
	if (before && !followed) {
		/* What came since it began will be followed; but it may be there and not ours to
		 * read. */
		if (log_walk_next(walk, &file))
			log_file_close(&file);
		return 0;
	}
	if (followed && is_older(&before->file, since_ms))
		return 0;
	int rc = followed ? search_followed(s, before) : 0;
	while (rc == 0 && !has_enough(s) && log_walk_next(walk, &file)) {
		bool theirs = !reached && log_id_eq(&file.id, &before->file.id);
		if (!reached || is_older(&file, since_ms)) {
			bool end = reached;
			reached = reached || theirs;
			log_file_close(&file); /* the younger ones will be followed */
			if (end)
				break;
			continue;
		}
		rc = search_next(s, &file, -1);
	}
	return rc;
}

int tail_find(struct tail *t, const char *path, size_t lines, const struct tail_filter *filter,
	const struct follow *before, struct err *err)
{
	struct search s = { .tail = t, .filter = filter, .lines = lines, .text = BUF_INIT };
	struct log_walk walk;
	log_walk_init(&walk, path);
	int rc = search_all(&s, &walk, before, filter ? filter->since_ms : 0);
	if (rc == 0 && walk.error && t->file_count == 0)
		rc = -walk.error;
	t->count = MIN(t->count, lines);
	log_walk_finish(&walk);
	buf_finish(&s.text);
	return rc < 0 ? err_sys(err, rc, "read %s", path) : 0;
}

void tail_text(const struct tail *t, size_t i, struct buf *out)
{
	const struct tail_found *found = &t->lines[i];
	read_range(t->files[found->file].fd, found->from, found->len, out);
}

void tail_finish(struct tail *t)
{
	while (t->file_count > 0)
		log_file_close(&t->files[--t->file_count]);
	free(t->files);
	free(t->lines);
	*t = (struct tail) { 0 };
}

int tail_last(const char *path, size_t lines, tail_line each, void *arg, struct err *err)
{
	struct tail t = { 0 };
	struct buf text = BUF_INIT;
	int rc = lines ? tail_find(&t, path, lines, NULL, NULL, err) : 0;
	for (size_t i = t.count; rc == 0 && i-- > 0;) {
		buf_reset(&text);
		tail_text(&t, i, &text);
		each(arg, buf_str(&text), text.len);
	}
	buf_finish(&text);
	tail_finish(&t);
	return rc;
}
