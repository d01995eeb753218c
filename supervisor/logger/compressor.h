/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Runs drover-compress, one at a time, as a disposable child that has nothing but what it reads and
 * what it writes: compressing may take long, stall on a disk or meet a bug, and none of that is the
 * pump's. It dies with drover-log.
 */
#include "base/compiler.h"
#include <stdbool.h>

struct compressor;
struct loop;

/** @return 0, -ENOMEM */
int compressor_new(struct compressor **out, struct loop *loop) MUST_CHECK;
/** Kills the child; its done() is not called. NULL is fine. */
void compressor_free(struct compressor *compressor);
bool compressor_busy(const struct compressor *compressor);
/**
 * @param from, to  borrowed until done()
 * @param done      called later, once: whole when `to` holds all of it and is on the disk
 * @return 0; -EBUSY; negative errno: nothing was started
 */
int compressor_start(struct compressor *compressor, int from, int to,
	void (*done)(void *arg, bool whole), void *arg) MUST_CHECK;
/** Kills the child: done() follows, later when a stalled disk holds the dead one. */
void compressor_cancel(struct compressor *compressor);
