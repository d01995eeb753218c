/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "http/client.h"
#include "http/date.h"
#include "http/decode.h"
#include "loop/loop.h"
#include "url/url.h"
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* Small answers may be packed as tightly as they like. */
#define RATIO_FREE    (1024 * 1024)
/* A page of an API in one call of the kernel; libcurl has one for each transfer under way. */
#define RECEIVE_BYTES 65536L

const char *http_outcome_name(enum http_outcome outcome)
{
	static const char *const names[] = {
		[HTTP_OK] = "ok",
		[HTTP_CONNECT] = "connect",
		[HTTP_TIMEOUT] = "timeout",
		[HTTP_TOO_LARGE] = "too_large",
		[HTTP_PRIVATE] = "private",
		[HTTP_RESENT] = "resent",
		[HTTP_BROKEN] = "broken",
		[HTTP_REDIRECT] = "redirect",
		[HTTP_CANCELLED] = "cancelled",
		[HTTP_PROXY] = "proxy",
	};
	return names[outcome];
}

/* ---- callbacks of libcurl; the client is `inside` ---- */

static bool refuse_address(struct http_transfer *t, const struct sockaddr *address)
{
	/* A proxy is the operator's word, and usually near. */
	if (t->allow_private || t->proxied || !url_is_private_ip(address) ||
		MUTANT(PRIVATE_NOT_JUDGED))
		return false;
	t->refused_private = true;
	return true;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct http_transfer *t = arg;
	if (purpose != CURLSOCKTYPE_IPCXN || t->doomed)
		return CURL_SOCKET_BAD;
	if (refuse_address(t, &address->addr))
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* A kept connection was opened for someone who may have had other rights: judged again. */
static bool refuse_peer(struct http_transfer *t, const char *ip)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	char bare[INET6_ADDRSTRLEN];
	if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1)
		return refuse_address(t, (struct sockaddr *)(void *)&v4);
	(void)str_copy(bare, sizeof(bare), ip);
	bare[strcspn(bare, "%")] = '\0';
	if (inet_pton(AF_INET6, bare, &v6.sin6_addr) != 1)
		v6.sin6_family = AF_UNSPEC;
	return refuse_address(t, (struct sockaddr *)(void *)&v6);
}

/* libcurl sends now, perhaps for the second time. */
static int before_sending(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	struct http_transfer *t = arg;
	(void)local, (void)peer_port, (void)local_port;
	if (t->doomed || (!MUTANT(KEPT_CONNECTION_NOT_JUDGED) && refuse_peer(t, peer)))
		return CURL_PREREQFUNC_ABORT;
	if (t->sendings > 0 && (t->once || !(t->ops.resend && t->ops.resend(t->arg)))) {
		t->refused_resend = true;
		return CURL_PREREQFUNC_ABORT;
	}
	if (t->doomed)
		return CURL_PREREQFUNC_ABORT;
	t->sendings++;
	t->answered_us = 0;
	t->heard_ms = clock_mono_ms();
	if (t->idle_ms > 0)
		loop_timer_start(t->idle, t->idle_ms);
	return CURL_PREREQFUNC_OK;
}

/* libcurl's own bound looks at Content-Length only, and at the bytes before they are unpacked. */
static const char *over_bound(struct http_transfer *t, size_t len)
{
	t->decoded += (int64_t)len;
	if (t->max_body > 0 && t->decoded > t->max_body)
		return "the answer is larger than allowed";
	if (t->decoded <= RATIO_FREE)
		return NULL;
	bool over = (t->decoded - RATIO_FREE) / t->ratio_max > t->received;
	return over ? "the answer is packed more tightly than allowed" : NULL;
}

/* Unpacked bytes. */
static bool on_decoded(void *arg, const char *data, size_t len)
{
	struct http_transfer *t = arg;
	t->too_large = over_bound(t, len);
	if (t->too_large)
		return false;
	if (!t->ops.body || len == 0)
		return true;
	if (!t->ops.body(t->arg, data, len))
		t->stopped = true;
	return !t->stopped && !t->doomed;
}

static int begin_body(struct http_transfer *t, struct err *err)
{
	char coding[256] = "";
	struct curl_header *h = NULL;
	t->has_body = true;
	for (size_t i = 0;
		curl_easy_header(t->easy, "Content-Encoding", i, CURLH_HEADER, -1, &h) == CURLHE_OK;
		i++) {
		size_t at = strlen(coding);
		snprintf(coding + at, sizeof(coding) - at, "%s%s", at ? ", " : "", h->value);
	}
	return http_decoder_new(&t->decoder, coding, on_decoded, t, err);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	size_t len = size * n;
	struct err err = { 0 };
	t->heard_ms = clock_mono_ms();
	t->received += (int64_t)len;
	if (t->doomed)
		return 0;
	int rc = t->has_body ? 0 : begin_body(t, &err);
	if (rc == 0 && !t->decoder)
		return on_decoded(t, data, len) ? len : 0;
	if (rc == 0)
		rc = http_decoder_feed(t->decoder, data, len, &err);
	if (rc == -EINVAL || rc == -ENOMEM)
		(void)str_copy(t->broken, sizeof(t->broken), err.text);
	return rc == 0 ? len : 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct http_transfer *t = arg;
	(void)data;
	t->heard_ms = clock_mono_ms();
	if (t->answered_us == 0 && t->sendings > 0)
		t->answered_us = clock_boot_us();
	t->header_bytes += (int64_t)(size * n);
	if (t->header_bytes > HEADER_BYTES_MAX)
		t->too_large = "the answer's headers are larger than allowed";
	return t->too_large || t->doomed ? 0 : size * n;
}

/* ---- of the loop ---- */

static void give_up_waiting(struct http_transfer *t)
{
	snprintf(t->error, sizeof(t->error), "the name was not looked up within %lld ms",
		(long long)((clock_mono_us() - t->started_us) / 1000));
	gate_leave(t);
	transfer_report(t, CURLE_OPERATION_TIMEDOUT);
	client_retire(t->client, t);
}

static void on_idle(void *arg)
{
	struct http_transfer *t = arg;
	if (t->host) {
		give_up_waiting(t);
		return;
	}
	int64_t quiet = clock_mono_ms() - t->heard_ms;
	if (t->held) /* it is we who do not listen */
		quiet = 0;
	if (quiet < t->idle_ms) {
		loop_timer_start(t->idle, t->idle_ms - quiet);
		return;
	}
	t->idled = true;
	snprintf(t->error, sizeof(t->error), "nothing was heard for %lld ms", (long long)quiet);
	transfer_report(t, CURLE_OPERATION_TIMEDOUT);
	client_retire(t->client, t);
}

struct http_transfer *transfer_new(struct http_client *client)
{
	struct http_transfer *t = NEW(struct http_transfer);
	if (!t)
		return NULL;
	list_init(&t->node);
	t->client = client;
	t->easy = curl_easy_init();
	t->idle = loop_timer_new(client->loop, on_idle, t);
	if (t->easy && t->idle)
		return t;
	transfer_free(t);
	return NULL;
}

void transfer_free(struct http_transfer *t)
{
	if (!t)
		return;
	list_remove(&t->node);
	loop_timer_free(t->idle);
	http_decoder_free(t->decoder);
	curl_easy_cleanup(t->easy);
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->resolve);
	free(t);
}

void transfer_reset(struct http_transfer *t)
{
	struct http_transfer fresh = { .client = t->client, .easy = t->easy, .idle = t->idle };
	loop_timer_stop(t->idle);
	http_decoder_free(t->decoder);
	curl_easy_reset(t->easy); /* keeps connections, TLS sessions and DNS answers */
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->resolve);
	list_remove(&t->node);
	*t = fresh;
	list_init(&t->node);
}

static int add_line(struct http_transfer *t, const char *line, struct err *err)
{
	struct curl_slist *list = curl_slist_append(t->headers, line);
	if (!list)
		return err_set(err, -ENOMEM, "HTTP: out of memory");
	t->headers = list;
	return 0;
}

static int add_header(struct http_transfer *t, const struct config_pair *pair, struct err *err)
{
	/* A line end would begin a header of somebody else's. */
	if (strpbrk(pair->name, "\r\n:") || strpbrk(pair->value, "\r\n") || !*pair->name)
		return err_set(err, -EINVAL, "header %s: not a header", pair->name);
	size_t size = strlen(pair->name) + strlen(pair->value) + 3;
	CLEANUP(freep) char *line = malloc(size);
	if (!line)
		return err_set(err, -ENOMEM, "HTTP: out of memory");
	/* libcurl takes "Name;" for a header without a value. */
	snprintf(line, size, *pair->value ? "%s: %s" : "%s;", pair->name, pair->value);
	return add_line(t, line, err);
}

static void set_fixed_options(struct http_transfer *t)
{
	CURL *e = t->easy;
	(void)curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	(void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
	(void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(e, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
	/* Debian's default CAPATH switches the cache of the CA store off: 21 ms CPU a connection.
	 */
	(void)curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
	/* Lets go of a resolver thread instead of waiting for it, when a transfer ends early. */
	(void)curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	(void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	(void)curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
	(void)curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, HTTP_CODINGS);
	(void)curl_easy_setopt(e, CURLOPT_HTTP_CONTENT_DECODING, 0L); /* decode.h does */
	(void)curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	(void)curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, t);
	(void)curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, before_sending);
	(void)curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
	(void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	(void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a > 0 && b > 0 ? MIN(a, b) : MAX(a, b);
}

void transfer_wait(struct http_transfer *t)
{
	int64_t limit = sooner(t->connect_ms, t->total_ms);
	if (limit > 0)
		loop_timer_start(t->idle, limit);
}

int transfer_know(struct http_transfer *t, const char *name, const char *addresses)
{
	CLEANUP(freep) char *line = NULL;
	int64_t waited = (clock_mono_us() - t->started_us) / 1000;
	if (asprintf(&line, "+%s:%ld:%s", name, t->port, addresses) < 0) {
		line = NULL;
		return -ENOMEM;
	}
	t->resolve = curl_slist_append(NULL, line);
	if (!t->resolve || curl_easy_setopt(t->easy, CURLOPT_RESOLVE, t->resolve) != CURLE_OK)
		return -ENOMEM;
	if (waited > 0 && t->connect_ms > 0)
		(void)curl_easy_setopt(t->easy, CURLOPT_CONNECTTIMEOUT_MS,
			(long)MAX(t->connect_ms - waited, (int64_t)1));
	if (waited > 0 && t->total_ms > 0)
		(void)curl_easy_setopt(
			t->easy, CURLOPT_TIMEOUT_MS, (long)MAX(t->total_ms - waited, (int64_t)1));
	return 0;
}

static bool is_known_method(const char *method)
{
	static const char *const known[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE",
		"OPTIONS" };
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (str_eq(method, known[i]))
			return true;
	return false;
}

static void set_method(struct http_transfer *t, const struct http_request *request)
{
	CURL *e = t->easy;
	bool head = str_eq(request->method, "HEAD"), get = str_eq(request->method, "GET");
	/* Where a body means something, none is one of no bytes. */
	bool post = str_eq(request->method, "POST") || str_eq(request->method, "PUT") ||
		    str_eq(request->method, "PATCH") || (request->body && !head);
	if (post) {
		(void)curl_easy_setopt(e, CURLOPT_POST, 1L);
		(void)curl_easy_setopt(
			e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
		(void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, request->body ? request->body : "");
	}
	(void)curl_easy_setopt(e, CURLOPT_NOBODY, (long)head);
	if (!head && (post || !get))
		(void)curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, request->method);
}

static int add_headers(struct http_transfer *t, const struct http_request *request, struct err *err)
{
	bool typed = false;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < request->headers.count; i++) {
		typed |= str_eq_nocase(request->headers.items[i].name, "Content-Type");
		rc = add_header(t, &request->headers.items[i], err);
	}
	/* It would call every POST a form. */
	if (rc == 0 && !typed)
		rc = add_line(t, "Content-Type:", err);
	/* libcurl would wait for a "100 Continue" with a large body: a second for most servers. */
	if (rc == 0 && request->body)
		rc = add_line(t, "Expect:", err);
	return rc;
}

static int set_profile(struct http_transfer *t, const struct http_request *request, struct err *err)
{
	CURL *e = t->easy;
	const struct http_profile *p = &request->profile;
	bool h2 = !p->http1 && strncasecmp(request->url, "https:", 6) == 0;
	t->dns_ttl_ms = p->dns_ttl_ms > 0 ? p->dns_ttl_ms : DNS_CACHE_MS;
	(void)curl_easy_setopt(e, CURLOPT_DNS_CACHE_TIMEOUT, (long)(t->dns_ttl_ms / 1000));
	if (p->keepalive_ms > 0)
		(void)curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, (long)(p->keepalive_ms / 1000));
	(void)curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, (long)(p->tcp_keepalive_ms > 0));
	if (p->tcp_keepalive_ms > 0) {
		long seconds = (long)(p->tcp_keepalive_ms / 1000);
		(void)curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, seconds);
		(void)curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, seconds);
	}
	/* A burst waits for the first connection, which can take all of it, or says that it cannot.
	 */
	(void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION,
		(long)(h2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
	(void)curl_easy_setopt(e, CURLOPT_PIPEWAIT, (long)h2);
	if ((p->ca && curl_easy_setopt(e, CURLOPT_CAINFO, p->ca) != CURLE_OK) ||
		(p->certificate &&
			curl_easy_setopt(e, CURLOPT_SSLCERT, p->certificate) != CURLE_OK) ||
		(p->certificate_key &&
			curl_easy_setopt(e, CURLOPT_SSLKEY, p->certificate_key) != CURLE_OK))
		return err_set(err, -ENOMEM, "HTTP: out of memory");
	return 0;
}

int transfer_set_up(struct http_transfer *t, const struct http_request *request, struct err *err)
{
	if (!is_known_method(request->method))
		return err_set(err, -EINVAL, "method %.20s is none that is known", request->method);
	int rc = add_headers(t, request, err);
	if (rc < 0)
		return rc;
	set_fixed_options(t);
	set_method(t, request);
	t->allow_private = request->allow_private;
	rc = set_profile(t, request, err);
	if (rc == 0)
		rc = transfer_set_proxy(t, request, err);
	if (rc < 0)
		return rc;
	CURL *e = t->easy;
	(void)curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	(void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
	(void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)request->total_ms);
	t->once = request->once && !MUTANT(POST_SENT_AGAIN);
	(void)curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, (long)(request->fresh || t->once));
	(void)curl_easy_setopt(e, CURLOPT_FORBID_REUSE, (long)request->fresh);
	(void)curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, (long)request->connect_only);
	t->connect_ms = request->connect_ms;
	t->total_ms = request->total_ms;
	t->idle_ms = request->idle_ms;
	t->max_body = request->max_body;
	t->ratio_max = request->ratio_max > 0 ? request->ratio_max : 100;
	if (curl_easy_setopt(e, CURLOPT_USERAGENT, t->client->user_agent) != CURLE_OK ||
		curl_easy_setopt(e, CURLOPT_URL, request->url) != CURLE_OK)
		return err_set(err, -ENOMEM, "HTTP: out of memory");
	return 0;
}

static enum http_outcome outcome_of(struct http_transfer *t, CURLcode code)
{
	enum http_outcome at_proxy;
	if (transfer_failed_at_proxy(t, code, &at_proxy))
		return at_proxy;
	if (code == CURLE_OK && !t->broken[0])
		return HTTP_OK;
	if (t->too_large)
		return HTTP_TOO_LARGE;
	if (t->stopped)
		return HTTP_CANCELLED;
	if (t->broken[0])
		return HTTP_BROKEN;
	if (t->refused_resend)
		return HTTP_RESENT;
	if (t->refused_private && t->sendings == 0)
		return HTTP_PRIVATE;
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT: return HTTP_TIMEOUT;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_INVALIDCERTSTATUS: return HTTP_CONNECT;
	default: return HTTP_BROKEN;
	}
}

static const char *words_of(const struct http_transfer *t, enum http_outcome outcome, CURLcode code)
{
	switch (outcome) {
	case HTTP_OK: return "";
	case HTTP_TOO_LARGE: return t->too_large;
	case HTTP_CANCELLED: return "stopped while reading the answer";
	case HTTP_RESENT: return "the connection died before the answer, not sent again";
	case HTTP_PRIVATE: return "the address is private, and that is not allowed here";
	default: break;
	}
	if (t->broken[0])
		return t->broken;
	if (code ==
		CURLE_OUT_OF_MEMORY) /* so libcurl calls a line over CURL_MAX_HTTP_HEADER, too */
		return "a header line longer than 100 KiB, or no memory";
	return t->error[0] ? t->error : curl_easy_strerror(code);
}

static const char *header_of(const struct http_transfer *t, const char *name, size_t index)
{
	struct curl_header *h = NULL;
	return curl_easy_header(t->easy, name, index, CURLH_HEADER, -1, &h) == CURLHE_OK ? h->value
											 : NULL;
}

const char *http_transfer_header(const struct http_transfer *t, const char *name)
{
	return header_of(t, name, 0);
}

const char *http_header(const struct http_result *result, const char *name, size_t index)
{
	return result->transfer ? header_of(result->transfer, name, index) : NULL;
}

void transfer_report(struct http_transfer *t, CURLcode code)
{
	struct err err = { 0 };
	if (code == CURLE_OK && t->decoder && http_decoder_end(t->decoder, &err) < 0)
		(void)str_copy(t->broken, sizeof(t->broken), err.text);
	struct http_result result = {
		.outcome = outcome_of(t, code),
		.content_type = "",
		.location = "",
		.retry_after_ms = -1,
		.body_bytes = t->decoded,
		.duration_us = clock_mono_us() - t->started_us,
		.sendings = t->sendings,
		.answered_us = t->answered_us,
		.transfer = t,
	};
	const char *value;
	result.error = words_of(t, result.outcome, code);
	if (!t->failed && result.outcome != HTTP_PROXY)
		(void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &result.status);
	if (result.status > 0) {
		if ((value = header_of(t, "Content-Type", 0)))
			result.content_type = value;
		if ((value = header_of(t, "Location", 0)))
			result.location = value;
		if ((value = header_of(t, "Retry-After", 0)))
			result.retry_after_ms = http_retry_after_ms(value, clock_real_ms());
	}
	loop_timer_stop(t->idle);
	if (t->ops.done)
		t->ops.done(t->arg, &result);
}
