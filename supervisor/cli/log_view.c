/* SPDX-License-Identifier: MIT */
#include "log_view.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "log_line.h"
#include "tail.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct log {
	struct log_view *view;
	char *name, *path;
	struct follow follow;
	struct tail tail;
	size_t left;	 /* of tail.lines: those not handed out yet */
	int64_t time_ms; /* of the last line that was added, or of one before it */
};

/* A line of several logs, kept until all of them have been read. */
struct added {
	const struct log *log;
	int64_t time_ms;
	size_t from, len; /* in view.text */
};

struct log_view {
	const struct log_wish *wish;
	const struct log_view_ops *ops;
	void *arg;
	struct log **logs;
	size_t count, cap;
	struct added *added;
	size_t added_count, added_cap;
	struct buf text;
	bool ended;
};

struct log_view *log_view_new(
	const struct log_wish *wish, const struct log_view_ops *ops, void *arg)
{
	struct log_view *view = NEW(struct log_view);
	if (!view)
		return NULL;
	view->wish = wish;
	view->ops = ops;
	view->arg = arg;
	view->text = (struct buf)BUF_INIT;
	return view;
}

static void log_free(struct log *log)
{
	follow_finish(&log->follow);
	tail_finish(&log->tail);
	free(log->name);
	free(log->path);
	free(log);
}

void log_view_free(struct log_view *view)
{
	if (!view)
		return;
	for (size_t i = 0; i < view->count; i++)
		log_free(view->logs[i]);
	free(view->logs);
	free(view->added);
	buf_finish(&view->text);
	free(view);
}

bool log_view_ended(const struct log_view *view)
{
	return view->ended;
}

bool log_view_has(const struct log_view *view, const char *name)
{
	for (size_t i = 0; i < view->count; i++)
		if (str_eq(view->logs[i]->name, name))
			return true;
	return false;
}

/* @return NULL: err says why */
static struct log *add(struct log_view *view, const char *name, const char *path, struct err *err)
{
	for (size_t i = 0; i < view->count; i++)
		if (str_eq(view->logs[i]->path, path)) {
			err_set(err, -EEXIST, "%s is read already", path);
			return NULL;
		}
	struct log *log = NEW(struct log);
	if (log) {
		log->view = view;
		log->follow.file.fd = -1;
		log->name = strdup(name);
		log->path = strdup(path);
	}
	if (!log || !log->name || !log->path ||
		mem_grow((void **)&view->logs, &view->cap, view->count, sizeof(struct log *)) < 0) {
		if (log)
			log_free(log);
		err_set(err, -ENOMEM, "read %s", path);
		return NULL;
	}
	view->logs[view->count++] = log;
	return log;
}

int log_view_add(struct log_view *view, const char *name, const char *path, struct err *err)
{
	struct log *log = add(view, name, path, err);
	if (!log)
		return err->code;
	if (view->wish->follow && follow_init(&log->follow, path, true) < 0)
		return err_set(err, -ENOMEM, "read %s", path);
	return 0;
}

int log_view_join(struct log_view *view, const char *name, const char *path, struct follow *follow,
	struct err *err)
{
	struct log *log = add(view, name, path, err);
	if (!log) {
		follow_finish(follow);
		return err->code;
	}
	log->follow = *follow;
	return 0;
}

static bool has_filter(const struct log_wish *wish)
{
	return wish->level != LOG_LINE_NO_LEVEL || wish->run || wish->since_ms;
}

static bool is_wanted(void *arg, const char *line, size_t len, int64_t *time_ms)
{
	const struct log_view *view = arg;
	const struct log_wish *wish = view->wish;
	struct log_line said = { .level = LOG_LINE_NO_LEVEL };
	/* Of one log without a filter nothing needs to be known. */
	if (view->count > 1 || has_filter(wish))
		log_line_read(&said, line, len);
	*time_ms = said.time_ms;
	if (said.time_ms && said.time_ms < wish->since_ms)
		return false;
	return said.level >= wish->level && (!wish->run || said.run == wish->run);
}

/* --- the last lines --- */

/* For merging: a log's lines stay in its order, and those that say no time are put beside their
 * neighbours. */
static void complete_times(struct tail *t)
{
	int64_t time_ms = 0;
	for (size_t i = t->count; i > 0 && !time_ms; i--)
		time_ms = t->lines[i - 1].time_ms;
	if (!time_ms && t->file_count > 0)
		time_ms = (int64_t)t->files[0].written.tv_sec * 1000 +
			  t->files[0].written.tv_nsec / 1000000;
	for (size_t i = t->count; i-- > 0;) {
		time_ms = MAX(time_ms, t->lines[i].time_ms);
		t->lines[i].time_ms = time_ms;
	}
}

static void tell_bad_files(const struct log *log)
{
	char words[160];
	const struct tail *t = &log->tail;
	if (t->bad_files == 0)
		return;
	snprintf(words, sizeof(words),
		"%u of its rotated files cannot be read and left out (number %u: %s)", t->bad_files,
		t->bad_number, strerror(t->bad_errno));
	log->view->ops->trouble(log->view->arg, log->name, words);
}

static int find_last(struct log *log, struct err *err)
{
	const struct log_wish *wish = log->view->wish;
	const struct tail_filter filter = {
		.wanted = is_wanted,
		.arg = log->view,
		.since_ms = wish->since_ms,
		.times = log->view->count > 1,
	};
	int rc = tail_find(&log->tail, log->path, wish->lines, &filter,
		wish->follow ? &log->follow : NULL, err);
	if (rc < 0)
		return rc;
	tell_bad_files(log);
	complete_times(&log->tail);
	log->left = log->tail.count;
	return 0;
}

static struct log *oldest(const struct log_view *view)
{
	struct log *found = NULL;
	for (size_t i = 0; i < view->count; i++) {
		struct log *log = view->logs[i];
		if (log->left == 0)
			continue;
		if (!found || log->tail.lines[log->left - 1].time_ms <
				      found->tail.lines[found->left - 1].time_ms)
			found = log;
	}
	return found;
}

int log_view_last(struct log_view *view, struct err *err)
{
	size_t total = 0;
	for (size_t i = 0; i < view->count; i++) {
		int rc = find_last(view->logs[i], err);
		if (rc < 0)
			return rc;
		total += view->logs[i]->left;
	}
	for (struct log *log; !view->ended && (log = oldest(view));) {
		size_t at = --log->left;
		if (total-- > view->wish->lines)
			continue;
		buf_reset(&view->text);
		tail_text(&log->tail, at, &view->text);
		view->ended = !view->ops->line(
			view->arg, log->name, buf_str(&view->text), view->text.len);
	}
	for (size_t i = 0; i < view->count; i++)
		tail_finish(&view->logs[i]->tail);
	return 0;
}

/* --- what is added --- */

static void keep(struct log *log, const char *line, size_t len)
{
	struct log_view *view = log->view;
	size_t from = view->text.len;
	buf_add(&view->text, line, len);
	if (buf_failed(&view->text) || mem_grow((void **)&view->added, &view->added_cap,
					       view->added_count, sizeof(*view->added)) < 0) {
		view->ops->trouble(view->arg, log->name, "out of memory: a line is missing");
		return;
	}
	view->added[view->added_count++] =
		(struct added) { .log = log, .time_ms = log->time_ms, .from = from, .len = len };
}

static void on_line(void *arg, const char *line, size_t len)
{
	struct log *log = arg;
	struct log_view *view = log->view;
	int64_t time_ms;
	bool wanted = is_wanted(view, line, len, &time_ms);
	log->time_ms = MAX(log->time_ms, time_ms);
	if (!wanted || view->ended)
		return;
	if (view->count > 1)
		keep(log, line, len);
	else
		view->ended = !view->ops->line(view->arg, log->name, line, len);
}

/* Lines of one time stay as they were read. */
static int compare(const void *a, const void *b)
{
	const struct added *x = a, *y = b;
	if (x->time_ms != y->time_ms)
		return x->time_ms < y->time_ms ? -1 : 1;
	return x->from < y->from ? -1 : x->from > y->from;
}

static void tell_trouble(struct log *log)
{
	struct log_view *view = log->view;
	char words[128];
	if (log->follow.missed)
		view->ops->trouble(view->arg, log->name,
			"its file was removed, or rotated away before it was read: lines may be "
			"missing here");
	if (log->follow.unreadable) {
		snprintf(words, sizeof(words), "a rotated file cannot be read: %s",
			strerror(-log->follow.unreadable));
		view->ops->trouble(view->arg, log->name, words);
	}
	log->follow.missed = false;
	log->follow.unreadable = 0;
}

bool log_view_read(struct log_view *view)
{
	bool more = false;
	buf_reset(&view->text);
	view->added_count = 0;
	for (size_t i = 0; i < view->count; i++) {
		more = follow_read(&view->logs[i]->follow, on_line, view->logs[i]) || more;
		tell_trouble(view->logs[i]);
	}
	if (view->added_count > 1)
		qsort(view->added, view->added_count, sizeof(*view->added), compare);
	for (size_t i = 0; i < view->added_count && !view->ended; i++) {
		const struct added *a = &view->added[i];
		view->ended = !view->ops->line(
			view->arg, a->log->name, buf_str(&view->text) + a->from, a->len);
	}
	return more && !view->ended;
}
