/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * URLs that are surely in the frontier already: a page has a hundred links of which a few are new,
 * and each would be four statements. A bounded memory that may forget, never invents.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>

struct known;
struct known *known_new(void); /* 1 MiB; NULL: no memory */
void known_free(struct known *known);
/** @param skipped  as what it was recorded: a link that is skipped here may be followed from there
 */
bool known_has(const struct known *known, int64_t run_id, bool skipped, const char *url);
/** After the transaction that recorded it is committed. */
void known_add(struct known *known, int64_t run_id, bool skipped, const char *url);
