/* SPDX-License-Identifier: MIT */
#pragma once
/* start, stop and restart as the operator gives them: which slots, and when each has arrived. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct buf;
struct command;
struct err;
struct supervisor;

/**
 * @param names  slots, kinds of workers or "all", separated by newlines
 * @return 0; -ENOENT no such name (words suggest one); -EINVAL no name; -ENOMEM
 */
int command_new(struct command **out, struct supervisor *sv, const char *verb, const char *names,
	struct err *err) MUST_CHECK;
void command_free(struct command *command);
/** Tells all slots. */
void command_begin(struct command *command);
/** Has each slot arrived where it should, or come to another end? */
bool command_settled(struct command *command);
/** Once it is settled: 0, or 1 when one did not arrive. */
int command_exit_code(const struct command *command);
/** One page of {"results": [{name, ok, state, detail}]}, from item *at on. @return whether there is
 * another */
bool command_page(const struct command *command, size_t *at, struct buf *json);
/** Words for a name that no slot has. */
void command_unknown(const struct supervisor *sv, const char *name, struct err *err);
