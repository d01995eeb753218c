/* SPDX-License-Identifier: MIT */
#include "args.h"

#include "base/str.h"
#include "cli.h"
#include <string.h>

/* Every verb takes these. */
static const struct cli_option globals[] = {
	{ "socket", 0, "PATH", "the supervisor's control socket" },
	{ "json", 0, NULL, "machine-readable output" },
	{ "help", 'h', NULL, "this text" },
	{ "version", 0, NULL, "drover's version" },
	{ 0 },
};

enum { CANDIDATES_MAX = 32 };

const struct cli_verb *args_verb(const char *name)
{
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		if (str_eq(v->name, name))
			return v;
	return NULL;
}

static size_t option_names(const struct cli_option *list, const char **names, size_t n)
{
	for (; list && list->name && n < CANDIDATES_MAX; list++)
		names[n++] = list->name;
	return n;
}

static void unknown_option(struct cli *cli, const char *name)
{
	const char *names[CANDIDATES_MAX];
	size_t n = option_names(globals, names, 0);
	if (cli->verb)
		n = option_names(cli->verb->options, names, n);
	const char *near = name[1] ? str_nearest(name, names, n) : NULL;
	const char *dashes = name[1] ? "--" : "-";
	if (near)
		cli_fail(cli, CLI_USAGE, "no option %s%s, did you mean --%s?", dashes, name, near);
	else if (cli->verb)
		cli_fail(cli, CLI_USAGE, "no option %s%s of %s; see: drover %s --help", dashes,
			name, cli->verb->name, cli->verb->name);
	else
		cli_fail(cli, CLI_USAGE, "no option %s%s before a verb; see: drover help", dashes,
			name);
}

static const struct cli_option *find(
	const struct cli_option *list, const char *name, size_t len, size_t *index)
{
	for (size_t i = 0; list && list[i].name; i++) {
		bool by_letter = len == 1 && list[i].letter == name[0];
		if (by_letter ||
			(strlen(list[i].name) == len && !strncmp(list[i].name, name, len))) {
			*index = i;
			return &list[i];
		}
	}
	return NULL;
}

struct cursor {
	int argc, at;
	char **argv;
	bool help, version;
};

static enum args_outcome set_global(
	struct cli *cli, struct cursor *c, const struct cli_option *o, const char *value)
{
	if (str_eq(o->name, "socket"))
		cli->socket = value;
	else if (str_eq(o->name, "json"))
		cli->json = true;
	else if (str_eq(o->name, "help"))
		c->help = true;
	else
		c->version = true;
	return ARGS_RUN;
}

/* One argument that begins with '-'. */
static enum args_outcome take_option(struct cli *cli, struct cursor *c, char *text)
{
	bool is_long = text[1] == '-';
	const char *name = text + (is_long ? 2 : 1);
	const char *equals = is_long ? strchr(name, '=') : NULL;
	size_t len = !is_long ? 1 : equals ? (size_t)(equals - name) : strlen(name);
	size_t index = 0;
	/* A letter alone is not a long name, and "--n" is not "-n". */
	const struct cli_option *own = find(
		cli->verb ? cli->verb->options : NULL, name, len, &index);
	const struct cli_option *o = own ? own : find(globals, name, len, &index);
	if (!o || (is_long && strlen(o->name) != len)) {
		char word[64];
		str_copy(word, MIN(sizeof(word), len + 1), name);
		unknown_option(cli, word);
		return ARGS_WRONG;
	}
	const char *value = equals ? equals + 1 : !is_long && name[1] ? name + 1 : NULL;
	if (!o->value && value) {
		cli_fail(cli, CLI_USAGE, "option --%s takes no value", o->name);
		return ARGS_WRONG;
	}
	if (o->value && !value) {
		if (c->at >= c->argc) {
			cli_fail(cli, CLI_USAGE, "option --%s needs a value: --%s %s", o->name,
				o->name, o->value);
			return ARGS_WRONG;
		}
		value = c->argv[c->at++];
	}
	if (!own)
		return set_global(cli, c, o, value);
	cli->values[index] = value ? value : "";
	return ARGS_RUN;
}

static enum args_outcome take_verb(struct cli *cli, const char *name)
{
	cli->verb = args_verb(name);
	if (cli->verb)
		return ARGS_RUN;
	const char *names[64];
	size_t n = 0;
	for (const struct cli_verb *v = cli_verbs; v->name && n < ARRAY_SIZE(names) - 1; v++)
		names[n++] = v->name;
	names[n++] = "help";
	const char *near = str_nearest(name, names, n);
	if (near)
		cli_fail(cli, CLI_USAGE, "no verb '%s', did you mean '%s'?", name, near);
	else
		cli_fail(cli, CLI_USAGE, "no verb '%s'; see: drover help", name);
	return ARGS_WRONG;
}

static enum args_outcome take_word(struct cli *cli, struct cursor *c, const char *word)
{
	if (!cli->verb && str_eq(word, "help")) {
		c->help = true;
		if (c->at < c->argc)
			return take_verb(cli, c->argv[c->at++]);
		return ARGS_RUN;
	}
	if (!cli->verb)
		return take_verb(cli, word);
	if (cli->name_count == NAMES_MAX) {
		cli_fail(cli, CLI_USAGE, "more than %d names", NAMES_MAX);
		return ARGS_WRONG;
	}
	cli->names[cli->name_count++] = word;
	return ARGS_RUN;
}

static enum args_outcome check_count(struct cli *cli)
{
	const struct cli_verb *v = cli->verb;
	if (cli->name_count >= v->fewest && cli->name_count <= v->most)
		return ARGS_RUN;
	if (cli->name_count < v->fewest)
		cli_fail(cli, CLI_USAGE, "%s what? usage: drover %s %s", v->name, v->name,
			v->arguments);
	else
		cli_fail(cli, CLI_USAGE, "'%s' is one argument too many; usage: drover %s%s%s",
			cli->names[v->most], v->name, *v->arguments ? " " : "", v->arguments);
	return ARGS_WRONG;
}

enum args_outcome args_parse(struct cli *cli, int argc, char **argv)
{
	struct cursor c = { .argc = argc, .at = 1, .argv = argv };
	bool only_names = false;
	while (c.at < argc) {
		char *word = argv[c.at++];
		if (!only_names && str_eq(word, "--")) {
			only_names = true;
			continue;
		}
		bool is_option = !only_names && word[0] == '-' && word[1];
		enum args_outcome got = is_option ? take_option(cli, &c, word)
						  : take_word(cli, &c, word);
		if (got != ARGS_RUN)
			return got;
	}
	if (c.version)
		return ARGS_VERSION;
	if (c.help)
		return ARGS_HELP;
	if (!cli->verb) {
		cli_fail(cli, CLI_USAGE,
			"which verb? See: drover help (and for a first look: drover demo)");
		return ARGS_WRONG;
	}
	return check_count(cli);
}

static void print_options(struct cli *cli, const struct cli_option *o)
{
	for (; o && o->name; o++) {
		char left[64];
		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter ? "-" : "",
			o->letter ? o->letter : ' ', o->letter ? ", " : "   ", o->name,
			o->value ? " " : "", o->value ? o->value : "");
		fprintf(cli->out, "  %-26s %s\n", left, o->doc);
	}
}

void args_help(struct cli *cli, const struct cli_verb *verb)
{
	if (verb) {
		fprintf(cli->out, "usage: drover %s%s%s%s\n\n%s\n\noptions:\n", verb->name,
			*verb->arguments ? " " : "", verb->arguments,
			verb->options && verb->options->name ? " [OPTIONS]" : "", verb->summary);
		print_options(cli, verb->options);
		print_options(cli, globals);
		return;
	}
	fputs("drover keeps data collection running: a supervisor, its workers, their jobs.\n\n"
	      "usage: drover VERB [ARGUMENTS] [OPTIONS]\n\nverbs:\n",
		cli->out);
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		fprintf(cli->out, "  %-10s %s\n", v->name, v->summary);
	fputs("  help       this text; drover help VERB or drover VERB --help: of one verb\n\n"
	      "options of every verb:\n",
		cli->out);
	print_options(cli, globals);
	fputs("\nexit codes: 0 done, 1 failed, 2 usage, 3 the supervisor is not running, 4 no such "
	      "name,\n"
	      "5 not permitted, 78 bad configuration\n",
		cli->out);
}
