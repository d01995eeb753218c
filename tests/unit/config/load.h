/* SPDX-License-Identifier: MIT */
#pragma once
/* Loads configurations for tests: all kinds, an environment of the test's own. */
#include "config/config.h"

struct buf;

/** NAME=value; value NULL: unset. At most 16 at a time. */
void test_setenv(const char *name, const char *value);
void test_clearenv(void);
const char *test_getenv(const char *name);
/** Options for a file with test_getenv and worker_kinds; folders are /state, /run/x, /log. */
struct config_options test_options(const char *file);
/** From memory, as "t.yaml". @return what config_load returns */
int test_load(struct config **out, const char *yaml, struct buf *report);
/** Must load. Caller frees. */
struct config *must_load(const char *yaml);
/** Must fail; the report must hold each of the texts (ends with NULL). */
void must_fail(const char *yaml, ...) __attribute__((sentinel));
