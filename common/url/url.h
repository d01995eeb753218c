/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * http and https URLs as browsers read them (WHATWG URL Standard), and their identity (RFC
 * 3986 6.2.2, 6.2.3). Pure: no clock, no state; any thread. All text is bounded by the caller's
 * max_len.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct sockaddr;

/* What a crawl takes when nothing else is said; the longest host with its NUL; "host:65535". */
enum { URL_MAX_DEFAULT = 2048, URL_HOST_MAX = 256, URL_HOST_KEY_MAX = URL_HOST_MAX + 6 };

/** A slice of url->text. */
struct url_part {
	uint32_t at, len;
};

/** A parsed URL; immutable. `text` is its serialisation: ASCII, no NUL inside, NUL-terminated. */
struct url {
	char *text;
	size_t len;
	struct url_part scheme; /* "http" or "https" */
	struct url_part user, password;
	struct url_part host;	  /* "example.com", "192.0.2.1", "[2001:db8::1]" */
	struct url_part path;	  /* begins with '/' */
	struct url_part query;	  /* without '?' */
	struct url_part fragment; /* without '#' */
	uint16_t port;		  /* as written, or the scheme's */
	bool has_query, has_fragment, host_is_address;
};

/**
 * Resolves a reference found in a page. Leading and trailing blanks and controls go, so do tabs and
 * line ends; an empty reference is the page itself, "#top" the page with a fragment.
 * @param base     NULL: href must be absolute
 * @param href     len bytes, UTF-8 (other bytes are percent-encoded as they are)
 * @param max_len  bytes that the result may have
 * @return 0 and *out for url_free(); -EPROTONOSUPPORT another scheme (mailto:, data:, ftp:), which
 * is no error of the page; -EINVAL no URL; -E2BIG over max_len; -ENOMEM. Words in err.
 */
MUST_CHECK
int url_resolve(struct url **out, const struct url *base, const char *href, size_t len,
	size_t max_len, struct err *err);
/** An absolute URL in a NUL-terminated text. */
MUST_CHECK
int url_parse(struct url **out, const char *text, size_t max_len, struct err *err);
void url_free(struct url *url);
DEFINE_FREEP(struct url, url)

enum url_canonical_flags {
	URL_SORT_QUERY = 1, /* arguments by name, then value: only where the site is known to ignore
			       their order */
	URL_KEEP_FRAGMENT = 2, /* for showing; identity has none */
};
/**
 * The identity of a URL: two with the same canonical text are one page. Case of scheme and host,
 * default port, dot segments, case of %XX, %XX of unreserved characters and of those that no URI
 * may hold, the fragment; nothing that could change the resource. A host that RFC 3986 allows but
 * no browser resolves stays as it is.
 * @return 0 and *out (caller frees); errors as url_resolve()
 */
MUST_CHECK
int url_canonical(char **out, const char *text, unsigned flags, size_t max_len, struct err *err);

/** "https://example.com:8443", no default port: what robots.txt and credentials belong to. dst has
 * URL_HOST_MAX + 16. */
char *url_origin(char *dst, const struct url *url);
enum { URL_ORIGIN_MAX = URL_HOST_MAX + 16 };
/** "example.com:443", without a dot at the end of the host: what politeness counts by. dst has
 * URL_HOST_KEY_MAX. */
char *url_host_key(char *dst, const struct url *url);
/** Path with query ("/a?b"), without the fragment: into dst, cut at size. @return the length it
 * needs */
size_t url_target(char *dst, size_t size, const struct url *url);

/**
 * A domain as the operator wrote it ("Bücher.example", "EXAMPLE.com.") in the form that
 * url_in_domain() wants.
 * @return 0; -EINVAL it has a scheme, port, path, or is no host
 */
MUST_CHECK
int url_domain(char dst[URL_HOST_MAX], const char *text, struct err *err);
/** The host is the domain or below it: "docs.example.org" is in "example.org". An address is only
 * in itself. */
bool url_in_domain(const struct url *url, const char *domain);

/**
 * True when nothing from outside should be led there (X3): loopback, private, link-local, carrier
 * NAT, multicast, unspecified, broadcast, benchmarking and reserved ranges; IPv6 that carries such
 * an IPv4 (mapped, compatible, 6to4, NAT64, Teredo). True for families other than IPv4 and IPv6.
 */
bool url_is_private_ip(const struct sockaddr *address);
/** The same as far as the URL itself says it: by an address, or by the name localhost, which is one
 * without asking anybody (RFC 6761). */
bool url_is_private(const struct url *url);
