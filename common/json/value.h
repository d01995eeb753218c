/* SPDX-License-Identifier: MIT */
#pragma once
/* Text to a column's type. Nothing is guessed: what does not fit whole is refused. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum json_value_type {
	JSON_VALUE_NULL,
	JSON_VALUE_INT,
	JSON_VALUE_REAL,
	JSON_VALUE_TEXT,
	JSON_VALUE_BASE64 /* sound: json_base64() makes bytes of it */
};
struct json_value {
	enum json_value_type type;
	int64_t i;	  /* INT; booleans 0 and 1; timestamps ms since 1970 */
	double real;	  /* REAL, finite */
	const char *text; /* TEXT, BASE64: NUL-terminated if the text it was made of is */
	size_t len;
};

/** "text", "an integer", "a real", ... */
const char *json_type_words(int column_type);
/** The grammar of RFC 8259 6. */
bool json_number_sound(const char *text, size_t len);
/**
 * integer: digits, or a number without a fraction (12.0, 1e3); real: any decimal number; boolean:
 * true, false, yes, no, y, n, 1, 0; timestamp: RFC 3339 and its looser kin (a blank for the T, no
 * seconds, no zone: UTC), YYYY-MM-DD, YYYYMMDD, YYYYMMDDhhmmss, seconds (10 digits) or milliseconds
 * (13 digits) since 1970; bytes: base64 (RFC 4648), either alphabet, with or without padding.
 * Blanks around are ignored.
 * @param text  TEXT and BASE64 point into it
 * @return 0; -EINVAL does not fit; -ERANGE fits no 64 bits or no finite real
 */
int json_value_from_text(
	struct json_value *out, int column_type, const char *text, size_t len) MUST_CHECK;
/** The bytes of base64, at most len / 4 * 3 + 2. dst NULL: only looks. @return how many, or -EINVAL
 */
ssize_t json_base64(unsigned char *dst, const char *text, size_t len) MUST_CHECK;
