/* SPDX-License-Identifier: MIT */
/*
 * What a run would do with a URL: the worker's own code is led up to where it would be sent. Only
 * robots.txt is asked for on the way, as a run would.
 */
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/kind.h"
#include "config/config.h"
#include "config/kind.h"
#include "crawl/crawl.h"
#include "crawl/kind.h"
#include "crawl/plan.h"
#include "http/fetch.h"
#include "loop/loop.h"
#include "oneshot/sample.h"
#include "url/url.h"
#include "worker/worker.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 2000 };

struct explanation {
	struct sample sample; /* first: the tap's arg */
	struct url *url;
	char *identity;
	bool start; /* one of the crawl's start URLs */
	bool private_allowed;
	const struct config_proxy *proxy; /* of the job; NULL or without url: none */
	const char *verdict;		  /* "fetched", "skipped", "waits", "failed" */
	char reason[700];
};

static void decide(struct explanation *e, const char *verdict, const char *reason)
{
	if (e->verdict)
		return;
	e->verdict = verdict;
	str_clean(e->reason, sizeof(e->reason), reason);
}

/* ---- addresses ---- */

/* Names are the proxy's affair. */
static void judge_proxied(struct explanation *e)
{
	const struct sample *s = &e->sample;
	/* The worker takes the configuration over. */
	const struct config *config = s->worker ? worker_config(s->worker) : s->o->config;
	oneshot_text(s->o->out, config, "proxy", e->proxy->url);
	if (!e->private_allowed && url_is_private(e->url))
		decide(e, "skipped", "private address");
}

/* The guard judges what it connects to; a host of which every address is refused is refused. */
static void judge_addresses(struct explanation *e)
{
	struct json_out *out = e->sample.o->out;
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char host[URL_HOST_MAX] = "", text[INET6_ADDRSTRLEN];
	size_t at = e->url->text[e->url->host.at] == '[', open = 0;
	size_t len = MIN((size_t)e->url->host.len - 2 * at, sizeof(host) - 1);
	memcpy(host, e->url->text + e->url->host.at + at, len);
	int rc = getaddrinfo(host, NULL, &hints, &list);
	json_open_array(out, "addresses");
	for (const struct addrinfo *a = list; rc == 0 && a; a = a->ai_next) {
		bool is_private = url_is_private_ip(a->ai_addr);
		if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0,
			    NI_NUMERICHOST) != 0)
			continue;
		json_open_object(out, NULL);
		json_str(out, "address", text);
		json_bool(out, "private", is_private);
		json_close_object(out);
		open += !is_private || e->private_allowed;
	}
	json_close_array(out);
	if (rc != 0)
		decide(e, "failed", gai_strerror(rc));
	else if (!open)
		decide(e, "skipped", "private address");
	if (rc == 0)
		freeaddrinfo(list);
}

/* ---- the tap ---- */

static bool same_url(const struct explanation *e, const char *url)
{
	CLEANUP(url_freep) struct url *parsed = NULL;
	return url_parse(&parsed, url, URL_MAX_DEFAULT, NULL) == 0 &&
	       str_eq(parsed->text, e->url->text);
}

static bool watch(void *arg, const struct fetch_spec *spec)
{
	struct explanation *e = arg;
	struct sample *s = &e->sample;
	int64_t opens = oneshot_opens_in_ms(sample_limits(s), spec->limits, spec->limit_count);
	bool there = same_url(e, spec->request.url);
	if (!there && opens <= PATIENCE_MS)
		return true; /* robots.txt */
	if (!s->asked) {
		sample_keep_request(s, spec);
		s->opens_in_ms = opens;
		e->private_allowed = spec->request.allow_private;
		if (!there)
			decide(e, "waits", "robots.txt: waits for a limit");
	}
	loop_stop(s->loop);
	return false;
}

/* ---- what ended before ---- */

static void on_ended(void *arg, const struct store_result *r)
{
	struct explanation *e = arg;
	const char *state = store_result_text(r, 0, 0, 0), *reason = store_result_text(r, 0, 0, 1);
	loop_stop(e->sample.loop);
	if (store_result_status(r) == STORE_OK && state)
		decide(e, str_eq(state, "skipped") ? "skipped" : "failed", reason ? reason : "");
}

/* A crawl keeps the reason of each URL, a collect task only errors. */
static void ask_reason(struct explanation *e)
{
	struct sample *s = &e->sample;
	struct store_tx *tx = store_tx_new(s->store, STORE_READ_ONLY);
	if (!tx)
		return;
	if (sample_crawls(s))
		store_tx_sql(
			tx, "SELECT state, reason FROM drover_url ORDER BY depth LIMIT 1", NULL, 0);
	else
		store_tx_sql(tx, "SELECT state, errors FROM drover_run", NULL, 0);
	store_submit(s->store, tx, on_ended, e);
	loop_run(s->loop);
}

/* ---- the whole ---- */

static int take_url(struct explanation *e, const char *text)
{
	struct err err = { 0 };
	if (url_parse(&e->url, text, URL_MAX_DEFAULT, &err) < 0 ||
		url_canonical(&e->identity, text, 0, URL_MAX_DEFAULT, &err) < 0)
		return oneshot_fail(ONESHOT_USAGE, "'%s': %s", text, err.text);
	return ONESHOT_DONE;
}

static bool is_start(const struct explanation *e, const struct crawl_job *spec)
{
	bool found = false;
	for (size_t i = 0; i < spec->start.count && !found; i++) {
		CLEANUP(freep) char *identity = NULL;
		if (url_canonical(&identity, spec->start.items[i], 0, URL_MAX_DEFAULT, NULL) == 0)
			found = str_eq(identity, e->identity);
	}
	return found;
}

static void follow_link(struct explanation *e)
{
	struct plan_set *plans = NULL;
	struct err err = { 0 };
	const struct oneshot *o = e->sample.o;
	if (plan_set_new(&plans, o->config, &err) < 0) {
		decide(e, "failed", err.text);
		return;
	}
	const char *why = plan_refuses(plan_find(plans, o->job->name), e->url, e->start ? 0 : 1);
	if (why && !e->start)
		decide(e, "skipped", why);
	plan_set_drop(plans);
}

/* Its requests go below base_url; the rest is what the worker makes of it. */
static void prepare_collect(struct explanation *e, char **path)
{
	const struct collect_job *spec = e->sample.o->job->spec;
	const char *base = spec->provider->base_url;
	CLEANUP(url_freep) struct url *parsed = NULL;
	if (url_parse(&parsed, base, URL_MAX_DEFAULT, NULL) < 0)
		return;
	size_t len = parsed->len;
	while (len && parsed->text[len - 1] == '/')
		len--;
	const char *rest = e->url->text + len;
	if (strncmp(e->url->text, parsed->text, len) != 0 || !strchr("/?", *rest)) {
		decide(e, "skipped", "not below the provider's base_url: nothing of it goes there");
		return;
	}
	*path = strdup(*rest == '/' ? rest : "");
	if (*path)
		sample_make_plain(e->sample.o, *path);
}

static void write_explanation(struct explanation *e)
{
	struct json_out *out = e->sample.o->out;
	struct sample *s = &e->sample;
	json_str(out, "job", s->o->job->name);
	json_str(out, "url", e->url->text);
	json_str(out, "identity", e->identity);
	if (sample_crawls(s))
		json_bool(out, "start", e->start);
	if (http_proxied(e->proxy, e->url->text))
		judge_proxied(e);
	else
		judge_addresses(e);
	if (!e->verdict && s->opens_in_ms > 0)
		decide(e, "waits", "a limit");
	decide(e, s->asked ? "fetched" : "failed", "");
	json_str(out, "verdict", e->verdict);
	json_str(out, "reason", *e->reason ? e->reason : NULL);
	json_int(out, "opens_in_ms", s->opens_in_ms);
	if (s->asked)
		json_raw(out, NULL, buf_str(&s->request), s->request.len);
}

int oneshot_explain(struct oneshot *o, const char *url)
{
	static const struct fetch_tap tap = { .sending = watch, .keeps = true };
	struct explanation e = { .sample = { .o = o, .records = 1, .tap = &tap } };
	struct sample *s = &e.sample;
	CLEANUP(freep) char *path = NULL;
	bool crawls = sample_crawls(s);
	if (!crawls && !str_eq(o->job->kind->name, "collect"))
		return oneshot_fail(
			ONESHOT_USAGE, "job '%s' is a command: it fetches nothing", o->job->name);
	s->code = take_url(&e, url);
	if (s->code == ONESHOT_DONE && crawls) {
		const struct crawl_job *spec = o->job->spec;
		e.start = is_start(&e, spec);
		e.private_allowed = spec->follow.is_private;
		e.proxy = &spec->proxy;
		follow_link(&e);
		s->payload = e.identity;
	} else if (s->code == ONESHOT_DONE) {
		const struct config_provider *p =
			((const struct collect_job *)o->job->spec)->provider;
		e.private_allowed = p->is_private;
		e.proxy = &p->proxy;
		prepare_collect(&e, &path);
	}
	if (s->code == ONESHOT_DONE && !e.verdict && sample_play(s) == ONESHOT_DONE && !s->asked)
		ask_reason(&e);
	if (s->code == ONESHOT_DONE)
		write_explanation(&e);
	int code = sample_end(s);
	url_free(e.url);
	free(e.identity);
	return code;
}
