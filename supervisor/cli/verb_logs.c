/* SPDX-License-Identifier: MIT */
/* drover logs [NAME]: the supervisor says where the files are, they are read here with the caller's
 * rights. */
#include "ask.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "cli.h"
#include "record.h"
#include "tail.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

int verb_logs(struct cli *cli);
extern const struct cli_option verb_logs_options[];
const struct cli_option verb_logs_options[] = {
	{ "lines", 'n', "N", "how many lines, 1 to 1000000 (50)" },
	{ 0 },
};

enum { FILES_MAX = 1024 };

struct output {
	struct cli *cli;
	json_t *lines; /* NULL: text */
};

static void one_line(void *arg, const char *line, size_t len)
{
	struct output *out = arg;
	if (out->lines) {
		/* A record is an object; anything else is text, with what is no UTF-8 replaced. */
		json_t *value = len && line[0] == '{' ? json_loadb(line, len, 0, NULL) : NULL;
		json_array_append_new(out->lines, value ? value : text_json(line, len));
		return;
	}
	struct buf text = BUF_INIT;
	record_show(&text, line, len, out->cli->color);
	fprintf(out->cli->out, "%s\n", buf_str(&text));
	buf_finish(&text);
}

/* The file of that name; without a name drover's own main log. "web" finds "web", or the only
 * "web:1". */
static const json_t *find_file(const json_t *files, const char *name)
{
	const json_t *only = NULL;
	size_t i, slots = 0, len = strlen(name);
	json_t *file;
	json_array_foreach(files, i, file)
	{
		const char *has = json_text(file, "name");
		if (str_eq(has, name))
			return file;
		if (!strncmp(has, name, len) && has[len] == ':') {
			only = file;
			slots++;
		}
	}
	return slots == 1 ? only : NULL;
}

static int no_such_log(struct cli *cli, const json_t *files, const char *name)
{
	const char *names[FILES_MAX];
	struct buf list = BUF_INIT;
	size_t i, n = 0;
	json_t *file;
	json_array_foreach(files, i, file)
	{
		if (n < FILES_MAX)
			names[n++] = json_text(file, "name");
		buf_addf(&list, "%s%s", list.len ? ", " : "", json_text(file, "name"));
	}
	const char *near = str_nearest(name, names, n);
	if (near)
		cli_fail(
			cli, CLI_NO_SUCH_NAME, "no log named '%s', did you mean '%s'?", name, near);
	else
		cli_fail(cli, CLI_NO_SUCH_NAME, "no log named '%s'; there are: %s", name,
			buf_str(&list));
	buf_finish(&list);
	return CLI_NO_SUCH_NAME;
}

int verb_logs(struct cli *cli)
{
	long lines = 0;
	int code = cli_number(cli, "lines", 1, 1000000, 50, &lines);
	CLEANUP(json_freep) json_t *answer = NULL;
	if (code == CLI_DONE)
		code = ask(cli, "logs", NULL, &answer);
	if (code != CLI_DONE)
		return code;
	const json_t *files = json_object_get(answer, "files");
	const char *name = cli->name_count ? cli->names[0] : "drover";
	const json_t *file = find_file(files, name);
	if (!file)
		return no_such_log(cli, files, name);
	struct err err = { 0 };
	CLEANUP(json_freep) json_t *list = cli->json ? json_array() : NULL;
	struct output out = { cli, list };
	if (tail_last(json_text(file, "path"), (size_t)lines, one_line, &out, &err) < 0)
		return cli_fail(
			cli, err.code == -EACCES ? CLI_NOT_PERMITTED : CLI_FAILED, "%s", err.text);
	if (!list)
		return CLI_DONE;
	CLEANUP(json_freep)
	json_t *object = json_pack("{s:s, s:s, s:O}", "name", json_text(file, "name"), "path",
		json_text(file, "path"), "lines", list);
	return print_json(cli, object);
}
