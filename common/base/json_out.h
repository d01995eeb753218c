/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Writes JSON (RFC 8259) into a buf, with commas and escapes done here: log records, answers to the
 * command line, HTTP answers. Invalid UTF-8 becomes U+FFFD; control characters, DEL, C1 controls
 * and bidirectional overrides are escaped, so that nothing written here can steer a terminal (X4).
 */
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

struct json_out {
	struct buf *buf;
	bool comma; /* the next value needs one before it */
};

void json_out_init(struct json_out *j, struct buf *buf);
/* key NULL: an array element or the top value. */
void json_open_object(struct json_out *j, const char *key);
void json_open_array(struct json_out *j, const char *key);
void json_close_object(struct json_out *j);
void json_close_array(struct json_out *j);
void json_str(struct json_out *j, const char *key, const char *value); /* value NULL: null */
void json_strn(struct json_out *j, const char *key, const char *value, size_t len);
void json_int(struct json_out *j, const char *key, int64_t value);
void json_double(struct json_out *j, const char *key, double value); /* not finite: null */
void json_bool(struct json_out *j, const char *key, bool value);
void json_none(struct json_out *j, const char *key);
/** Milliseconds since 1970 as RFC 3339 text; 0 or less: null. */
void json_time(struct json_out *j, const char *key, int64_t real_ms);
/** A value that already is JSON text; the caller vouches for it. */
void json_raw(struct json_out *j, const char *key, const char *json, size_t len);
/** Escapes len bytes of text without the quotes. */
void json_escape(struct buf *buf, const char *text, size_t len);
