/* SPDX-License-Identifier: MIT */
/*
 * What is read of the headers of an answer: Link, dates, Retry-After, budgets, the charset of a
 * type, the place a redirect leads to. Input: a byte for the header, then its text; of budgets four
 * texts, a line each.
 */
#include "base/err.h"
#include "html/charset.h"
#include "http/budget.h"
#include "http/date.h"
#include "http/hop.h"
#include "http/http.h"
#include "http/link.h"
#include <stdlib.h>
#include <string.h>

enum { DAY_MS = 24 * 3600 * 1000 };
static const int64_t now_ms = 1800000000000;

static void demand(int holds)
{
	if (!holds)
		abort();
}

static void read_link(const char *text)
{
	const char *uri = NULL;
	size_t len = 0;
	if (!http_link_find(text, "next", &uri, &len))
		return;
	demand(uri > text && uri + len < text + strlen(text));
	demand(uri[-1] == '<' && uri[len] == '>');
}

static void read_date(const char *text)
{
	int64_t at = 0;
	if (http_date(&at, text, now_ms / 1000) == 0)
		demand(at > -100000000000 && at < 400000000000);
	int64_t wait = http_retry_after_ms(text, now_ms);
	demand(wait >= -1 && wait <= HTTP_RETRY_AFTER_MAX_MS);
}

static void read_budget(char *text)
{
	char *lines[4] = { NULL };
	for (size_t i = 0; i < 4 && text; i++) {
		lines[i] = text;
		text = strchr(text, '\n');
		if (text)
			*text++ = '\0';
		/* An empty line: the header is absent. */
		if (!*lines[i])
			lines[i] = NULL;
	}
	const struct http_budget_headers headers = { lines[0], lines[1], lines[2], lines[3] };
	struct http_budget budget;
	if (http_budget_of(&budget, &headers, now_ms))
		demand(budget.remaining >= 0 && budget.reset_ms >= 0 && budget.reset_ms <= DAY_MS);
}

static void follow(const char *text)
{
	const struct http_request first = { .url = "https://example.org:8443/a/b?c=d",
		.method = "POST" };
	const struct fetch_auth auth = { { NULL, 0 }, { NULL, 0 } };
	struct hop hop;
	struct err err;
	hop_init(&hop, &first, &auth);
	for (int i = 0; i <= HOPS_MAX; i++)
		if (hop_follow(&hop, i % 2 ? 302 : 308, text, &err) < 0)
			break;
	demand(hop.redirects <= HOPS_MAX);
	demand(strncmp(hop_url(&hop), "http", 4) == 0);
	hop_finish(&hop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	char *text = strndup((const char *)data + 1, size - 1);
	demand(text != NULL);
	switch (data[0] % 5) {
	case 0: read_link(text); break;
	case 1: read_date(text); break;
	case 2: read_budget(text); break;
	case 3: (void)html_charset_of_type(text); break;
	default: follow(text);
	}
	free(text);
	return 0;
}
