/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * XPath 1.0 over HTML, by libxml2: nothing is loaded from anywhere, depth and attributes are
 * bounded. The value of an expression is string() of its result (of a node-set: of the first node
 * in document order), normalize-space()d.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct err;

/** Once, before anything else here. */
void extract_init(void);

struct extract_set; /* compiled expressions */
/**
 * Compiles all; one that is wrong finds nothing later.
 * @param err  words about the first wrong one; its code stays 0 when there is none
 * @return NULL: no memory
 */
struct extract_set *extract_compile(const char *const *xpaths, size_t count, struct err *err);
void extract_set_free(struct extract_set *set);
DEFINE_FREEP(struct extract_set, extract_set)

/**
 * Judges one expression for `drover check`: its grammar, and functions, variables and prefixes that
 * do not exist.
 * @param offset  characters from 0 where it is wrong
 * @return 0; -EINVAL with words in err
 */
int extract_check(const char *xpath, size_t *offset, struct err *err) MUST_CHECK;

/**
 * Makes the tree of html (UTF-8 without NUL) and writes the value of each asked expression, NULL
 * when it found nothing.
 * @param values  `count` of them; text lives in the arena
 * @return 0; -E2BIG nested too deeply; -ENOMEM; -EINVAL an index beyond the set; with words in err,
 * values are all NULL
 */
int extract_values(const struct extract_set *set, const uint16_t *asked, size_t count,
	const char *html, size_t len, const char *url, struct arena *arena, const char **values,
	struct err *err) MUST_CHECK;
