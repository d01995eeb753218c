/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Planted bugs. One test build holds all of them (mutants.def); $DROVER_MUTANT chooses one at run
 * time, and `tests/run mutants` demands that the named test fails with it and passes without.
 * Release builds hold none.
 */
#include <stdbool.h>

enum mutant {
	MUTANT_NONE,
#define MUTANT_LINE(id, test, what) MUTANT_##id,
#include "base/mutants.def"
#undef MUTANT_LINE
	MUTANT_COUNT
};

#ifdef DROVER_MUTANTS
/** True when $DROVER_MUTANT names this one. */
bool mutant_is(enum mutant id);
/** The name chosen, NULL when none: processes get built environments, so it must be handed on. */
const char *mutant_name(void);
#define MUTANT(id) __builtin_expect(mutant_is(MUTANT_##id), 0)
#else
#define MUTANT(id) 0
#endif
