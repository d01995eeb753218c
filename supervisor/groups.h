/* SPDX-License-Identifier: MIT */
#pragma once
/* The cgroups of the slots on the loop: a slot whose group has become empty is looked at at once.
 */
#include "base/compiler.h"

struct err;
struct groups_watch;
struct supervisor;

/**
 * Takes the group that was delegated to us, if there is one, and says in the log which it is or why
 * the sweep must do.
 * @param out  NULL afterwards when there is none
 * @return 0; negative errno
 */
int groups_start(struct groups_watch **out, struct supervisor *sv, struct err *err) MUST_CHECK;
void groups_stop(struct groups_watch *watch);
