/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Order among services: one starts when all that it depends on is ready, and is stopped before
 * what it depends on. Who may not start yet stays waiting; who may not be stopped yet has a turn
 * that comes later. order_settle() after every change is all that moves them on.
 */
#include "base/compiler.h"
#include "restart_policy.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list;
struct process;

/** @param why  filled when it may not: "db, which is stopped" */
bool order_may_start(
	const struct list *processes, const struct process *p, char *why, size_t size) MUST_CHECK;
/** Of one that may not start: will what it waits for be ready by itself, and soon? */
bool order_is_coming(const struct list *processes, const struct process *p);
/**
 * Stops it (anew: restarts it) when nothing that depends on it is up any more; at once when it is
 * not up, or a worker.
 * @param after_workers  also waits for the workers that are being stopped: they may need it
 */
void order_stop(struct process *p, enum start_cause cause, bool anew, bool after_workers);
/** Carries out the turns that have come, last started first, and tries waiting starts again. */
void order_settle(struct list *processes);
/** The longest that stopping all services may take, in ms: each in its turn, with its timeout. */
int64_t order_longest_stop(const struct list *processes);
