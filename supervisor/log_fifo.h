/* SPDX-License-Identifier: MIT */
#pragma once
/* The FIFOs of all logs, found by name. */
#include "base/list.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

struct log_fifo {
	struct list node;
	struct log_fifo *next; /* of those with the same place in the table */
	uint64_t inode;
	int64_t asked_ms; /* CLOCK_MONOTONIC */
	int fd;
	bool in_file;	/* the FIFO was empty then */
	bool unsettled; /* a half line is to be ended, and it was not answered yet */
	bool untold;	/* drover-log does not know of it yet */
	char name[];
};

struct log_fifos {
	struct list list; /* struct log_fifo, in order of their making */
	struct log_fifo **table;
	size_t size, count; /* size: a power of two */
};

void log_fifos_init(struct log_fifos *fifos);
/** Closes all. */
void log_fifos_finish(struct log_fifos *fifos);
struct log_fifo *log_fifos_find(const struct log_fifos *fifos, const char *name);
/** Makes and opens NAME in the directory. @return NULL: err says why */
struct log_fifo *log_fifos_add(struct log_fifos *fifos, int dir, const char *name, struct err *err);
void log_fifos_remove(struct log_fifos *fifos, struct log_fifo *f);
/** Another description of a slot's FIFO. @param inode  may be NULL @return fd, negative errno */
int log_fifo_open(int dir, const char *name, uint64_t *inode, struct err *err);
