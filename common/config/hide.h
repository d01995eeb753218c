/* SPDX-License-Identifier: MIT */
#pragma once
/* Takes secrets out of texts that were made of a configuration: URLs, headers, bodies. */
#include "base/compiler.h"
#include <stdbool.h>

struct buf;
struct config;

/**
 * Appends `text` with *** for each value of a provider or a job that came from a substitution, as
 * it is or percent-encoded, the longest first.
 */
void config_hide(const struct config *config, struct buf *out, const char *text);
/** A header whose value is nobody's business, wherever it came from. */
bool config_hides_header(const char *name);
