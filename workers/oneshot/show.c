/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "config/check.h"
#include "config/config.h"
#include "config/hide.h"
#include "config/kind.h"
#include "http/fetch.h"
#include "oneshot/oneshot.h"
#include <string.h>

enum { BODY_SHOWN = 2000 };

void oneshot_text(
	struct json_out *out, const struct config *config, const char *key, const char *text)
{
	struct buf shown = BUF_INIT;
	config_hide(config, &shown, text);
	json_strn(out, key, buf_str(&shown), shown.len);
	out->buf->failed = out->buf->failed || buf_failed(&shown);
	buf_finish(&shown);
}

/* Cut behind the hiding: half a secret would not be known again. */
static void show_body(
	struct json_out *out, const struct config *config, const char *body, size_t len)
{
	CLEANUP(buf_finish) struct buf shown = BUF_INIT;
	CLEANUP(freep) char *text = strndup(body, len);
	if (text)
		config_hide(config, &shown, text);
	out->buf->failed = out->buf->failed || !text || buf_failed(&shown);
	json_strn(out, "body", buf_str(&shown), MIN(shown.len, (size_t)BODY_SHOWN));
	json_int(out, "body_bytes", (int64_t)len);
}

void oneshot_request(
	struct json_out *out, const struct config *config, const struct fetch_spec *spec)
{
	const struct http_request *request = &spec->request;
	json_open_object(out, "request");
	json_str(out, "method", request->method);
	oneshot_text(out, config, "url", request->url);
	json_open_object(out, "headers");
	for (size_t i = 0; i < request->headers.count; i++) {
		const struct config_pair *header = &request->headers.items[i];
		oneshot_text(out, config, header->name,
			config_hides_header(header->name) ? "***" : header->value);
	}
	json_close_object(out);
	if (request->body)
		show_body(out, config, request->body, request->body_len);
	if (http_proxied(request->profile.proxy, request->url))
		oneshot_text(out, config, "proxy", request->profile.proxy->url);
	json_int(out, "total_timeout_ms", request->total_ms);
	json_int(out, "attempts", spec->retry.attempts);
	json_bool(out, "private_allowed", request->allow_private);
	json_close_object(out);
}

void oneshot_table(struct json_out *out, const struct config_job *job)
{
	struct config_column columns[CONFIG_COLUMNS_MAX];
	size_t count = job->kind->job_columns(job, columns, CONFIG_COLUMNS_MAX);
	json_open_object(out, "store");
	json_str(out, "table", job->store.table);
	json_str(out, "mode", job->store.mode == STORE_APPEND ? "append" : "upsert");
	json_open_array(out, "key");
	for (size_t i = 0; i < job->store.key.count; i++)
		json_str(out, NULL, job->store.key.items[i]);
	json_close_array(out);
	json_open_object(out, "columns");
	for (size_t i = 0; i < count && i < CONFIG_COLUMNS_MAX; i++)
		json_str(out, columns[i].name, column_types[columns[i].type]);
	json_close_object(out);
	json_close_object(out);
}
