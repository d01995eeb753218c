/* SPDX-License-Identifier: MIT */
#include "cli.h"

#include "args.h"
#include "base/str.h"
#include "client.h"
#include "text.h"
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define VERB(name, arguments, fewest, most, summary) \
	int verb_##name(struct cli *cli);            \
	extern const struct cli_option verb_##name##_options[];
#include "verbs.def"
#undef VERB

const struct cli_verb cli_verbs[] = {
#define VERB(name, arguments, fewest, most, summary) \
	{ #name, arguments, summary, fewest, most, verb_##name##_options, verb_##name },
#include "verbs.def"
#undef VERB
	{ 0 },
};

void cli_init(struct cli *cli)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	bool color = !(no_color && *no_color) && !(term && str_eq(term, "dumb"));
	cli->out = stdout;
	cli->err = stderr;
	cli->out_is_terminal = isatty(STDOUT_FILENO) == 1;
	cli->err_is_terminal = isatty(STDERR_FILENO) == 1;
	cli->color = cli->out_is_terminal && color;
	cli->err_color = cli->err_is_terminal && color;
	/* Names and cells are UTF-8 whatever the locale is; only what we draw ourselves falls back
	 * to ASCII. */
	bool utf8 = setlocale(LC_CTYPE, "") && str_eq(nl_langinfo(CODESET), "UTF-8");
	cli->ascii = !utf8;
	if (!utf8)
		setlocale(LC_CTYPE, "C.UTF-8");
	if (cli->out_is_terminal) {
		struct winsize size;
		int64_t columns = 0;
		const char *text = getenv("COLUMNS");
		if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col)
			columns = size.ws_col;
		else if (!text || str_to_i64(text, 20, 10000, &columns) < 0)
			columns = 80;
		cli->width = (int)MAX(columns, 20);
	}
}

void cli_finish(struct cli *cli)
{
	client_free(cli->client);
	cli->client = NULL;
}

int cli_main(struct cli *cli, int argc, char **argv)
{
	switch (args_parse(cli, argc, argv)) {
	case ARGS_WRONG: return CLI_USAGE;
	case ARGS_HELP: args_help(cli, cli->verb); break;
	case ARGS_VERSION: fprintf(cli->out, "drover %s\n", DROVER_VERSION); break;
	case ARGS_RUN: {
		int code = cli->verb->run(cli);
		if (code != CLI_DONE)
			return code;
		break;
	}
	}
	/* A full disk or a closed pipe under our data is a failure, not silence. */
	if (fflush(cli->out) == EOF || ferror(cli->out))
		return cli_fail(cli, CLI_FAILED, "cannot write to standard output");
	return CLI_DONE;
}

const char *cli_value(const struct cli *cli, const char *name)
{
	for (size_t i = 0; cli->verb->options[i].name; i++)
		if (str_eq(cli->verb->options[i].name, name))
			return cli->values[i];
	return NULL;
}

int cli_number(struct cli *cli, const char *name, long min, long max, long fallback, long *out)
{
	const char *text = cli_value(cli, name);
	int64_t n = fallback;
	if (text && str_to_i64(text, min, max, &n) < 0)
		return cli_fail(cli, CLI_USAGE, "--%s takes a number from %ld to %ld, not '%s'",
			name, min, max, text);
	*out = (long)n;
	return CLI_DONE;
}

/* What is printed may quote names from outside: nothing of it may steer the terminal. */
static void print_line(struct cli *cli, const char *prefix, const char *fmt, va_list ap)
{
	struct buf raw = BUF_INIT, safe = BUF_INIT;
	buf_addv(&raw, fmt, ap);
	text_escape_lines(&safe, buf_str(&raw), raw.len);
	fflush(cli->out);
	fprintf(cli->err, "%s%s\n", prefix, buf_str(&safe));
	buf_finish(&raw);
	buf_finish(&safe);
}

int cli_fail(struct cli *cli, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	print_line(cli, "drover: ", fmt, ap);
	va_end(ap);
	return code;
}

void cli_note(struct cli *cli, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	print_line(cli, "", fmt, ap);
	va_end(ap);
}
