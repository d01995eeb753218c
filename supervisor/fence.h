/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * After a crash: what an earlier supervisor left is ended before anything of the same slot starts.
 * Intervals, incarnations and what the operator stopped live on in the slots' records.
 */
#include "base/compiler.h"

struct err;
struct supervisor;

/** Chooses our epoch, learns the earlier ones of this runtime directory, and notes ours beside
 * them. */
int fence_epochs(struct supervisor *sv, struct err *err) MUST_CHECK;
/** For each slot: ends what was left, or starts it. What is no longer configured becomes a slot
 * too. */
void fence_and_start(struct supervisor *sv);
