/* SPDX-License-Identifier: MIT */
#pragma once
/* That lines of our own log are missing is said as soon as it has room again, though we say nothing
 * else. */

struct log_gap;
struct loop;

/** @return NULL when out of memory */
struct log_gap *log_gap_new(struct loop *loop);
void log_gap_free(struct log_gap *gap); /* NULL is fine */
