/* SPDX-License-Identifier: MIT */
/* The registry, made from kinds.def: all that droverd knows of kinds. */
#include "config/kind.h"

#define WORKER_KIND(name) extern const struct worker_kind worker_kind_##name;
#include "kinds.def"
#undef WORKER_KIND

const struct worker_kind *const worker_kinds[] = {
#define WORKER_KIND(name) &worker_kind_##name,
#include "kinds.def"
#undef WORKER_KIND
	0
};
