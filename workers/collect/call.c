/* SPDX-License-Identifier: MIT */
#include "collect/call.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/json_place.h"
#include "collect/kind.h"
#include "collect/plan.h"
#include "collect/request.h"
#include "collect/template.h"
#include "json/path.h"
#include <errno.h>
#include <string.h>

enum { BODY_MAX = 1024 * 1024, HEADERS_OF_OURS = 1 };

/* What a call is made from. */
struct maker {
	struct call *call;
	const struct plan *plan;
	const char *as, *value;
	struct page_argument page[PAGE_ARGUMENTS]; /* that stand in the body */
	size_t page_count;
	bool failed;
};

static const char *keep(struct maker *m, const char *text, size_t len)
{
	char *copy = arena_alloc(m->call->arena, len + 1);
	if (!copy) {
		m->failed = true;
		return "";
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

static const char *expand(struct maker *m, const char *text)
{
	if (!m->value)
		return text;
	struct buf out = { .max = BODY_MAX };
	template_expand(&out, text, m->as, m->value, buf_add_str);
	m->failed |= buf_failed(&out);
	const char *kept = keep(m, buf_str(&out), out.len);
	buf_finish(&out);
	return kept;
}

static void set_header(struct maker *m, const char *name, const char *value)
{
	struct config_pairs *headers = &m->call->headers;
	size_t i = 0;
	while (i < headers->count && !str_eq_nocase(headers->items[i].name, name))
		i++;
	headers->items[i] = (struct config_pair) { name, value };
	headers->count += i == headers->count;
}

/* In JSON a value stands inside of a text. */
static void add_json(struct maker *m, struct buf *out, const char *json)
{
	template_expand(out, json, m->value ? m->as : NULL, m->value, json_place_escape);
	for (size_t i = 0; i < m->page_count; i++) {
		CLEANUP(json_path_freep) struct json_path *path = NULL;
		const struct page_argument *argument = &m->page[i];
		struct buf whole = { .max = BODY_MAX };
		struct err err;
		if (json_path_new(&path, argument->name, &err) < 0)
			m->failed = true;
		else
			json_place_put(
				&whole, buf_str(out), path, argument->value, argument->number);
		m->failed |= buf_failed(out);
		buf_finish(out);
		*out = whole;
	}
}

static void add_field(struct buf *out, const char *name, const char *value)
{
	if (out->len)
		buf_add_char(out, '&');
	request_add_encoded(out, name);
	buf_add_char(out, '=');
	request_add_encoded(out, value);
}

static bool is_of_page(const struct maker *m, const char *name)
{
	for (size_t i = 0; i < m->page_count; i++)
		if (str_eq(m->page[i].name, name))
			return true;
	return false;
}

static void add_form(struct maker *m, struct buf *out, const struct config_pairs *form)
{
	for (size_t i = 0; i < form->count; i++)
		if (!is_of_page(m, form->items[i].name))
			add_field(out, form->items[i].name, expand(m, form->items[i].value));
	for (size_t i = 0; i < m->page_count; i++)
		add_field(out, m->page[i].name, m->page[i].value);
}

static void make_body(struct maker *m)
{
	const struct collect_body *body = &m->plan->spec->request.body;
	struct buf out = { .max = BODY_MAX };
	if (!body->json && !body->form.count)
		return;
	set_header(m, "Content-Type",
		body->json ? "application/json" : "application/x-www-form-urlencoded");
	if (body->json)
		add_json(m, &out, body->json);
	else
		add_form(m, &out, &body->form);
	m->failed |= buf_failed(&out);
	m->call->body = keep(m, buf_str(&out), out.len);
	m->call->body_len = out.len;
	buf_finish(&out);
}

static void make_headers(struct maker *m)
{
	const struct config_pairs *theirs = &m->plan->provider->headers,
				  *own = &m->plan->spec->request.headers;
	for (size_t i = 0; i < theirs->count; i++)
		set_header(m, theirs->items[i].name, theirs->items[i].value);
	for (size_t i = 0; i < own->count; i++)
		set_header(m, own->items[i].name, expand(m, own->items[i].value));
}

int call_init(struct call *out, const struct plan *plan, const char *value,
	const struct position *at, struct err *err)
{
	const struct collect_request *request = &plan->spec->request;
	size_t most = plan->provider->headers.count + request->headers.count + HEADERS_OF_OURS;
	struct call call = { .method = collect_methods[request->method],
		.once = collect_once(request) };
	struct maker m = {
		.call = &call, .plan = plan, .as = plan->spec->for_each.as, .value = value
	};
	CLEANUP(freep) char *url = NULL;
	int rc = request_url(&url, plan, value, at, err);
	if (rc < 0)
		return rc;
	call.arena = arena_new(0);
	call.headers.items = call.arena
				     ? arena_alloc(call.arena, most * sizeof(*call.headers.items))
				     : NULL;
	if (!call.headers.items) {
		arena_free(call.arena);
		return err_set(err, -ENOMEM, "out of memory");
	}
	if (plan->spec->paginate.in == PAGINATE_IN_BODY)
		m.page_count = request_page(m.page, &plan->spec->paginate, at);
	call.url = keep(&m, url, strlen(url));
	make_body(&m);
	make_headers(&m);
	if (m.failed) {
		arena_free(call.arena);
		return err_set(err, -EINVAL, "the request is larger than %d bytes, or no memory",
			BODY_MAX);
	}
	*out = call;
	return 0;
}

void call_finish(struct call *call)
{
	arena_free(call->arena);
	*call = (struct call) { 0 };
}
