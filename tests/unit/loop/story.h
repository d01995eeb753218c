/* SPDX-License-Identifier: MIT */
#pragma once
/* A real loop, and what happened in it as one string: each callback adds its letter. */
#include "unit.h"

#include "base/compiler.h"
#include "base/err.h"
#include "loop/loop.h"
#include <string.h>

/* A letter as an argument of a callback. */
#define LETTER(c) (&letters[#c[0] - 'a'])
static char letters[] = "abcdefghijklmnopqrstuvwxyz";
static char story[64];
static struct loop *loop;

static inline void tell(char c)
{
	size_t n = strlen(story);
	assert_true(n + 1 < sizeof(story));
	story[n] = c;
	story[n + 1] = '\0';
}

static inline void tell_letter(void *arg)
{
	tell(*(const char *)arg);
}

static inline int setup(void **state UNUSED)
{
	struct err err = { 0 };
	story[0] = '\0';
	return loop_new(&loop, &err);
}

static inline int teardown(void **state UNUSED)
{
	loop_free(loop);
	return 0;
}

static inline void stop(void *arg UNUSED)
{
	loop_stop(loop);
}

static inline void run_for(int64_t ms)
{
	struct loop_timer *end = loop_timer_new(loop, stop, NULL);
	loop_timer_start(end, ms);
	loop_run(loop);
	loop_timer_free(end);
}
