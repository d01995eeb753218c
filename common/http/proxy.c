/* SPDX-License-Identifier: MIT */
/* Calls through a proxy: which ones, what is judged before, and what its refusals mean. */
#include "base/err.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/config.h"
#include "http/client.h"
#include "url/url.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { URL_MAX = 16384 };

static bool is_direct(const struct config_proxy *p, const struct url *url)
{
	char domain[URL_HOST_MAX];
	for (size_t i = 0; i < p->no_proxy.count; i++)
		if (url_domain(domain, p->no_proxy.items[i], NULL) == 0 &&
			url_in_domain(url, domain))
			return true;
	return false;
}

bool http_proxied(const struct config_proxy *p, const char *text)
{
	CLEANUP(url_freep) struct url *url = NULL;
	return p && p->url && url_parse(&url, text, URL_MAX, NULL) == 0 && !is_direct(p, url);
}

static bool starts(const char *url, const char *scheme)
{
	return strncasecmp(url, scheme, strlen(scheme)) == 0;
}

static bool set_options(struct http_transfer *t, const struct config_proxy *p)
{
	CURL *e = t->easy;
	/* It gets no header that is meant for the server. */
	(void)curl_easy_setopt(e, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
	/* Nor does its answer to CONNECT pass for the server's. */
	(void)curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	/* Else Debian's libcurl offers GSSAPI. */
	(void)curl_easy_setopt(e, CURLOPT_PROXYAUTH, (long)CURLAUTH_BASIC);
	(void)curl_easy_setopt(e, CURLOPT_SOCKS5_AUTH, (long)CURLAUTH_BASIC);
	/* As for CURLOPT_CAPATH. */
	(void)curl_easy_setopt(e, CURLOPT_PROXY_CAPATH, NULL);
	return curl_easy_setopt(e, CURLOPT_PROXY, p->url) == CURLE_OK &&
	       (!p->user || curl_easy_setopt(e, CURLOPT_PROXYUSERNAME, p->user) == CURLE_OK) &&
	       (!p->password ||
		       curl_easy_setopt(e, CURLOPT_PROXYPASSWORD, p->password) == CURLE_OK) &&
	       (!p->ca || curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, p->ca) == CURLE_OK);
}

int transfer_set_proxy(struct http_transfer *t, const struct http_request *request, struct err *err)
{
	const struct config_proxy *p = request->profile.proxy;
	CLEANUP(url_freep) struct url *url = NULL;
	/* Not even from the environment, and it says nothing about which hosts need none. */
	(void)curl_easy_setopt(t->easy, CURLOPT_PROXY, "");
	(void)curl_easy_setopt(t->easy, CURLOPT_NOPROXY, "");
	if (!p || !p->url)
		return 0;
	if (url_parse(&url, request->url, URL_MAX, NULL) < 0)
		return err_set(err, -EINVAL, "URL: it cannot be asked through a proxy");
	if (is_direct(p, url))
		return 0;
	t->proxied = true;
	t->forwarded = !starts(p->url, "socks") && starts(request->url, "http:");
	/* What a name means is the proxy's affair; a number is one everywhere. */
	t->refused_private = !t->allow_private && url_is_private(url) &&
			     !MUTANT(PROXY_ASKED_FOR_PRIVATE);
	return set_options(t, p) ? 0 : err_set(err, -ENOMEM, "HTTP: out of memory");
}

/* What it says to those whom it will not let through, now or later. */
static enum http_outcome refusal(struct http_transfer *t, long status)
{
	snprintf(t->error, sizeof(t->error),
		status == 407 ? "the proxy wants other credentials (HTTP %ld)"
			      : "the proxy does not connect (HTTP %ld)",
		status);
	return status >= 400 && status <= 499 ? HTTP_PROXY : HTTP_CONNECT;
}

static enum http_outcome socks_outcome(const struct http_transfer *t)
{
	long reason = CURLPX_OK;
	(void)curl_easy_getinfo(t->easy, CURLINFO_PROXY_ERROR, &reason);
	switch ((CURLproxycode)reason) {
	case CURLPX_NO_AUTH:
	case CURLPX_USER_REJECTED:
	case CURLPX_REQUEST_FAILED:
	case CURLPX_REPLY_NOT_ALLOWED: return HTTP_PROXY;
	default: return HTTP_CONNECT;
	}
}

bool transfer_failed_at_proxy(struct http_transfer *t, CURLcode code, enum http_outcome *out)
{
	long status = 0;
	if (!t->proxied)
		return false;
	if (t->forwarded && http_transfer_status(t) == 407) {
		*out = refusal(t, 407);
		return true;
	}
	if (code == CURLE_OK || t->sendings > 0)
		return false;
	(void)curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	switch (code) {
	case CURLE_PROXY: *out = socks_outcome(t); return true;
	case CURLE_COULDNT_RESOLVE_PROXY: *out = HTTP_CONNECT; return true;
	case CURLE_RECV_ERROR:
	case CURLE_SEND_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_WEIRD_SERVER_REPLY:
		*out = status >= 300 ? refusal(t, status) : HTTP_CONNECT;
		return true;
	default: return false;
	}
}
