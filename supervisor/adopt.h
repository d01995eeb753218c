/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * After a crash: services that live go on as ours, with their strikes, intervals and what the
 * operator wanted; everything else that an earlier supervisor left is ended before anything of the
 * same slot starts.
 */
#include "base/compiler.h"

struct err;
struct process;
struct record;
struct supervisor;

/** Chooses our epoch, and learns (or makes) the mark that all instances of this runtime directory
 * carry. */
int adopt_marks(struct supervisor *sv, struct err *err) MUST_CHECK;
/** Each slot goes on where its record says. What is no longer configured becomes a slot too, and is
 * ended. @return 0; -EMFILE, -ENFILE, -ENOMEM: some of it could not be looked at, and nothing was
 * touched */
int adopt_and_start(struct supervisor *sv, struct err *err) MUST_CHECK;

/* For transient slots, which go on otherwise. */
/** It lives and goes on as ours. */
void adopt_as_it_is(struct process *p, const struct record *r);
/** It has to go, or its main process has gone. r NULL: only its marks are known. */
void adopt_fence(struct process *p, const struct record *r);
