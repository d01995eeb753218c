/* SPDX-License-Identifier: MIT */
#pragma once
/* Pieces of the URL parser. For this room only. */
#include "base/buf.h"
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct err;
struct url;

/* Percent-encode sets of the WHATWG standard; each holds the controls and everything from 0x7f up.
 */
enum encode_set { ENCODE_FRAGMENT, ENCODE_QUERY, ENCODE_PATH, ENCODE_USER };
void encode_add(struct buf *out, const char *s, size_t len, enum encode_set set);
int hex_digit(char c); /* -1 when it is none */
/** RFC 3986 2.3: a letter, a digit, or one of "-._~". */
bool is_unreserved(char c);
/** Case of %XX, %XX of unreserved characters, and characters that no URI may hold; everything else
 * as it is. */
void normalize_percent(struct buf *out, const char *s, size_t len);

/**
 * Appends the host in its canonical form.
 * @param lenient  also take what RFC 3986 calls a reg-name though no browser resolves it
 * ("%20x.com")
 * @return 0 or -EINVAL, and words in err
 */
MUST_CHECK
int host_add(struct buf *out, const char *s, size_t len, bool lenient, bool *is_address,
	struct err *err);

/** url_resolve() with the choice of host_add(). */
MUST_CHECK
int url_read(struct url **out, const struct url *base, const char *href, size_t len, size_t max_len,
	bool lenient, struct err *err);
