/* SPDX-License-Identifier: MIT */
#pragma once
/* Text helpers: numbers with range checks, units, names, near misses. No locale anywhere. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool str_eq(const char *a, const char *b);
bool str_eq_nocase(const char *a, const char *b); /* ASCII only */
bool str_starts(const char *s, const char *prefix);
/** Copies with truncation, always NUL-terminated. @return false when it was cut. */
bool str_copy(char *dst, size_t size, const char *src);
/** Whole string as decimal integer. @return 0, -EINVAL not a number, -ERANGE outside [min, max]. */
int str_to_i64(const char *s, int64_t min, int64_t max, int64_t *out) MUST_CHECK;
/** "500ms" "10s" "5m" "6h" "30d" to milliseconds. @return 0, -EINVAL malformed, -EDOM number
 * without unit, -ERANGE overflow. */
int str_to_duration_ms(const char *s, int64_t *out_ms) MUST_CHECK;
/** "10KB" "1MiB" "512B" to bytes; KB/MB/GB are powers of 1000. Errors as str_to_duration_ms. */
int str_to_size(const char *s, int64_t *out_bytes) MUST_CHECK;
/** 3725000 -> "1h2m5s"; dst gets at most size bytes. @return dst */
char *str_duration(char *dst, size_t size, int64_t ms);
/** [A-Za-z0-9_.-]{1,64}, not beginning with '.' or '-': names of jobs, providers, services. */
bool str_is_name(const char *s);
/** [A-Za-z_][A-Za-z0-9_]{0,62}: tables and columns. */
bool str_is_identifier(const char *s);
/** True when all bytes form valid UTF-8 (RFC 3629: no surrogates, no overlong forms). *bad_at gets
 * the offset of the first bad byte. */
bool str_is_utf8(const char *s, size_t len, size_t *bad_at);
/** Decodes the UTF-8 sequence at the front of `left` bytes. @return its length; 0 when it is not
 * valid */
size_t str_utf8_decode(const char *s, size_t left, uint32_t *code_point);
/** Controls, C1 controls, bidirectional marks, line separators: what no terminal may get from
 * outside (X4). */
bool str_steers_terminal(uint32_t code_point);
/** Copies a text from outside for a log or a terminal: cut at a character's end, '?' for what is no
 * UTF-8 or steers a terminal, a space for a tab. */
void str_clean(char *dst, size_t size, const char *src);
/** Damerau-Levenshtein distance, bounded: returns limit + 1 when greater than limit. */
size_t str_distance(const char *a, const char *b, size_t limit);
/* A set of HTTP statuses, 100 to 599. */
struct str_statuses {
	uint8_t bits[75];
};
/** Reads "200", "2xx", "200,204,4xx". @return false when it is none of them; empty is none */
bool str_statuses(struct str_statuses *out, const char *text) MUST_CHECK;
bool str_has_status(const struct str_statuses *set, long status);
/** The nearest of n candidates (an array of strings), NULL when none is near enough to suggest. */
const char *str_nearest(const char *word, const char *const *candidates, size_t n);
/** FNV-1a 64 bit. */
uint64_t str_hash(const void *data, size_t len);
/** Lower-case hex of len bytes; dst has 2 * len + 1 bytes. */
void str_hex(char *dst, const void *data, size_t len);
