/* SPDX-License-Identifier: MIT */
/*
 * drover-parser: takes pages apart in place of the crawl worker that starts it, and may die of it.
 * With
 * --check-xpath it judges expressions from its standard input.
 */
#include "base/err.h"
#include "html/charset.h"
#include "parser/extract.h"
#include "parser/sandbox.h"
#include "parser/serve.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct err err = { 0 };
	if (argc == 2 && strcmp(argv[1], "--check-xpath") == 0) {
		extract_init();
		sandbox_rearm();
		return serve_check(STDIN_FILENO, STDOUT_FILENO);
	}
	if (argc != 1) {
		fprintf(stderr, "usage: drover-parser [--check-xpath]; drover-crawl starts it\n");
		return 2;
	}
	sandbox_prepare();
	extract_init();
	html_charset_preload();
	if (sandbox_enter(&err) < 0) {
		fprintf(stderr, "drover-parser: %s\n", err.text);
		return 1;
	}
	return serve(SANDBOX_FD);
}
