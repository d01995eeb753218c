/* SPDX-License-Identifier: MIT */
#pragma once
/* Link headers (RFC 8288). Pure. */
#include <stdbool.h>
#include <stddef.h>

/**
 * The target of the first link of a relation in one Link field. Relations are compared without
 * case; a link with an anchor speaks of another page and does not count. What follows a mistake in
 * the field is not read.
 * @param rel  one relation, "next"
 * @return false: there is none; *uri points into field and is not resolved
 */
bool http_link_find(const char *field, const char *rel, const char **uri, size_t *len);
