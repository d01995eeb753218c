/* SPDX-License-Identifier: MIT */
#pragma once
/* Regular expressions (ECMA 262 and POSIX ERE alike) of the numbers that a field accepts. Private
 * to this folder. */
#include <stdint.h>

struct buf;

/** "[5-9]|[1-4][0-9]": the decimal numbers lo..hi without leading zeros; 0 <= lo <= hi. */
void pattern_numbers(struct buf *out, int64_t lo, int64_t hi);
/** The same with a sign and leading zeros allowed; lo may be negative. */
void pattern_int(struct buf *out, int64_t lo, int64_t hi);
/** Texts with a unit that mean lo..hi, 0 <= lo: "0*([1-9]|10)s|...". */
void pattern_duration(struct buf *out, int64_t lo_ms, int64_t hi_ms);
void pattern_size(struct buf *out, int64_t lo_bytes, int64_t hi_bytes);
