/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A droverd is tried before it takes another one's place: it is started as `droverd --rehearse DIR`
 * with the same options, in a tree of its own, where DIR holds copies of the slot records. It must
 * say that it accepts the configuration, finds its programs and can read each record.
 */
#include "base/buf.h"
#include "base/compiler.h"
#include "hand_over.h"
#include <stdbool.h>

struct err;
struct rehearsal;
struct supervisor;

struct rehearsal_end {
	bool ok;
	int exit_code;	     /* of the one that was tried; -1: none */
	const char *version; /* its own, when ok */
	int records;	     /* that it can read, when ok */
	const char *words;   /* one line: why not */
	const char *output;  /* what it said, made fit for a terminal */
};

/**
 * @param argv  ends with NULL; "--rehearse DIR" is added
 * @param over  is called once, from the loop; frees nothing
 * @return 0; negative errno, nothing was started
 */
int rehearsal_start(struct rehearsal **out, struct supervisor *sv, const char *const *argv,
	void (*over)(void *arg, const struct rehearsal_end *end), void *arg,
	struct err *err) MUST_CHECK;
/** Kills what still runs. NULL is fine. */
void rehearsal_free(struct rehearsal *r);
/** A supervisor that died left one: it is killed. */
void rehearsal_clear(const struct supervisor *sv);
