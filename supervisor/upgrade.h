/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The in-place upgrade: SIGUSR2 and `drover upgrade`. The new droverd is tried on a copy of the
 * hand-over, then the workers end one after the other, then it is tried once more and executed in
 * our place: same pid, same children, and what follows is an adoption. Whatever fails before that
 * leaves us running.
 */
#include "base/compiler.h"
#include <stdbool.h>

struct hand_over;
struct process;
struct supervisor;
struct upgrade;

struct upgrade *upgrade_new(struct supervisor *sv);
void upgrade_free(struct upgrade *u);
/** Begins one, or joins the one that is under way; control_upgraded() tells how it went. */
void upgrade_begin(struct upgrade *u);
/** A slot changed: the next step may be due. */
void upgrade_look(struct upgrade *u);
/** Workers stay down: the next droverd starts them. u may be NULL. */
bool upgrade_holds_back(const struct upgrade *u, const struct process *p);
