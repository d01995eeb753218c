/* SPDX-License-Identifier: MIT */
#pragma once
/* Words for the operator beside a negative errno. Filled where it fails, wrapped on the way up. */
#include "base/compiler.h"

struct err {
	int code;	/* 0 or a negative errno */
	char text[768]; /* one line, no newline at the end; long texts are cut */
};

/** Sets code and text; err may be NULL. @return code, so that callers write `return err_set(...)`.
 */
int err_set(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** Like err_set, and appends ": " and the words of errno -code. */
int err_sys(struct err *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/** Puts "context: " before the text. @return err->code (-EINVAL when err is NULL). */
int err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3);
