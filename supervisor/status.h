/* SPDX-License-Identifier: MIT */
#pragma once
/* What status shows (spec section 12), as JSON without secrets. */
#include <stdbool.h>

struct json_out;
struct process;
struct supervisor;

/** Member "supervisor". */
void status_supervisor(struct json_out *j, const struct supervisor *sv);
/** One element of "processes". */
void status_process(struct json_out *j, struct process *p);
/** Member "history": the slot's last events, oldest first. */
void status_history(struct json_out *j, const struct process *p);
