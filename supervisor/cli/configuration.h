/* SPDX-License-Identifier: MIT */
#pragma once
/* Reads the configuration for check, config and demo, as droverd would. */
#include "base/compiler.h"
#include "config/config.h"

struct cli;

/** One line for each error that a report holds; 0 when it holds none. */
size_t configuration_errors(const char *report);
/**
 * Loads given->file (NULL: searched as where_config() says) with the folders that are given. Errors
 * are printed to cli->err, or kept in `report` when that is not NULL.
 * @return CLI_DONE and *out; CLI_BAD_CONFIG; CLI_FAILED when there is none to load
 */
int configuration_load(struct cli *cli, const struct config_options *given, struct config **out,
	struct buf *report) MUST_CHECK;
