/* SPDX-License-Identifier: MIT */
#pragma once
/* droverd's folders: makes them, locks the runtime directory, finds drover's programs. */
#include "base/compiler.h"
#include <stddef.h>

struct err;
struct supervisor;

/**
 * Opens what sv->config names. The lock belongs to the descriptor, so it ends with us however we
 * do.
 * @return 0; -EBUSY with the pid of the droverd that is there; negative errno
 */
int place_take(struct supervisor *sv, struct err *err) MUST_CHECK;
void place_leave(struct supervisor *sv);
/** The folder of the running program. */
void place_program_dir(char *out, size_t size);
