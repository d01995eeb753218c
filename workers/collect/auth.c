/* SPDX-License-Identifier: MIT */
#include "collect/auth.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "collect/plan.h"
#include "collect/request.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *basic_of(struct arena *arena, const char *user, const char *password)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	CLEANUP(freep) char *both = NULL;
	if (asprintf(&both, "%s:%s", user, password) < 0) {
		both = NULL;
		return NULL;
	}
	size_t len = strlen(both);
	char *text = arena_alloc(arena, sizeof("Basic ") + (len + 2) / 3 * 4), *to = text;
	if (!text)
		return NULL;
	to = stpcpy(to, "Basic ");
	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)(unsigned char)both[i] << 16;
		bits |= i + 1 < len ? (uint32_t)(unsigned char)both[i + 1] << 8 : 0;
		bits |= i + 2 < len ? (unsigned char)both[i + 2] : 0;
		*to++ = digits[bits >> 18];
		*to++ = digits[bits >> 12 & 63];
		*to++ = i + 1 < len ? digits[bits >> 6 & 63] : '=';
		*to++ = i + 2 < len ? digits[bits & 63] : '=';
	}
	*to = '\0';
	explicit_bzero(both, len);
	return text;
}

const char *auth_basic_encoded(struct arena *arena, const char *user, const char *password)
{
	CLEANUP(buf_finish) struct buf id = BUF_INIT;
	CLEANUP(buf_finish) struct buf secret = BUF_INIT;
	request_add_encoded(&id, user);
	request_add_encoded(&secret, password);
	if (buf_failed(&id) || buf_failed(&secret))
		return NULL;
	return basic_of(arena, buf_str(&id), buf_str(&secret));
}

int auth_lay_out(struct plan *plan, struct err *err)
{
	const struct config_auth *auth = &plan->provider->auth;
	size_t most = auth->header.count + 1, n = 0;
	struct config_pair *pairs = arena_alloc(plan->arena, most * sizeof(*pairs));
	const char *value = NULL;
	if (auth->bearer)
		value = arena_printf(plan->arena, "Bearer %s", auth->bearer);
	else if (auth->basic.user)
		value = basic_of(plan->arena, auth->basic.user, auth->basic.password);
	if (!pairs || (!value && (auth->bearer || auth->basic.user)))
		return err_set(err, -ENOMEM, "out of memory");
	for (; n < auth->header.count; n++)
		pairs[n] = auth->header.items[n];
	if (value)
		pairs[n++] = (struct config_pair) { "Authorization", value };
	plan->auth_headers = (struct config_pairs) { pairs, n };
	return 0;
}

struct http_profile auth_profile(const struct config_provider *p)
{
	return (struct http_profile) {
		.dns_ttl_ms = p->connections.dns_ttl_ms,
		.keepalive_ms = p->connections.keepalive_ms,
		.tcp_keepalive_ms = p->connections.tcp_keepalive_ms,
		.http1 = !p->connections.http2,
		.ca = p->tls.ca,
		.certificate = p->tls.certificate,
		.certificate_key = p->tls.certificate_key,
		.proxy = p->proxy.url ? &p->proxy : NULL,
	};
}
