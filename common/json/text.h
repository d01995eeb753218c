/* SPDX-License-Identifier: MIT */
#pragma once
/* Texts inside JSON. */
#include <stddef.h>
#include <stdint.h>

/**
 * Undoes the escapes of a JSON text (without its quotes, already checked for form); dst has len
 * bytes. @return the length; -1 when a surrogate stands alone
 */
int64_t json_text_decode(char *dst, const char *src, size_t len);
