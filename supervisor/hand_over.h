/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What one droverd leaves open for the next one when it executes it in its own place: a list of
 * descriptors in a memfd that the environment names. Records carry all that matters, so a list that
 * is missing or cannot be read costs nothing but what lies unread in those descriptors.
 */
#include "base/compiler.h"
#include <stddef.h>
#include <stdint.h>

struct err;
struct hand_over;

/* Of the slot that the name says, or the only one of its kind. */
enum hand_over_kind {
	HAND_OVER_LOCK = 'L',
	HAND_OVER_CONTROL = 'C',
	HAND_OVER_LOG = 'F',
	HAND_OVER_NOTIFY = 'N',
};
enum { HAND_OVER_NAME = 128, HAND_OVER_VERSION = 32 };

/* --- the one that gives --- */

/** @param upgrades  how often this droverd will have been replaced; NULL when out of memory */
struct hand_over *hand_over_new(uint64_t upgrades);
/** @param fd  stays the caller's */
int hand_over_add(
	struct hand_over *h, enum hand_over_kind kind, const char *name, int fd) MUST_CHECK;
/** The descriptors outlive an exec now, and the environment names the list. */
int hand_over_open(struct hand_over *h, struct err *err) MUST_CHECK;
/** There was no exec: all is as before. */
void hand_over_close(struct hand_over *h);

/* --- the one that takes --- */

/** Takes the list out of the environment; before anything is started. NULL: there is none. */
struct hand_over *hand_over_read(void);
uint64_t hand_over_upgrades(const struct hand_over *h); /* NULL: 0 */
/** "" when h is NULL */
const char *hand_over_from(const struct hand_over *h);
/** @param name  HAND_OVER_NAME bytes @return the next one of this kind (caller closes), or -1 */
int hand_over_next(struct hand_over *h, enum hand_over_kind kind, char *name);
/** @return the one of this name (caller closes), or -1 */
int hand_over_take(struct hand_over *h, enum hand_over_kind kind, const char *name);

/** Closes what was given and not taken. */
void hand_over_free(struct hand_over *h);
