/* SPDX-License-Identifier: MIT */
#pragma once
/* Looks at the machine and at the queue every SAMPLE_MS, into struct monitor; grades what it
 * sees. */
#include "base/compiler.h"

struct monitor;

enum { SAMPLE_MS = 5000 };
/** The first look at once. m->loop, worker and store are there. @return 0, -ENOMEM */
int sampler_start(struct monitor *m) MUST_CHECK;
/** Before the store goes. Without a start: fine. */
void sampler_stop(struct monitor *m);
