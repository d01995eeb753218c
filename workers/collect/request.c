/* SPDX-License-Identifier: MIT */
#include "collect/request.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/kind.h"
#include "collect/plan.h"
#include "url/url.h"
#include "json/path.h"
#include "json/record.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { URL_MAX = 16384 };

/* One member of the checkpoint, or the whole of it. Absent: the value stays as it is. */
static int member(struct json_record *record, const char *path_text, int type,
	struct json_value *out, struct err *err)
{
	CLEANUP(json_path_freep) struct json_path *path = NULL;
	const struct config_column column = {
		.name = "checkpoint", .path = path_text, .type = type
	};
	int rc = json_path_new(&path, path_text, err);
	return rc < 0 ? rc : json_record_column(record, &column, path, out, err);
}

int position_read(struct position *out, const char *checkpoint, int64_t first_page, struct err *err)
{
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	struct json_value page = { 0 }, records = { 0 }, last = { 0 }, mark = { 0 };
	*out = (struct position) { .page = first_page };
	if (!checkpoint || !*checkpoint)
		return 0;
	int rc = json_record_new(&record, checkpoint, strlen(checkpoint), err);
	bool object = rc == 0 && json_record_is_object(record);
	if (rc == 0)
		rc = member(record, object ? "page" : "", COLUMN_INTEGER, &page, err);
	if (rc == 0 && object)
		rc = member(record, "records", COLUMN_INTEGER, &records, err);
	if (rc == 0 && object)
		rc = member(record, "last", COLUMN_TEXT, &last, err);
	if (rc == 0 && object)
		rc = member(record, "mark", COLUMN_TEXT, &mark, err);
	if (rc < 0 || page.type != JSON_VALUE_INT || page.i < 0 || records.i < 0 ||
		last.len >= sizeof(out->last) || mark.len >= sizeof(out->mark))
		return err_set(err, -EINVAL, "the task's checkpoint is not one of ours");
	out->page = page.i;
	out->records = records.i;
	(void)str_copy(out->last, sizeof(out->last), last.text ? last.text : "");
	(void)str_copy(out->mark, sizeof(out->mark), mark.text ? mark.text : "");
	return 0;
}

char *position_write(char dst[POSITION_TEXT], const struct position *p)
{
	snprintf(dst, POSITION_TEXT,
		"{\"page\":%" PRId64 ",\"records\":%" PRId64 ",\"last\":\"%s\",\"mark\":\"%s\"}",
		p->page, p->records, p->last, p->mark);
	return dst;
}

static void add_encoded(struct buf *url, const char *text)
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
	add_encoded(url, name);
	buf_add_char(url, '=');
	add_encoded(url, value);
}

static void add_number(struct buf *url, const char *name, int64_t value)
{
	char digits[24];
	snprintf(digits, sizeof(digits), "%" PRId64, value);
	add_argument(url, name, digits);
}

int request_url(char **out, const struct plan *plan, int64_t page, struct err *err)
{
	const struct collect_request *request = &plan->spec->request;
	const struct collect_paginate *paginate = &plan->spec->paginate;
	struct buf url = { .max = URL_MAX };
	const char *base = plan->provider->base_url;
	size_t len = strlen(base);
	if (len && base[len - 1] == '/' && request->path && *request->path == '/')
		len--;
	buf_add(&url, base, len);
	buf_add_str(&url, request->path ? request->path : "");
	for (size_t i = 0; i < request->query.count; i++)
		add_argument(&url, request->query.items[i].name, request->query.items[i].value);
	if (paginate->by == PAGINATE_PAGE) {
		add_number(&url, paginate->param, page);
		if (paginate->size_param)
			add_number(&url, paginate->size_param, paginate->size);
	}
	if (buf_failed(&url)) {
		buf_finish(&url);
		return err_set(err, -EINVAL, "the URL is longer than %d bytes", URL_MAX);
	}
	struct url *parsed = NULL;
	int rc = url_parse(&parsed, buf_str(&url), URL_MAX, err);
	buf_finish(&url);
	if (rc < 0) /* its words may hold the URL, and that a key */
		return err_set(err, rc == -ENOMEM ? rc : -EINVAL,
			"base_url, path and query of provider %s make no URL",
			plan->provider->name);
	*out = strdup(parsed->text);
	url_free(parsed);
	return *out ? 0 : err_set(err, -ENOMEM, "out of memory");
}

char *request_name(char *dst, size_t size, const struct plan *plan, int64_t page)
{
	const struct collect_request *request = &plan->spec->request;
	const char *path = request->path ? request->path : "";
	int n = snprintf(
		dst, size, "GET %s %.*s", plan->provider->name, (int)strcspn(path, "?#"), path);
	if (plan->spec->paginate.by == PAGINATE_PAGE && n > 0 && (size_t)n < size)
		snprintf(dst + n, size - (size_t)n, " page %" PRId64, page);
	return dst;
}
