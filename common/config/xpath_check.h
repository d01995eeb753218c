/* SPDX-License-Identifier: MIT */
#pragma once
/* Asks drover-parser what it thinks of a configuration's XPath expressions: who checks a
 * configuration need not link an XML library, nor die of one. */
#include "base/compiler.h"
#include <stdbool.h>

struct buf;
struct config;

enum { XPATH_CHECK_MS = 5000 };

/**
 * Waits at most XPATH_CHECK_MS for the program; does not start it when there is no expression.
 * @param program  path of drover-parser
 * @param report   gets each error in the style of config_load()
 * @return 0; -EINVAL with at least one error in report, also when the program does not work
 */
int parser_check_xpaths(const struct config *config, const char *program, struct buf *report,
	bool color) MUST_CHECK;
