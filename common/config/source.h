/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The bytes of one configuration file, checked before libyaml sees them: size, UTF-8, control
 * characters, tabs used for indentation. libyaml's own words for these are poor, and it names no
 * column for bytes that are no text.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct arena;
struct config_mark;
struct report;

enum { SOURCE_MAX_BYTES = 1 << 20 };

struct source {
	const char *name; /* as messages show it */
	const char *data; /* without a byte order mark */
	size_t len;
};

/**
 * Reads a regular file of at most SOURCE_MAX_BYTES into the arena. Blocks for the disk only.
 * @return false: reported
 */
MUST_CHECK
bool source_read(
	struct source *source, struct arena *arena, const char *path, struct report *report);
/** The same from memory: data is borrowed and must live as long as the source. */
MUST_CHECK
bool source_from_memory(struct source *source, const char *name, const void *data, size_t len,
	struct report *report);
/** The line's text without its end; line from 1. An empty text beyond the end. */
const char *source_line(const struct source *source, size_t line, size_t *len);
/** Bytes of the character at p, 1 for what is no UTF-8. */
size_t source_char_bytes(const char *p, size_t left);
