/* SPDX-License-Identifier: MIT */
#include "base/mutant.h"

#ifdef DROVER_MUTANTS
#include "base/compiler.h"
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {
	[MUTANT_NONE] = "",
#define MUTANT_LINE(id, test, what) [MUTANT_##id] = #id,
#include "base/mutants.def"
#undef MUTANT_LINE
};

const char *mutant_name(void)
{
	const char *name = getenv("DROVER_MUTANT");
	return name && *name ? name : NULL;
}

bool mutant_is(enum mutant id)
{
	static int chosen = -1;
	if (chosen < 0) {
		const char *name = mutant_name();
		chosen = MUTANT_NONE;
		for (size_t i = 1; name && i < ARRAY_SIZE(names); i++)
			if (strcmp(name, names[i]) == 0)
				chosen = (int)i;
		/* A misspelt name would make a test pass for nothing. */
		if (name && chosen == MUTANT_NONE)
			abort();
	}
	return chosen == (int)id;
}
#endif
