/* SPDX-License-Identifier: MIT */
#pragma once
/* Has what is older than store.history leave the database, in small steps with pauses between. */
#include <stdint.h>

struct keeper;
struct scheduler;

struct keeper *keeper_new(struct scheduler *s); /* NULL: out of memory */
void keeper_free(struct keeper *k);
void keeper_configure(struct keeper *k, int64_t history_ms);
/** The store is ready: begins now, and again every ten minutes. */
void keeper_start(struct keeper *k);
void keeper_stop(struct keeper *k);
