/* SPDX-License-Identifier: MIT */
#pragma once
/* Answers about the database itself: connections, slow statements and what would help, reset. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct db_question;
struct stats;
struct store;

/** One page: a whole JSON object, valid during the call; the last one ends the question. away: the
 * database did not answer; refused: words of why not are in {"error": ...}. */
enum db_outcome { DB_PAGE, DB_LAST, DB_AWAY, DB_REFUSED };
typedef void (*db_page)(void *arg, enum db_outcome outcome, const char *json, size_t len);

/** verb: "db", "db.slow", "db.reset". stats: of this host's processes, may be NULL. @return NULL:
 * out of memory, no page comes */
struct db_question *db_ask(
	struct store *store, struct stats *stats, const char *verb, db_page page, void *arg);
/** No page comes any more. Before store_close(). NULL is fine. */
void db_cancel(struct db_question *q);
