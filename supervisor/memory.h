/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Looks each supervisor.memory.check at what the trees of the slots hold and at the machine, and
 * has workers trim each supervisor.memory.trim. A few slots a turn of the loop, however many there
 * are.
 */
#include "base/compiler.h"

struct config_memory;
struct memory_watch;
struct supervisor;

/** NULL: no memory */
struct memory_watch *memory_watch_new(struct supervisor *sv);
void memory_watch_free(struct memory_watch *watch);
/** sv->config is another. A time that did not change goes on. */
void memory_watch_configure(struct memory_watch *watch);
/** For status: what the trees hold now, unless that was looked at just before. */
void memory_watch_look(struct memory_watch *watch);
