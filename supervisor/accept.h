/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Judges what reading a configuration cannot: are the accounts there, are there not too many slots,
 * can each worker be given its part, and what does a parser child say of the XPath expressions.
 */
#include "base/compiler.h"
#include <stddef.h>

struct buf;
struct config;

/**
 * @param program_dir  where drover's programs are
 * @param report       errors, in the style of config_load()
 * @return 0, -EINVAL. Waits at most 2 s for the parser child.
 */
int accept_config(const struct config *config, const char *program_dir, size_t slots_max,
	struct buf *report) MUST_CHECK;
