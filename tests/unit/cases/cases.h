/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Reads the tables of facts from other projects (../shared/cases, not part of this tree):
 * tab-separated, lines of
 * `#` first, then the column names. $DROVER_CASES is their folder, by default shared/cases beside
 * the project.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CASES_COLUMNS = 16 };

struct cases {
	FILE *file;
	char *names_line, *line;
	size_t cap;
	char *names[CASES_COLUMNS], *columns[CASES_COLUMNS];
	size_t count; /* of columns */
	size_t rows;  /* read so far */
};

/** Opens FOLDER/TABLE.tsv; says SKIPPED and returns false when it is not there. */
bool cases_open(struct cases *cases, const char *path);
bool cases_next(struct cases *cases);
void cases_close(struct cases *cases);
/** The raw text of a column of the current row, "" when the row is shorter; a wrong name ends the
 * test. */
const char *cases_get(const struct cases *cases, const char *column);
/** The column as a JSON string in UTF-8, or as it stands when it has no quotes. Caller frees. */
char *cases_text(const struct cases *cases, const char *column);
