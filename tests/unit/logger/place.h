/* SPDX-License-Identifier: MIT */
#pragma once
/* A private folder with log files, for the tests of this room. */
#include <stddef.h>
#include <stdint.h>

extern int place_dir; /* its descriptor */

/** cmocka's setup and teardown: makes and empties the folder. */
int place_setup(void **state);
int place_teardown(void **state);
/** The whole file as text, NUL-terminated, "" when absent; freed by the teardown. */
const char *place_read(const char *name);
/** Size of a file, -1 when absent. */
int64_t place_size(const char *name);
/** Makes the file with this text, or appends to it. */
void place_append(const char *name, const char *text);
/** NAME.<n> .. NAME.1, NAME one after the other. */
const char *place_read_all(const char *name, unsigned n);
