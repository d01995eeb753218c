/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Jobs' tables are made, widened and indexed when a configuration is taken up, and looked at every
 * hour, so that a history has its next months. What is refused (a column of another type) is logged
 * then, long before the rows come; workers make sure of their tables again with each batch.
 */
#include "base/compiler.h"

struct config;
struct err;
struct scheduler;
struct tables;

struct tables *tables_new(struct scheduler *s); /* NULL: out of memory */
void tables_free(struct tables *t);		/* NULL is fine */
/** Takes up a configuration; nothing of it is borrowed. */
int tables_configure(struct tables *t, const struct config *config, struct err *err) MUST_CHECK;
/** The store is ready. */
void tables_start(struct tables *t);
