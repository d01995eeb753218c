/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The shared file of limits: layout, lock, holders, allocation. Private to common/limit.
 *
 * The file is changed under the lock only, by single aligned 64-bit stores in an order that leaves
 * at worst an unused ring behind when the writer is killed between two of them. A power cut is
 * another matter: the boot id then differs and nothing in the file is believed.
 */
#include "base/compiler.h"
#include "limit/adapt.h"
#include "limit/limit.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

enum {
	LIMIT_KEYS = 4096,
	LIMIT_HOLDERS = 1024,
	LIMIT_WINDOWS = 8,
	LIMIT_CLASSES = 18, /* rings of 1 << 0 .. 1 << 17 places */
};
#define LIMIT_COUNT_MAX 100000
#define LIMIT_FILE_MAX	((int64_t)256 * 1024 * 1024)

struct place {
	int64_t start_us; /* CLOCK_BOOTTIME; 0: never used */
	int64_t end_us;	  /* 0: the call is under way */
	uint64_t holder;  /* permit id: holder slot << 48 | generation << 32 | sequence */
};
struct window {
	int64_t period_us; /* -1: unused */
	uint64_t ring;	   /* offset of the places << 8 | class; 0: none */
	uint32_t span;	   /* places below this may be in use */
	uint32_t next;	   /* where the search for a free place begins */
	int64_t count;	   /* the limit as it was last asked for */
};
struct entry {
	int64_t last_start_us, quiet_until_us, closed_until_us, swept_us;
	int64_t opening;      /* after a closing: calls at a time; 0: as many as may */
	int64_t opening_us;   /* calls that began before say nothing about it */
	int64_t remaining;    /* calls that the server says it will take; -1: unknown */
	int64_t reset_us;     /* until when that holds */
	int64_t min_delay_us; /* as it was last asked for */
	int64_t adaptive;     /* likewise: the cap; 0: not adaptive */
	struct adapt adapt;
	char name[LIMIT_NAME_MAX];
	struct window windows[LIMIT_WINDOWS];
};
struct limit_file_header {
	char magic[8];
	uint64_t layout; /* sizes of the structures above */
	char boot_id[40];
	int64_t used_up_us; /* since then every window counts as used up for one period; 0: never */
	uint64_t top;	    /* end of what was handed out */
	uint64_t free_rings[LIMIT_CLASSES]; /* lists through the first place's start_us */
	uint32_t recycle_next, unused;
	uint32_t generation[LIMIT_HOLDERS];
	uint64_t hash[LIMIT_KEYS]; /* of the key; 0: free */
	struct entry entries[LIMIT_KEYS];
};

struct limit_file {
	char *path;
	int fd;
	struct limit_file_header *map;
	size_t map_size;
	uint32_t slot, generation;
	/* What this operation found out about holders: two bits each. */
	uint8_t known[LIMIT_HOLDERS / 8], alive[LIMIT_HOLDERS / 8];
};

/** Opens or creates, judges, takes a holder's slot. */
int limit_file_open(struct limit_file *f, const char *path, struct err *err) MUST_CHECK;
void limit_file_close(struct limit_file *f);
/**
 * @param wait  some 2.5 s; else some 20 ms: whoever holds it may be stopped (SIGSTOP)
 * @return 0; -EAGAIN still locked by another; -EIO and kin: the file is of no use now
 */
int limit_file_lock(struct limit_file *f, bool wait) MUST_CHECK;
void limit_file_unlock(struct limit_file *f);
/* The rest needs the lock. */
struct place *limit_file_ring(struct limit_file *f, const struct window *w);
static inline size_t limit_ring_places(const struct window *w)
{
	return w->ring ? (size_t)1 << (w->ring & 0xff) : 0;
}
/** A ring of at least `count` places with what the old one held. May move the map. @return 0 or
 * -ENOSPC */
int limit_file_grow(struct limit_file *f, size_t entry, size_t window, size_t count) MUST_CHECK;
void limit_file_drop_ring(struct limit_file *f, struct window *w);
/** False: following it would lead outside the file, somebody wrote into it. */
bool limit_file_window_sound(const struct limit_file *f, const struct window *w);
/** Starts anew, everything counted as used up. */
void limit_file_reformat(struct limit_file *f);
bool limit_file_alive(struct limit_file *f, uint64_t holder);
