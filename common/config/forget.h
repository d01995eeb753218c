/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Planted bugs, one for each field: $DROVER_FIELD names a leaf of the tables ("services.*.nice",
 * "jobs.*.paginate.size"), which is then as if nobody had written it. `tests/run mutants fields`
 * demands that the test which tests/fields.txt names for it fails. Only builds with mutants look.
 */
#include <stdbool.h>

#ifdef DROVER_MUTANTS
/** path: of the value, or (shorthand) of the struct whose field `name` it is. */
bool field_is_forgotten(const char *path, const char *name);
#define FIELD_FORGOTTEN(path, name) __builtin_expect(field_is_forgotten((path), (name)), 0)
#else
#define FIELD_FORGOTTEN(path, name) 0
#endif
