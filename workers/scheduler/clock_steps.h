/* SPDX-License-Identifier: MIT */
#pragma once
/* Has the ticker look anew at once when the wall clock was set or the machine was suspended, and
 * says so, once a minute at most. */
#include <stdbool.h>
#include <stdint.h>

struct clock_steps;
struct loop;
struct ticker;

/** Both are borrowed. NULL: out of memory or descriptors. */
struct clock_steps *clock_steps_new(struct loop *loop, struct ticker *ticker);
void clock_steps_free(struct clock_steps *c); /* NULL is fine */
/** What the loop tells (loop_clock_cb), for tests too. @return whether it was logged */
bool clock_steps_told(struct clock_steps *c, int64_t set_ms, int64_t slept_ms);
