/* SPDX-License-Identifier: MIT */
#pragma once
/* Has the time zones of the configuration read again when the system's tzdata changed, looking once
 * a minute; the ticker then counts due times anew. */
struct scheduler;
struct zones;

struct zones *zones_new(struct scheduler *s); /* NULL: out of memory */
void zones_free(struct zones *z);	      /* NULL is fine */
/** Looks now; by itself it does so once a minute. */
void zones_look(struct zones *z);
