/* SPDX-License-Identifier: MIT */
#include "collect/on_error.h"

#include "base/mem.h"
#include "base/str.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

void error_watch_init(struct error_watch *w, const struct config_array *rules)
{
	const struct collect_error_rule *items = rules->items;
	*w = (struct error_watch) { .rules = rules, .body = { .max = ERROR_BODY_MAX + 1 } };
	for (size_t i = 0; i < rules->count; i++)
		w->looks |= items[i].body != NULL;
}

void error_watch_finish(struct error_watch *w)
{
	buf_finish(&w->body);
}

void error_watch_reset(struct error_watch *w)
{
	buf_reset(&w->body);
	w->hit = NULL;
}

bool error_watch_open(const struct error_watch *w)
{
	return w->looks && w->body.len < ERROR_BODY_MAX;
}

void error_watch_body(struct error_watch *w, const char *data, size_t len)
{
	if (error_watch_open(w))
		buf_add(&w->body, data, MIN(len, ERROR_BODY_MAX - w->body.len));
}

static bool is_status(const struct config_strings *statuses, long status)
{
	char text[24], class[24];
	snprintf(text, sizeof(text), "%ld", status);
	snprintf(class, sizeof(class), "%ldxx", status / 100);
	for (size_t i = 0; i < statuses->count; i++)
		if (str_eq(statuses->items[i], text) || str_eq(statuses->items[i], class))
			return true;
	return statuses->count == 0;
}

static bool has_headers(const struct config_pairs *headers, const struct http_result *http)
{
	for (size_t i = 0; i < headers->count; i++) {
		const char *value;
		bool found = false;
		for (size_t n = 0; !found && (value = http_header(http, headers->items[i].name, n));
			n++)
			found = strstr(value, headers->items[i].value);
		if (!found)
			return false;
	}
	return true;
}

static bool holds(const struct error_watch *w, const struct collect_error_rule *rule,
	const struct http_result *http)
{
	if (!is_status(&rule->status, http->status) || !has_headers(&rule->header, http))
		return false;
	return !rule->body ||
	       memmem(buf_str(&w->body), w->body.len, rule->body, strlen(rule->body));
}

enum fetch_verdict error_watch_judge(
	struct error_watch *w, const struct http_result *http, int64_t *wait_ms)
{
	const struct collect_error_rule *rules = w->rules->items;
	w->hit = NULL;
	for (size_t i = 0; i < w->rules->count && !w->hit; i++)
		if (holds(w, &rules[i], http))
			w->hit = &rules[i];
	buf_reset(&w->body);
	if (!w->hit)
		return FETCH_AS_USUAL;
	switch (w->hit->then) {
	case THEN_RETRY: return FETCH_TRY_AGAIN;
	case THEN_WAIT: *wait_ms = w->hit->wait_ms; return FETCH_SLOW_DOWN;
	case THEN_REFRESH: return FETCH_NEW_TOKEN;
	default: return FETCH_IS_ANSWER;
	}
}

void error_watch_words(const struct error_watch *w, long status, char *dst, size_t size)
{
	if (w->hit && w->hit->body)
		snprintf(dst, size, "HTTP %ld with \"%.60s\", on_error: %s", status, w->hit->body,
			collect_then_names[w->hit->then]);
	else
		snprintf(dst, size, "HTTP %ld, on_error: %s", status,
			w->hit ? collect_then_names[w->hit->then] : "");
}
