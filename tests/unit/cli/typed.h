/* SPDX-License-Identifier: MIT */
#pragma once
/* Runs a command line inside the test and keeps what it printed. */
#include "cli.h"
#include "unit.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct typed {
	char *out, *err;
	size_t out_len, err_len;
	int code;
};

/* typed(&t, "next", "@daily", NULL) */
static inline void typed_in(struct typed *t, int width, const char *const *words)
{
	char *argv[32] = { (char *)(uintptr_t) "drover" };
	int argc = 1;
	for (; *words; words++)
		argv[argc++] = (char *)(uintptr_t)*words;
	struct cli cli = { .width = width };
	*t = (struct typed) { 0 };
	cli.out = open_memstream(&t->out, &t->out_len);
	cli.err = open_memstream(&t->err, &t->err_len);
	t->code = cli_main(&cli, argc, argv);
	cli_finish(&cli);
	fclose(cli.out);
	fclose(cli.err);
}
#define typed(t, ...) typed_in((t), 0, (const char *const[]) { __VA_ARGS__, NULL })

static inline void typed_free(struct typed *t)
{
	free(t->out);
	free(t->err);
}

#define assert_says(text, part)                                                 \
	do {                                                                    \
		if (!strstr((text), (part)))                                    \
			fail_msg("\"%s\" does not say \"%s\"", (text), (part)); \
	} while (0)
