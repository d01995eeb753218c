/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A job on a thread that lives for it alone, for what may block for seconds and cannot be broken
 * off, as getaddrinfo(). The thread gets no signals and shares nothing but the job.
 */
#include "base/compiler.h"

struct loop;
struct loop_aside;
/**
 * @param job      work(job) runs on the thread; until loop_aside_take() nobody else touches it
 * @param release  frees the job when it was forgotten, on the loop or on the thread
 * @param done     done(arg) on the loop when the work is over
 * @return NULL: no memory or no thread; the job is still the caller's
 */
struct loop_aside *loop_aside_start(struct loop *loop, void (*work)(void *job), void *job,
	void (*release)(void *job), void (*done)(void *arg), void *arg) MUST_CHECK;
/** After done(): the job is the caller's again, what ran it is gone. */
void loop_aside_take(struct loop_aside *aside);
/** Nobody waits for it any more: done() is not called, the job is released. Never blocks. NULL is
 * fine. */
void loop_aside_forget(struct loop_aside *aside);
