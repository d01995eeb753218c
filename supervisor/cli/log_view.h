/* SPDX-License-Identifier: MIT */
#pragma once
/* Several logs read as one: their last lines merged by time, and what is added to them. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct follow;
struct log_view;

struct log_wish {
	size_t lines;	  /* the last ones of all logs together */
	int level;	  /* at least that: enum log_level; LOG_LINE_NO_LEVEL: any, and none */
	int64_t run;	  /* 0: any, and none */
	int64_t since_ms; /* 0: no bound */
	bool follow;
};

struct log_view_ops {
	/** One line without its end, borrowed. @return false: no more are wanted */
	bool (*line)(void *arg, const char *name, const char *line, size_t len);
	/** Something is missing: words for the user about the log `name`. */
	void (*trouble)(void *arg, const char *name, const char *words);
};

/** @param ops, wish  borrowed until log_view_free() @return NULL when out of memory */
struct log_view *log_view_new(
	const struct log_wish *wish, const struct log_view_ops *ops, void *arg);
void log_view_free(struct log_view *view);
DEFINE_FREEP(struct log_view, log_view)
/** @return 0; -EEXIST: has that path already; another negative code with words */
int log_view_add(
	struct log_view *view, const char *name, const char *path, struct err *err) MUST_CHECK;
/** One that appeared while others are followed.
 * @param follow  its place; takes it, also on failure. @return as log_view_add() */
int log_view_join(struct log_view *view, const char *name, const char *path, struct follow *follow,
	struct err *err) MUST_CHECK;
bool log_view_has(const struct log_view *view, const char *name);
/** Hands out the last lines, oldest first. @return 0; negative with words */
int log_view_last(struct log_view *view, struct err *err) MUST_CHECK;
/** Hands out what was added since. @return true when there is more at once */
bool log_view_read(struct log_view *view);
/** line() said that no more are wanted. */
bool log_view_ended(const struct log_view *view);
