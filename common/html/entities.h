/* SPDX-License-Identifier: MIT */
#pragma once
/* Character references in attribute values (WHATWG 13.2.5.72 and following). */
#include <stddef.h>

struct buf;

/**
 * Reads the reference that begins at text[0] == '&' and appends what it stands for.
 * @return bytes read; 0 when this is not a reference and '&' stands for itself
 */
size_t html_entity_decode(const char *text, size_t len, struct buf *out);
