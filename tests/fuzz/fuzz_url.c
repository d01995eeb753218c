/* SPDX-License-Identifier: MIT */
/*
 * A reference resolves to clean ASCII within its bound or is refused; what comes out reads back as
 * itself, its parts lie in it in order, and its canonical text is its own canonical text.
 * Input: base, NUL, reference.
 */
#include "base/err.h"
#include "url/url.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void demand(int holds)
{
	if (!holds)
		abort();
}

static void judge_parts(const struct url *u)
{
	demand(u->len == strlen(u->text) && u->len <= URL_MAX_DEFAULT);
	for (size_t i = 0; i < u->len; i++)
		demand(u->text[i] > ' ' && u->text[i] < 0x7f);
	size_t host_end = u->host.at + u->host.len, path_end = u->path.at + u->path.len;
	demand(u->host.len > 0 && u->host.at > u->scheme.len && host_end <= u->path.at);
	demand(u->text[u->path.at] == '/' && path_end <= u->len);
	demand(!u->has_query ||
		(u->query.at == path_end + 1 && u->query.at + u->query.len <= u->len));
	demand(!u->has_fragment || u->fragment.at + u->fragment.len == u->len);
}

static void judge(const struct url *u)
{
	struct url *again = NULL;
	char key[URL_ORIGIN_MAX], *canonical = NULL, *twice = NULL, domain[URL_HOST_MAX];
	judge_parts(u);
	demand(url_parse(&again, u->text, URL_MAX_DEFAULT, NULL) == 0);
	demand(strcmp(again->text, u->text) == 0 && again->port == u->port);
	url_free(again);
	demand(strlen(url_origin(key, u)) < sizeof(key) && strlen(url_host_key(key, u)) > 2);
	(void)url_target(key, sizeof(key), u);
	char *host = strndup(u->text + u->host.at, u->host.len);
	demand(host != NULL);
	demand(url_domain(domain, host, NULL) == 0 && url_in_domain(u, domain));
	free(host);
	/* the page itself */
	again = NULL;
	demand(url_resolve(&again, u, "", 0, URL_MAX_DEFAULT, NULL) == 0 && !again->has_fragment);
	demand(strncmp(again->text, u->text, again->len) == 0);
	url_free(again);
	if (url_canonical(&canonical, u->text, URL_SORT_QUERY, URL_MAX_DEFAULT, NULL) == 0) {
		demand(url_canonical(&twice, canonical, URL_SORT_QUERY, URL_MAX_DEFAULT, NULL) ==
			0);
		demand(strcmp(canonical, twice) == 0);
	}
	free(canonical);
	free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct url *base = NULL, *url = NULL;
	struct err err = { 0 };
	char *text = strndup((const char *)data, size), *canonical = NULL;
	demand(text != NULL);
	size_t base_len = strlen(text), at = base_len < size ? base_len + 1 : size;
	if (url_parse(&base, text, URL_MAX_DEFAULT, &err) == 0)
		judge(base);
	else
		demand(err.text[0] && !base);
	if (url_resolve(&url, base, (const char *)data + at, size - at, URL_MAX_DEFAULT, &err) == 0)
		judge(url);
	if (url_canonical(&canonical, text, URL_KEEP_FRAGMENT, URL_MAX_DEFAULT, NULL) == 0)
		demand(strlen(canonical) <= URL_MAX_DEFAULT);
	free(canonical);
	free(text);
	url_free(url);
	url_free(base);
	return 0;
}
