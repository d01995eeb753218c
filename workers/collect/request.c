/* SPDX-License-Identifier: MIT */
#include "collect/request.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/incremental.h"
#include "collect/kind.h"
#include "collect/plan.h"
#include "collect/position.h"
#include "collect/template.h"
#include "url/url.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { URL_MAX = 16384 };

void request_add_encoded(struct buf *url, const char *text)
{
	static const char plain[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	for (; *text; text++) {
		if (strchr(plain, *text))
			buf_add_char(url, *text);
		else
			buf_addf(url, "%%%02X", (unsigned char)*text);
	}
}

static void add_argument(struct buf *url, const char *name, const char *value)
{
	buf_add_char(url, strchr(buf_str(url), '?') ? '&' : '?');
	request_add_encoded(url, name);
	buf_add_char(url, '=');
	request_add_encoded(url, value);
}

/* A value must not lead out of the folder that the job names. */
static bool has_dot_segment(const char *path)
{
	for (; *path && *path != '?'; path += strcspn(path, "/?")) {
		path += *path == '/';
		size_t len = strcspn(path, "/?");
		if ((len == 1 || len == 2) && strspn(path, ".") == len)
			return true;
		if (!len && *path != '/')
			break;
	}
	return false;
}

static int add_path(struct buf *url, const struct plan *plan, const char *value, struct err *err)
{
	const char *path = plan->spec->request.path ? plan->spec->request.path : "";
	size_t at = url->len;
	template_expand(
		url, path, value ? plan->spec->for_each.as : NULL, value, request_add_encoded);
	if (value && !buf_failed(url) && has_dot_segment(buf_str(url) + at))
		return err_set(err, -EINVAL, "the value \"%.60s\" makes another path of it", value);
	return 0;
}

static void add_query(struct buf *url, const struct plan *plan, const char *value)
{
	const struct config_pairs *query = &plan->spec->request.query;
	for (size_t i = 0; i < query->count; i++) {
		struct buf text = { .max = URL_MAX };
		template_expand(&text, query->items[i].value,
			value ? plan->spec->for_each.as : NULL, value, buf_add_str);
		add_argument(url, query->items[i].name, buf_str(&text));
		url->failed = url->failed || buf_failed(&text);
		buf_finish(&text);
	}
}

static void set_number(struct page_argument *argument, const char *name, int64_t value)
{
	argument->name = name;
	snprintf(argument->digits, sizeof(argument->digits), "%" PRId64, value);
	argument->value = argument->digits;
	argument->number = true;
}

size_t request_page(struct page_argument out[PAGE_ARGUMENTS], const struct collect_paginate *p,
	const struct position *at)
{
	size_t n = 0;
	if (p->by == PAGINATE_PAGE)
		set_number(&out[n++], p->param, at->page);
	if (p->by == PAGINATE_OFFSET)
		set_number(&out[n++], p->param, p->offset + at->seen);
	if (p->by == PAGINATE_CURSOR && at->token)
		out[n++] = (struct page_argument) { .name = p->param, .value = at->token };
	if (p->by != PAGINATE_NONE && p->size_param)
		set_number(&out[n++], p->size_param, p->size);
	return n;
}

static void add_page(struct buf *url, const struct collect_paginate *p, const struct position *at)
{
	struct page_argument arguments[PAGE_ARGUMENTS];
	size_t n = p->in == PAGINATE_IN_QUERY ? request_page(arguments, p, at) : 0;
	for (size_t i = 0; i < n; i++)
		add_argument(url, arguments[i].name, arguments[i].value);
}

static void add_time(
	struct buf *url, const struct collect_incremental *inc, const char *name, int64_t value)
{
	struct buf text = BUF_INIT;
	incremental_write(&text, inc, value);
	add_argument(url, name, buf_str(&text));
	url->failed = url->failed || buf_failed(&text);
	buf_finish(&text);
}

static void add_incremental(
	struct buf *url, const struct collect_incremental *inc, const struct position *at)
{
	if (inc->cursor && at->since != POSITION_NONE)
		add_time(url, inc, inc->param, at->since);
	if (inc->cursor && inc->until && at->until != POSITION_NONE)
		add_time(url, inc, inc->until, at->until);
}

/* The provider gave the whole URL, which was judged when it came. */
static bool has_own_url(const struct plan *plan, const struct position *at)
{
	int by = plan->spec->paginate.by;
	return at->token && (by == PAGINATE_NEXT || by == PAGINATE_LINK);
}

int request_url(char **out, const struct plan *plan, const char *value, const struct position *at,
	struct err *err)
{
	CLEANUP(buf_finish) struct buf url = { .max = URL_MAX };
	CLEANUP(url_freep) struct url *parsed = NULL;
	const char *base = plan->provider->base_url, *path = plan->spec->request.path;
	size_t len = strlen(base);
	if (has_own_url(plan, at)) {
		*out = strdup(at->token);
		return *out ? 0 : err_set(err, -ENOMEM, "out of memory");
	}
	if (len && base[len - 1] == '/' && path && *path == '/')
		len--;
	buf_add(&url, base, len);
	int rc = add_path(&url, plan, value, err);
	if (rc < 0)
		return rc;
	add_query(&url, plan, value);
	add_incremental(&url, &plan->spec->incremental, at);
	add_page(&url, &plan->spec->paginate, at);
	if (buf_failed(&url))
		return err_set(err, -EINVAL, "the URL is longer than %d bytes", URL_MAX);
	rc = url_parse(&parsed, buf_str(&url), URL_MAX, err);
	if (rc < 0) /* its words may hold the URL, and that a key */
		return err_set(err, rc == -ENOMEM ? rc : -EINVAL,
			"base_url, path and query of provider %s make no URL",
			plan->provider->name);
	*out = strdup(parsed->text);
	return *out ? 0 : err_set(err, -ENOMEM, "out of memory");
}

char *request_name(char *dst, size_t size, const struct plan *plan, const char *value, int64_t page)
{
	const struct collect_job *spec = plan->spec;
	const char *path = spec->request.path ? spec->request.path : "";
	struct buf text = { .max = size };
	buf_addf(&text, "%s %s %.*s", collect_methods[spec->request.method], plan->provider->name,
		(int)strcspn(path, "?#"), path);
	if (value)
		buf_addf(&text, " %s=%.60s", spec->for_each.as, value);
	if (spec->paginate.by != PAGINATE_NONE)
		buf_addf(&text, " page %" PRId64, page);
	(void)str_copy(dst, size, buf_str(&text));
	buf_finish(&text);
	return dst;
}
