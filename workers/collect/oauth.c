/* SPDX-License-Identifier: MIT */
#include "collect/oauth.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "collect/auth.h"
#include "collect/hosts.h"
#include "collect/payload.h"
#include "collect/request.h"
#include "collect/token_file.h"
#include "log/log.h"
#include "loop/loop.h"
#include "json/record.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
	EARLY_MS = 60000,  /* a token is replaced this long before its end, or a quarter of its life
			    */
	LIFE_MS = 3600000, /* of one that does not say (RFC 6749 5.1) */
	LOCK_PAUSE_MS = 50,
	REST_MS = 1000, /* after a failure nobody asks again for so long */
	ANSWER_MAX = 65536,
};

struct oauth {
	struct oauth_place place;
	struct arena *arena; /* of what is copied: an answer may come after the configuration left
			      */
	const char *name;
	struct config_oauth2 spec;
	struct config_proxy proxy;
	struct fetch_spec call;
	struct limit_spec limit;
	struct token_file file;
	struct token token;
	char *header;  /* "Bearer ..." of the token */
	char *refused; /* a header that the provider did not take */
	struct list waiting;
	struct loop_timer *timer;
	struct fetch *fetch;
	char *body;
	struct buf answer;
	int64_t rest_until_ms;
	char problem[256];
};

static void try(void *arg);

bool oauth_busy(const struct oauth *o)
{
	return o->fetch;
}

/* ---- the token that is there ---- */

static bool is_fresh(const struct token *t)
{
	return t->access && clock_real_ms() < t->ends_ms - MIN(t->life_ms / 4, (int64_t)EARLY_MS);
}

static int take(struct oauth *o, struct token *t)
{
	char *header = NULL;
	if (t->access && asprintf(&header, "Bearer %s", t->access) < 0)
		return -ENOMEM;
	if (o->header)
		explicit_bzero(o->header, strlen(o->header));
	free(o->header);
	o->header = header;
	token_finish(&o->token);
	o->token = *t;
	*t = (struct token) { 0 };
	return 0;
}

static void forget_refused(struct oauth *o)
{
	free(o->refused);
	o->refused = NULL;
}

static bool is_refused(const struct oauth *o)
{
	return o->refused && o->header && str_eq(o->refused, o->header);
}

static const char *header(void *arg)
{
	const struct oauth *o = arg;
	return o->header && is_fresh(&o->token) && !is_refused(o) ? o->header : NULL;
}

/* Of calls that were sent with the one before nothing is learned: it has been replaced already. */
static void refuse(void *arg, const char *words)
{
	struct oauth *o = arg;
	if (!o->header || !str_eq(o->header, words))
		return;
	forget_refused(o);
	o->refused = strdup(words);
}

static void wake(struct oauth *o, const char *problem)
{
	struct list woken;
	list_init(&woken);
	/* Who comes to wait again, waits for the next. */
	LIST_FOR_EACH_SAFE (node, &o->waiting) {
		list_remove(node);
		list_add_tail(&woken, node);
	}
	for (struct token_wait *w; (w = LIST_FIRST(&woken, struct token_wait, node));) {
		list_remove(&w->node);
		w->came(w->arg, problem);
	}
}

static void over(struct oauth *o, const char *problem)
{
	token_file_unlock(&o->file);
	if (problem) {
		snprintf(o->problem, sizeof(o->problem), "token: %s", problem);
		o->rest_until_ms = clock_mono_ms() + REST_MS;
		log_warn(MAIN, "token_refused", KV_STR("provider", o->name),
			KV_STR("error", o->problem));
	}
	wake(o, problem ? o->problem : NULL);
}

static void want(void *arg, struct token_wait *wait)
{
	struct oauth *o = arg;
	list_add_tail(&o->waiting, &wait->node);
	if (!o->fetch && !loop_timer_armed(o->timer))
		loop_timer_start(o->timer, 0);
}

const struct fetch_tokens oauth_tokens = { .header = header, .want = want, .refuse = refuse };

/* ---- asking for the next ---- */

static void add_field(struct buf *form, const char *name, const char *value)
{
	if (!value)
		return;
	if (form->len)
		buf_add_char(form, '&');
	request_add_encoded(form, name);
	buf_add_char(form, '=');
	request_add_encoded(form, value);
}

static bool by_refresh(const struct oauth *o)
{
	return o->spec.grant == GRANT_REFRESH_TOKEN;
}

static int make_body(struct oauth *o)
{
	struct buf form = { .max = ANSWER_MAX };
	bool in_body = o->spec.client_auth == CLIENT_AUTH_BODY || !o->spec.client_secret;
	add_field(&form, "grant_type", by_refresh(o) ? "refresh_token" : "client_credentials");
	if (by_refresh(o))
		add_field(&form, "refresh_token",
			o->token.refresh ? o->token.refresh : o->spec.refresh_token);
	add_field(&form, "scope", o->spec.scope);
	if (in_body) {
		add_field(&form, "client_id", o->spec.client_id);
		add_field(&form, "client_secret", o->spec.client_secret);
	}
	for (size_t i = 0; i < o->spec.params.count; i++)
		add_field(&form, o->spec.params.items[i].name, o->spec.params.items[i].value);
	free(o->body);
	o->body = buf_detach(&form);
	return o->body ? 0 : -ENOMEM;
}

static bool on_body(void *arg, const char *data, size_t len)
{
	struct oauth *o = arg;
	buf_add(&o->answer, data, len);
	return !buf_failed(&o->answer);
}

static void on_restart(void *arg)
{
	struct oauth *o = arg;
	buf_reset(&o->answer);
}

static int text_of(char **out, struct json_record *record, const char *name)
{
	struct json_value value = { 0 };
	int rc = payload_member(record, name, COLUMN_TEXT, &value, NULL);
	if (rc < 0 || value.type != JSON_VALUE_TEXT || !value.len)
		return rc;
	*out = strndup(value.text, value.len);
	return *out ? 0 : -ENOMEM;
}

/* A token goes into a header. */
static bool is_clean(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || (unsigned char)*text == 0x7f)
			return false;
	return true;
}

/* @return NULL, or what is wrong with it; the words hold nothing of it */
static const char *read_answer(struct oauth *o, struct token *t)
{
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	CLEANUP(freep) char *type = NULL;
	struct json_value life = { 0 };
	if (json_record_new(&record, buf_str(&o->answer), o->answer.len, NULL) < 0 ||
		text_of(&t->access, record, "access_token") < 0 ||
		text_of(&t->refresh, record, "refresh_token") < 0 ||
		text_of(&type, record, "token_type") < 0 ||
		payload_member(record, "expires_in", COLUMN_INTEGER, &life, NULL) < 0)
		return "the answer of token_url is not what RFC 6749 says";
	if (!t->access || !is_clean(t->access))
		return "the answer of token_url holds no access_token";
	if (type && !str_eq_nocase(type, "bearer"))
		return "the answer of token_url holds a token of another type than bearer";
	if (life.type == JSON_VALUE_INT && (life.i <= 0 || life.i > INT64_C(3650) * 86400))
		return "the answer of token_url holds a token that has ended already";
	t->life_ms = life.type == JSON_VALUE_INT ? life.i * 1000 : LIFE_MS;
	t->ends_ms = clock_real_ms() + t->life_ms;
	if (t->refresh)
		return NULL;
	/* The old one stays good (RFC 6749 6). */
	const char *old = o->token.refresh;
	t->refresh = old ? strdup(old) : NULL;
	return old && !t->refresh ? "out of memory" : NULL;
}

/* RFC 6749 5.2: one word of a known list, told so that it can be looked up. */
static const char *error_of(struct oauth *o, char dst[80])
{
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	CLEANUP(freep) char *word = NULL;
	if (json_record_new(&record, buf_str(&o->answer), o->answer.len, NULL) < 0 ||
		text_of(&word, record, "error") < 0 || !word || strlen(word) > 40 ||
		strspn(word, "abcdefghijklmnopqrstuvwxyz_") != strlen(word))
		return "";
	snprintf(dst, 80, ", %s", word);
	return dst;
}

static void take_answer(struct oauth *o)
{
	struct token t = { 0 };
	struct err err;
	const char *problem = read_answer(o, &t);
	/* The server may have forgotten the old refresh token: the new one is kept first. */
	if (!problem && !MUTANT(TOKEN_NOT_KEPT) && token_file_write(&o->file, &t, &err) < 0)
		log_error(MAIN, "token_not_kept", KV_STR("provider", o->name),
			KV_STR("error", err.text));
	if (!problem && take(o, &t) < 0)
		problem = "out of memory";
	token_finish(&t);
	/* Some give the same token until it ends. Who waits shows it once more, and learns whether
	 * it is taken now; to ask on and on would not change it. */
	if (!problem && is_refused(o))
		forget_refused(o);
	over(o, problem);
}

static void on_done(void *arg, const struct fetch_result *result)
{
	struct oauth *o = arg;
	char words[300], error[80];
	const struct http_result *http = result->http;
	o->fetch = NULL;
	explicit_bzero(o->body, strlen(o->body));
	if (result->outcome == FETCH_LATER && !http) {
		token_file_unlock(&o->file);
		loop_timer_start(o->timer, MAX(result->wait_ms, (int64_t)LOCK_PAUSE_MS));
	} else if (result->outcome == FETCH_ANSWER && http->status == 200) {
		take_answer(o);
	} else if (http && http->outcome == HTTP_OK) {
		snprintf(words, sizeof(words), "token_url answers HTTP %ld%s", http->status,
			error_of(o, error));
		over(o, words);
	} else {
		snprintf(words, sizeof(words), "%s: %s",
			http ? http_outcome_name(http->outcome) : "later", http ? http->error : "");
		over(o, words);
	}
	if (o->answer.data)
		explicit_bzero(o->answer.data, o->answer.cap);
	buf_reset(&o->answer);
}

static void ask(struct oauth *o)
{
	static const struct fetch_ops ops = {
		.body = on_body, .restart = on_restart, .done = on_done
	};
	struct err err;
	buf_reset(&o->answer);
	if (make_body(o) < 0) {
		over(o, "out of memory");
		return;
	}
	o->call.request.body = o->body;
	o->call.request.body_len = strlen(o->body);
	if (fetch_start(&o->fetch, o->place.fetcher, &o->call, &ops, o, &err) < 0) {
		o->fetch = NULL;
		over(o, err.text);
	}
}

/* Somebody may have asked meanwhile: what is in the file goes first. */
static void try(void *arg)
{
	struct oauth *o = arg;
	struct token t = { 0 };
	if (list_empty(&o->waiting) || o->fetch)
		return;
	if (clock_mono_ms() < o->rest_until_ms) {
		wake(o, o->problem);
		return;
	}
	int rc = token_file_lock(&o->file);
	if (rc == -EAGAIN) {
		loop_timer_start(o->timer, LOCK_PAUSE_MS);
		return;
	}
	if (rc == 0)
		rc = token_file_read(&o->file, &t);
	if (rc == 0 && (t.access || t.refresh))
		rc = take(o, &t);
	token_finish(&t);
	if (rc < 0)
		over(o, strerror(-rc));
	else if (header(o))
		over(o, NULL);
	else
		ask(o);
}

/* ---- beginning and end ---- */

static const char *copy(struct oauth *o, const char *text, bool *failed)
{
	const char *kept = text ? arena_strdup(o->arena, text) : NULL;
	*failed |= text && !kept;
	return kept;
}

static void copy_pairs(struct oauth *o, struct config_pairs *pairs, bool *failed)
{
	struct config_pair *items = arena_alloc(o->arena, (pairs->count + 1) * sizeof(*items));
	*failed |= !items;
	for (size_t i = 0; items && i < pairs->count; i++)
		items[i] = (struct config_pair) { copy(o, pairs->items[i].name, failed),
			copy(o, pairs->items[i].value, failed) };
	pairs->items = items;
}

static bool copy_spec(struct oauth *o, const struct config_oauth2 *spec)
{
	bool failed = false;
	o->spec = *spec;
	o->spec.token_url = copy(o, spec->token_url, &failed);
	o->spec.client_id = copy(o, spec->client_id, &failed);
	o->spec.client_secret = copy(o, spec->client_secret, &failed);
	o->spec.scope = copy(o, spec->scope, &failed);
	o->spec.refresh_token = copy(o, spec->refresh_token, &failed);
	copy_pairs(o, &o->spec.params, &failed);
	return !failed;
}

static bool copy_limit(struct oauth *o, const struct limit_spec *limit)
{
	bool failed = false;
	size_t size = limit->window_count * sizeof(*limit->windows);
	struct limit_window *windows = arena_alloc(o->arena, size + 1);
	if (!windows)
		return false;
	memcpy(windows, limit->windows, size);
	o->limit = *limit;
	o->limit.windows = windows;
	o->limit.key = copy(o, limit->key, &failed);
	return !failed;
}

static bool copy_proxy(struct oauth *o, const struct config_proxy *from)
{
	size_t count = from->no_proxy.count;
	const char **direct = arena_alloc(o->arena, (count + 1) * sizeof(*direct));
	bool failed = !direct;
	o->proxy = (struct config_proxy) { .url = copy(o, from->url, &failed),
		.user = copy(o, from->user, &failed),
		.password = copy(o, from->password, &failed),
		.ca = copy(o, from->ca, &failed),
		.no_proxy = { direct, direct ? count : 0 } };
	for (size_t i = 0; direct && i < count; i++)
		direct[i] = copy(o, from->no_proxy.items[i], &failed);
	return !failed;
}

static bool make_call(struct oauth *o, const struct config_provider *p)
{
	bool in_header = o->spec.client_auth == CLIENT_AUTH_BASIC && o->spec.client_secret;
	struct config_pair *headers = arena_alloc(o->arena, 3 * sizeof(*headers));
	struct config_retry_when *when = arena_alloc(o->arena, sizeof(*when));
	if (!headers || !when)
		return false;
	bool failed = false;
	struct http_profile profile = auth_profile(p);
	profile.ca = copy(o, profile.ca, &failed);
	profile.certificate = copy(o, profile.certificate, &failed);
	profile.certificate_key = copy(o, profile.certificate_key, &failed);
	failed |= !copy_proxy(o, &p->proxy);
	profile.proxy = o->proxy.url ? &o->proxy : NULL;
	*when = p->retry.when;
	headers[0] = (struct config_pair) { "Accept", "application/json" };
	headers[1] = (struct config_pair) { "Content-Type", "application/x-www-form-urlencoded" };
	if (in_header)
		headers[2] = (struct config_pair) { "Authorization",
			auth_basic_encoded(o->arena, o->spec.client_id, o->spec.client_secret) };
	o->call = (struct fetch_spec) {
		.request = { .method = "POST",
			.url = o->spec.token_url,
			.headers = { headers, in_header ? 3 : 2 },
			.profile = profile,
			.connect_ms = p->timeout.connect_ms,
			.idle_ms = p->timeout.idle_ms,
			.total_ms = p->timeout.total_ms,
			.max_body = ANSWER_MAX,
			.allow_private = p->is_private,
			/* One that rotates is taken once. */
			.once = by_refresh(o) },
		.limits = &o->limit,
		.limit_count = 1,
		.places = hosts_places(o->place.hosts, p),
		.retry = { .attempts = p->retry.attempts,
			.when = when,
			.backoff_initial_ms = p->retry.backoff.initial_ms,
			.backoff_factor = p->retry.backoff.factor,
			.backoff_max_ms = p->retry.backoff.max_ms,
			.jitter = p->retry.backoff.jitter },
		.context = { .provider = o->name },
		.max_wait_ms = 5000,
	};
	if (o->call.places.pool)
		o->call.places.pool = o->name;
	return !failed && (!in_header || headers[2].value);
}

/* A token of other words is another's. */
static void client_of(const struct config_oauth2 *spec, char dst[17])
{
	XXH64_hash_t hash = 0;
	const char *const words[] = { spec->token_url, spec->client_id, spec->scope,
		spec->refresh_token };
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		hash = XXH64(
			words[i] ? words[i] : "", words[i] ? strlen(words[i]) + 1 : 0, hash + i);
	for (size_t i = 0; i < spec->params.count; i++)
		hash = XXH64(
			spec->params.items[i].value, strlen(spec->params.items[i].value), hash + 1);
	snprintf(dst, 17, "%016" PRIx64, (uint64_t)hash);
}

int oauth_new(struct oauth **out, const struct oauth_place *place,
	const struct config_provider *provider, const struct limit_spec *limit, struct err *err)
{
	char client[17];
	bool failed = false;
	struct oauth *o = NEW(struct oauth);
	if (!o)
		return err_set(err, -ENOMEM, "out of memory");
	o->place = *place;
	o->place.hosts = hosts_hold(place->hosts);
	o->file.lock_fd = -1;
	o->answer.max = ANSWER_MAX;
	list_init(&o->waiting);
	o->arena = arena_new(0);
	o->timer = loop_timer_new(place->loop, try, o);
	int rc = o->arena && o->timer ? 0 : -ENOMEM;
	if (rc == 0)
		o->name = copy(o, provider->name, &failed);
	if (rc == 0 && (failed || !copy_spec(o, &provider->auth.oauth2) || !copy_limit(o, limit) ||
			       !make_call(o, provider)))
		rc = -ENOMEM;
	if (rc == 0) {
		client_of(&o->spec, client);
		rc = token_file_init(&o->file, place->state_dir, o->name, client, err);
	} else {
		err_set(err, rc, "out of memory");
	}
	if (rc < 0) {
		oauth_free(o);
		return err_wrap(err, "provider %s", provider->name);
	}
	*out = o;
	return 0;
}

void oauth_free(struct oauth *o)
{
	if (!o)
		return;
	fetch_cancel(o->fetch);
	hosts_drop(o->place.hosts);
	loop_timer_free(o->timer);
	token_file_finish(&o->file);
	token_finish(&o->token);
	if (o->header)
		explicit_bzero(o->header, strlen(o->header));
	free(o->header);
	free(o->refused);
	free(o->body);
	buf_finish(&o->answer);
	arena_free(o->arena);
	free(o);
}
