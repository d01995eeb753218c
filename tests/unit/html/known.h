/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Rows of a table of facts that are known to come out otherwise, each with its reason. The list is
 * exact: a row that comes out right must leave it, so it cannot rot.
 */
#include "unit.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct known {
	const char *id, *reason;
};

/* Judges one row; says what differs when it is not as the list has it. @return 1 when it must fail
 * the test */
static inline int known_judge(
	const struct known *list, const char *id, bool right, const char *wanted, const char *got)
{
	bool listed = false;
	for (size_t i = 0; list && list[i].id; i++)
		listed |= strcmp(list[i].id, id) == 0;
	if (right && listed)
		print_error("%s comes out right now: take it off the list\n", id);
	if (!right && !listed)
		print_error("%s: wanted %s\n\tgot %s\n", id, wanted, got);
	return right == listed;
}
