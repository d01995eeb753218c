/* SPDX-License-Identifier: MIT */
#include "log/log.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"
#include "log/record.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static struct {
	bool open, text;
	enum log_level level;
	char process[80];
	int fds[LOG_CATEGORIES];
	uint64_t untold[LOG_CATEGORIES]; /* dropped, and not yet said so in that category */
	uint64_t dropped;
	void (*on_drop)(void *arg); /* NULL: nobody is told */
	void *on_drop_arg;
} state = { .level = LOG_INFO };

enum { HELD_MAX = 8 * PIPE_BUF };

/* Records of the main category that are not written yet. */
static struct {
	char text[HELD_MAX];
	size_t len, count;
	void (*told)(void *arg); /* NULL: nothing is held */
	void *arg;
} held;

static const struct {
	const char *name, *file;
} categories[LOG_CATEGORIES] = {
	[MAIN] = { "main", "drover" },
	[PERFORMANCE] = { "performance", "drover_performance" },
	[ERROR] = { "error", "drover_error" },
	[HEALTH] = { "health", "drover_health" },
	[MEMORY] = { "memory", "drover_memory" },
};

static void write_text(enum log_level level, const char *event, const struct kv *fields);
static void write_record(enum log_level level, enum log_category category, enum log_category to,
	const char *event, const struct kv *fields);
static void hold(const char *record, size_t len);
static void put_or_count(enum log_category to, const char *records, size_t len, size_t count);

const char *log_category_name(enum log_category category)
{
	return categories[category].name;
}

const char *log_category_file(enum log_category category)
{
	return categories[category].file;
}

void log_open(const char *process, const int fds[LOG_CATEGORIES], enum log_level level)
{
	str_copy(state.process, sizeof(state.process), process);
	for (int i = 0; i < LOG_CATEGORIES; i++) {
		int flags = fcntl(fds[i], F_GETFL);
		if (flags != -1)
			fcntl(fds[i], F_SETFL, flags | O_NONBLOCK);
		state.fds[i] = fds[i];
	}
	state.level = level;
	state.open = true;
}

void log_set_text(bool on)
{
	state.text = on;
}

void log_set_level(enum log_level level)
{
	state.level = level;
}

bool log_level_parse(const char *name, enum log_level *out)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!str_eq(name, names[i]))
			continue;
		*out = (enum log_level)i;
		return true;
	}
	return false;
}

uint64_t log_dropped(void)
{
	return state.dropped;
}

void log_write(enum log_level level, enum log_category category, const char *event,
	const struct kv *fields)
{
	int saved_errno = errno;
	if (level < state.level)
		return;
	if (state.text || !state.open)
		write_text(level, event, fields);
	if (state.open) {
		log_tell_drops();
		write_record(level, category, category, event, fields);
		if (level == LOG_ERROR && category != ERROR)
			write_record(level, category, ERROR, event, fields);
	}
	errno = saved_errno;
}

static void write_text(enum log_level level, const char *event, const struct kv *fields)
{
	struct buf line = BUF_INIT;
	record_text(&line, level, clock_real_ms(), event, fields);
	/* Nobody can be told when stderr is broken. */
	if (!buf_failed(&line) && write(STDERR_FILENO, line.data, line.len) == -1)
		errno = 0;
	buf_finish(&line);
}

void log_hold(void (*told)(void *arg), void *arg)
{
	held.told = told;
	held.arg = arg;
	if (!told)
		log_flush();
}

/* At most PIPE_BUF bytes into a FIFO: all or nothing, never mixed with another writer's. */
static bool put(enum log_category to, const char *record, size_t len)
{
	ssize_t n;
	do
		n = len ? write(state.fds[to], record, len) : -1;
	while (n == -1 && len && errno == EINTR);
	return n == (ssize_t)len;
}

static void write_record(enum log_level level, enum log_category category, enum log_category to,
	const char *event, const struct kv *fields)
{
	char record[LOG_RECORD_MAX];
	size_t len = log_render(
		record, level, category, state.process, clock_real_ms(), event, fields);
	if (to == MAIN && (level >= LOG_WARN || held.len + len > sizeof(held.text)))
		log_flush();
	if (to == MAIN && level < LOG_WARN && held.told && len)
		hold(record, len);
	else
		put_or_count(to, record, len, 1);
}

static void hold(const char *record, size_t len)
{
	memcpy(held.text + held.len, record, len);
	held.len += len;
	if (held.count++ == 0)
		held.told(held.arg);
}

/* While a gap is not told, nothing may follow it as if there were none. */
static void put_or_count(enum log_category to, const char *records, size_t len, size_t count)
{
	if (state.untold[to] == 0 && put(to, records, len))
		return;
	bool news = state.untold[to] == 0;
	state.untold[to] += count;
	state.dropped += count;
	if (news && state.on_drop)
		state.on_drop(state.on_drop_arg);
}

void log_on_drop(void (*dropped)(void *arg), void *arg)
{
	state.on_drop = dropped;
	state.on_drop_arg = arg;
}

/* Whole records, at most PIPE_BUF bytes of them: their count, and where they end. */
static size_t next_held(size_t from, size_t *end)
{
	size_t count = 0, at = from;
	for (const char *nl; at < held.len; at = (size_t)(nl - held.text) + 1, count++) {
		nl = memchr(held.text + at, '\n', held.len - at);
		if (!nl || (size_t)(nl - held.text) + 1 - from > PIPE_BUF)
			break;
	}
	*end = count ? at : held.len;
	return MAX(count, (size_t)1);
}

void log_flush(void)
{
	for (size_t from = 0, end; from < held.len; from = end) {
		size_t count = next_held(from, &end);
		put_or_count(MAIN, held.text + from, end - from, count);
	}
	held.len = held.count = 0;
}

bool log_tell_drops(void)
{
	char record[LOG_RECORD_MAX];
	bool all = true;
	for (int i = 0; i < LOG_CATEGORIES; i++) {
		if (state.untold[i] == 0)
			continue;
		size_t len = log_render(record, LOG_WARN, (enum log_category)i, state.process,
			clock_real_ms(), "records_dropped",
			(const struct kv[]) { KV_INT("count", state.untold[i]),
				KV_STR("reason", "the log was not read fast enough"), { 0 } });
		if (put((enum log_category)i, record, len))
			state.untold[i] = 0;
		else
			all = false;
	}
	return all;
}
