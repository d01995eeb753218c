/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Descriptors kept back for what must go on when all others are in use: looking at processes,
 * writing records, answering the operator, replacing drover-log. What makes the supervisor grow
 * (another slot) asks for room beside them first, so it fails alone, and in words.
 */
#include <stdbool.h>

enum {
	RESERVE_FDS = 5,
	RESERVE_KEPT = 3, /* what is lent for long leaves these */
};

struct reserve {
	int fds[RESERVE_FDS]; /* -1: given away */
};

void reserve_init(struct reserve *reserve);
void reserve_finish(struct reserve *reserve);
/** Fills it up again as far as that is possible. @return 0; -EMFILE, -ENFILE, -ENOMEM: not full */
int reserve_take(struct reserve *reserve);
/** Up to `count` of them can be used by others until reserve_take(). */
void reserve_give(struct reserve *reserve, int count);
/** One for something that stays open, but never of the last RESERVE_KEPT. @return false: none */
bool reserve_lend(struct reserve *reserve);
/** Are there `count` descriptors beside the full reserve? @return 0; as reserve_take() */
int reserve_room(struct reserve *reserve, int count);
