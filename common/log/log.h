/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * drover's own records: one JSON object a line, at most LOG_RECORD_MAX bytes newline included,
 * written at once and non-blocking to the FIFO of their category. A record that does not fit into
 * the FIFO is dropped and counted; the count is written when there is room again
 * ("records_dropped"). Before log_open(), or in text mode, records go to stderr as readable text.
 * Records of level error are also written to the error category. Not for other threads.
 */
#include "log/keys.h"
#include <stdbool.h>
#include <stdint.h>

enum { LOG_RECORD_MAX = 4096 };
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_category { MAIN, PERFORMANCE, ERROR, HEALTH, MEMORY, LOG_CATEGORIES };

/** "main" -> drover.log, "performance" -> drover_performance.log ... : FIFO and file stems. */
const char *log_category_name(enum log_category category);
const char *log_category_file(enum log_category category); /* "drover", "drover_performance", ... */

/** Where records go: fds[category] (borrowed for ever, O_NONBLOCK is set), `process` is the slot's
 * name (copied). */
void log_open(const char *process, const int fds[LOG_CATEGORIES], enum log_level level);
/** Readable text to stderr as well (drover up), or only (before log_open). */
void log_set_text(bool on);
void log_set_level(enum log_level level);
bool log_level_parse(const char *name, enum log_level *out); /* debug, info, warn, error */
/** From now on records of the main category below LOG_WARN are held, up to 32 KiB of them,
 * until log_flush(), so that hundreds cost few writes. held(arg) is told of the first: the caller
 * flushes within milliseconds, for what is held is lost with us. NULL: none is held any more. */
void log_hold(void (*held)(void *arg), void *arg);
void log_flush(void);
/** Records dropped since start because a FIFO was full. */
uint64_t log_dropped(void);
/** dropped(arg) is told when records begin to be missing: the next one that finds room says how
 * many, or log_tell_drops() does, which the caller asks again and again from now on. */
void log_on_drop(void (*dropped)(void *arg), void *arg);
/** Writes how many records are missing where there is room for it. @return nothing is untold */
bool log_tell_drops(void);

/** `event` is a constant to grep for; `fields` ends with KV_END. */
void log_write(enum log_level level, enum log_category category, const char *event,
	const struct kv *fields);
/** Renders into out (size >= LOG_RECORD_MAX) what log_write would write; returns its length. For
 * tests and fuzzing. */
size_t log_render(char *out, enum log_level level, enum log_category category, const char *process,
	int64_t real_ms, const char *event, const struct kv *fields);

/* The empty first element lets the list of fields be empty; without __VA_OPT__, which cppcheck
 * cannot read. */
#define LOG_AT(level, category, event, ...) \
	log_write(level, category, event, (const struct kv[]) { { 0 }, ##__VA_ARGS__, { 0 } } + 1)
#define log_debug(category, event, ...) LOG_AT(LOG_DEBUG, category, event, ##__VA_ARGS__)
#define log_info(category, event, ...)	LOG_AT(LOG_INFO, category, event, ##__VA_ARGS__)
#define log_warn(category, event, ...)	LOG_AT(LOG_WARN, category, event, ##__VA_ARGS__)
#define log_error(category, event, ...) LOG_AT(LOG_ERROR, category, event, ##__VA_ARGS__)
