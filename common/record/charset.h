/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * An answer in any encoding as UTF-8, as it comes. A byte order mark decides, then what it was
 * said to be, then UTF-8. UTF-8 goes through as it is: whoever reads it knows where it is broken.
 * In other encodings bytes that mean nothing are an error, with their place: a text with a hole
 * in it is not what the provider said.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;
struct record_charset;
typedef bool (*record_charset_sink)(void *arg, const char *data, size_t len);

/** 0, -ENOMEM */
int record_charset_new(struct record_charset **out, record_charset_sink sink, void *arg) MUST_CHECK;
void record_charset_free(struct record_charset *charset); /* NULL is fine */
/** Another answer. @param name  what it is said to be, as html_charset_find() names it; NULL:
 * nothing is said */
void record_charset_restart(struct record_charset *charset, const char *name);
/** @return 0; -EINVAL with words; -ECANCELED the sink said so */
int record_charset_feed(
	struct record_charset *charset, const char *data, size_t len, struct err *err) MUST_CHECK;
/** @return 0; -EINVAL the answer ends inside a character; -ECANCELED */
int record_charset_end(struct record_charset *charset, struct err *err) MUST_CHECK;
