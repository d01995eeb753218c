/* SPDX-License-Identifier: MIT */
#pragma once
/* A value at its place in a JSON text, all else as it stands there. Pure; droverd, which links no
 * JSON library, asks whether there is such a place. Texts are valid: json_check(). */
#include "base/compiler.h"
#include <stdbool.h>

struct buf;
struct json_path;

/** Whether a value can stand there: objects on the way are made where there are none.
 * @return NULL, or why not: words that hold nothing of the text */
const char *json_place_problem(const char *json, const struct json_path *path);
/**
 * Appends json with the value at the path. It is a number or a text as what stands there is; where
 * nothing does, or null, `number` decides.
 * @param value  UTF-8; one that is no number is a text in any case
 */
void json_place_put(struct buf *out, const char *json, const struct json_path *path,
	const char *value, bool number);
/** Appends a text as it stands between quotes. */
void json_place_escape(struct buf *out, const char *text);
