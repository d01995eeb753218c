/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * drover-log but for its main(): takes orders from droverd over the channel, keeps one pump a log.
 * When the channel closes it pumps on, for services live longer than a killed droverd; the next
 * droverd ends it by SIGTERM.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct err;
struct logger;
struct loop;

/** @param fd  takes it (also on failure): the channel. @return 0; negative errno with words */
int logger_start(struct logger **out, struct loop *loop, int fd, struct err *err) MUST_CHECK;
/** Moves what is in the pipes at this moment; after LOG_END droverd is told that it was done. */
void logger_drain(struct logger *logger);
void logger_stop(struct logger *logger); /* NULL is fine */
/** Logs that are open. */
size_t logger_count(const struct logger *logger);
/** True until droverd's end of the channel is closed. */
bool logger_has_parent(const struct logger *logger);
