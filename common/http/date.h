/* SPDX-License-Identifier: MIT */
#pragma once
/* Dates in HTTP headers, by the letter of RFC 9110. */
#include "base/compiler.h"
#include <stdint.h>

/**
 * IMF-fixdate and the two obsolete forms (RFC 9110 5.6.7).
 * @param now_s  decides the century of a year of two digits: at most 50 years ahead
 * @return 0 and seconds since 1970; -EINVAL
 */
int http_date(int64_t *out_s, const char *text, int64_t now_s) MUST_CHECK;

enum { HTTP_RETRY_AFTER_MAX_MS = 24 * 3600 * 1000 };
/** Retry-After (RFC 9110 10.2.3): seconds or a date; past is 0; at most a day. @return ms, -1: not
 * readable */
int64_t http_retry_after_ms(const char *value, int64_t now_ms);
