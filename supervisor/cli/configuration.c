/* SPDX-License-Identifier: MIT */
#include "configuration.h"

#include "base/buf.h"
#include "base/err.h"
#include "cli.h"
#include "config/kind.h"
#include "config/xpath_check.h"
#include "where.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

size_t configuration_errors(const char *report)
{
	size_t n = 0;
	for (const char *at = report; (at = strstr(at, ": error: ")); at++)
		n++;
	return n;
}

static int tell(struct cli *cli, const struct buf *report)
{
	size_t n = configuration_errors(buf_str(report));
	fputs(buf_str(report), cli->err);
	fprintf(cli->err, "%zu error%s\n", n, n == 1 ? "" : "s");
	return CLI_BAD_CONFIG;
}

/* Reading, and what a parser child says of the XPath expressions. */
static int load(struct config **out, const struct config_options *options, struct buf *words)
{
	char program[PATH_MAX];
	if (config_load(out, options, words) < 0)
		return -EINVAL;
	/* Without that program nothing can crawl either, and droverd says so. */
	if (where_program(program, "drover-parser", NULL) < 0 ||
		parser_check_xpaths(*out, program, words, options->color) == 0)
		return 0;
	config_free(*out);
	*out = NULL;
	return -EINVAL;
}

int configuration_load(struct cli *cli, const struct config_options *given, struct config **out,
	struct buf *report)
{
	char path[PATH_MAX], passed_over[256];
	struct err err = { 0 };
	int rc = where_config(path, given->file, passed_over, sizeof(passed_over), &err);
	if (*passed_over)
		cli_note(cli, "drover: %s", passed_over);
	if (rc < 0)
		return cli_fail(cli, CLI_FAILED, "%s", err.text);
	struct buf own = BUF_INIT;
	struct buf *words = report ? report : &own;
	struct config_options options = *given;
	options.file = path;
	options.kinds = worker_kinds;
	options.color = cli->err_color && !report;
	int code = CLI_DONE;
	if (load(out, &options, words) < 0)
		code = report ? CLI_BAD_CONFIG : tell(cli, words);
	buf_finish(&own);
	return code;
}
