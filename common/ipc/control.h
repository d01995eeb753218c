/* SPDX-License-Identifier: MIT */
#pragma once
/* The verbs of the control socket, shared by droverd and the command line; see control.def. */
#include <stddef.h>

enum control_target { CONTROL_SUPERVISOR, CONTROL_SCHEDULER, CONTROL_MONITOR };
enum control_right { CONTROL_LOOK, CONTROL_CHANGE };
struct control_verb {
	const char *name;
	enum control_target target;
	enum control_right right;
};
static const struct control_verb control_verbs[] = {
#define CONTROL_VERB(name, target, right) { name, target, right },
#include "ipc/control.def"
#undef CONTROL_VERB
};
enum { CONTROL_VERSION = 1, CONTROL_VERB_COUNT = sizeof(control_verbs) / sizeof(control_verbs[0]) };
