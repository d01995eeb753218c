/* SPDX-License-Identifier: MIT */
#include "http/budget.h"

#include "base/compiler.h"
#include "base/mem.h"
#include "http/date.h"
#include "http/http.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Seconds below, instants above: 2001-09-09, and the same in milliseconds. */
#define INSTANT_S  1000000000
#define INSTANT_MS INT64_C(100000000000)
#define PAD_MS	   1000

/* Digits, perhaps with a fraction, at the beginning of text. @return -1: none; large ones are cut
 */
static int64_t number_ms(const char *text)
{
	int64_t value = 0, unit = 100, fraction = 0;
	text += strspn(text, " \t");
	if (!isdigit((unsigned char)*text))
		return -1;
	for (; isdigit((unsigned char)*text); text++)
		value = MIN(value * 10 + (*text - '0'), INT64_C(1000000000000000));
	if (*text == '.')
		for (text++; isdigit((unsigned char)*text); text++, unit /= 10)
			fraction += (*text - '0') * unit;
	return value * 1000 + fraction;
}

/* A parameter of RateLimit: "remaining=5" of the older drafts, "r=5" of the newer. */
static int64_t parameter_ms(const char *text, const char *name)
{
	size_t len = strlen(name);
	bool quoted = false, begins = true;
	for (; *text; text++) {
		if (*text == '"')
			quoted = !quoted;
		else if (!quoted && begins && strncasecmp(text, name, len) == 0 && text[len] == '=')
			return number_ms(text + len + 1);
		begins = !quoted && (*text == ',' || *text == ';' || *text == ' ');
	}
	return -1;
}

static int64_t reset_of(const struct http_budget_headers *h, int64_t now_ms)
{
	int64_t ms = number_ms(h->reset), at_s = 0, now_s = now_ms / 1000;
	if (http_date(&at_s, h->reset, now_s) == 0)
		ms = at_s * 1000;
	if (ms < 0)
		return -1;
	if (ms / 1000 >= INSTANT_MS)
		ms /= 1000;
	else if (ms / 1000 < INSTANT_S)
		return ms;
	/* Both by the server's clock, if it tells it. */
	if (h->date && http_date(&at_s, h->date, now_s) == 0)
		now_ms = at_s * 1000;
	return MAX(ms - now_ms, INT64_C(0));
}

bool http_budget_of(struct http_budget *out, const struct http_budget_headers *h, int64_t now_ms)
{
	int64_t remaining = -1, reset = -1;
	if (h->ratelimit) {
		remaining = parameter_ms(h->ratelimit, "remaining");
		reset = parameter_ms(h->ratelimit, "reset");
		if (remaining < 0 || reset < 0) {
			remaining = parameter_ms(h->ratelimit, "r");
			reset = parameter_ms(h->ratelimit, "t");
		}
	}
	if ((remaining < 0 || reset < 0) && h->remaining && h->reset) {
		remaining = *h->remaining == '-' ? 0 : number_ms(h->remaining);
		reset = reset_of(h, now_ms);
	}
	if (remaining < 0 || reset < 0)
		return false;
	out->remaining = remaining / 1000;
	out->reset_ms = MIN(reset + PAD_MS, (int64_t)HTTP_RETRY_AFTER_MAX_MS);
	return true;
}

bool http_budget_read(struct http_budget *out, const struct http_result *result, int64_t now_ms)
{
	static const char *const names[][2] = {
		{ "X-RateLimit-Remaining", "X-RateLimit-Reset" },
		{ "RateLimit-Remaining", "RateLimit-Reset" },
		{ "X-Rate-Limit-Remaining", "X-Rate-Limit-Reset" },
	};
	struct http_budget_headers h = {
		.ratelimit = http_header(result, "RateLimit", 0),
		.date = http_header(result, "Date", 0),
	};
	for (size_t i = 0; i < ARRAY_SIZE(names) && !(h.remaining && h.reset); i++) {
		h.remaining = http_header(result, names[i][0], 0);
		h.reset = http_header(result, names[i][1], 0);
	}
	return http_budget_of(out, &h, now_ms);
}
