/* SPDX-License-Identifier: MIT */
/* drover logs [NAME...]: the supervisor says where the files are, they are read here with the
 * caller's rights. */
#include "ask.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "client.h"
#include "log/log.h"
#include "log_line.h"
#include "log_news.h"
#include "log_view.h"
#include "record.h"
#include "tail.h"
#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>

int verb_logs(struct cli *cli);
extern const struct cli_option verb_logs_options[];
const struct cli_option verb_logs_options[] = {
	{ "follow", 'f', NULL, "go on with what is added, across rotation, until Ctrl-C" },
	{ "lines", 'n', "N", "how many, 0 to 1000000 (50; with --since all)" },
	{ "since", 0, "TIME", "not older: 10m (ago), 2026-11-21, 08:45 (today), or RFC 3339" },
	{ "level", 0, "LEVEL", "at least debug, info, warn or error; other lines are left out" },
	{ "run", 0, "ID", "only what belongs to that run" },
	{ 0 },
};

enum {
	FILES_MAX = 1024,
	LINES_MAX = 1000000,
	LINES = 50,
	LOOK_AGAIN_MS = 100,
	LOOK_FOR_NEWS_MS = 1000,
	ASK_MS = 1000
};

struct output {
	struct cli *cli;
	json_t *files;	      /* as the supervisor told */
	json_t *lines, *from; /* NULL: not one object at the end */
	json_t *shown;	      /* the files that were asked for */
	struct log_view *view;
	bool many, follows, trouble;
};

/* --- lines --- */

/* A record is an object; anything else is text, with what is no UTF-8 replaced. */
static json_t *line_json(const char *line, size_t len)
{
	json_t *value = len && line[0] == '{' ? json_loadb(line, len, 0, NULL) : NULL;
	return value ? value : text_json(line, len);
}

static void print_line(struct output *out, const char *name, const char *line, size_t len)
{
	struct buf text = BUF_INIT;
	if (out->many && !str_starts(name, "drover"))
		buf_addf(&text, "%s | ", name);
	record_show(&text, line, len, out->cli->color);
	buf_add_char(&text, '\n');
	fwrite(buf_str(&text), 1, text.len, out->cli->out);
	buf_finish(&text);
}

static void print_json_line(struct output *out, const char *name, const char *line, size_t len)
{
	CLEANUP(json_freep)
	json_t *object = json_pack("{s:s, s:o}", "name", name, "line", line_json(line, len));
	size_t flags = JSON_COMPACT | (out->cli->out_is_terminal ? JSON_ENSURE_ASCII : 0);
	if (object && json_dumpf(object, out->cli->out, flags) == 0)
		fputc('\n', out->cli->out);
}

static bool on_line(void *arg, const char *name, const char *line, size_t len)
{
	struct output *out = arg;
	if (out->lines) {
		json_array_append_new(out->lines, line_json(line, len));
		json_array_append_new(out->from, json_string(name));
	} else if (out->cli->json) {
		print_json_line(out, name, line, len);
	} else {
		print_line(out, name, line, len);
	}
	return !ferror(out->cli->out);
}

static void on_trouble(void *arg, const char *name, const char *words)
{
	struct output *out = arg;
	out->trouble = true;
	fflush(out->cli->out);
	cli_note(out->cli, "drover: log %s: %s", name, words);
}

/* --- names --- */

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

/* "web" is "web" or all of "web:1", "web:2"; "error" is "drover_error"; "all" is every one but
 * that, whose records are in the others too. */
static bool is_meant(const char *name, const char *has)
{
	size_t len = strlen(name);
	if (str_eq(name, "all"))
		return !str_eq(has, log_category_file(ERROR));
	return str_eq(has, name) || (!strncmp(has, name, len) && has[len] == ':');
}

static const char *category_of(const char *name)
{
	for (int c = 0; c < LOG_CATEGORIES; c++)
		if (str_eq(name, log_category_name((enum log_category)c)))
			return log_category_file((enum log_category)c);
	return NULL;
}

/* @return an exit code; *found when there is one of that name */
static int add_named(struct output *out, const char *name, bool *found)
{
	struct err err = { 0 };
	size_t i;
	json_t *file;
	json_array_foreach(out->files, i, file)
	{
		const char *has = json_text(file, "name");
		if (!is_meant(name, has))
			continue;
		*found = true;
		int rc = log_view_add(out->view, has, json_text(file, "path"), &err);
		if (rc == -EEXIST)
			continue;
		if (rc < 0)
			return cli_fail(out->cli, CLI_FAILED, "%s", err.text);
		json_array_append(out->shown, file);
	}
	return CLI_DONE;
}

static int add_name(struct output *out, const char *name)
{
	bool found = false;
	int code = add_named(out, name, &found);
	const char *category = category_of(name);
	if (code == CLI_DONE && !found && category)
		code = add_named(out, category, &found);
	if (code == CLI_DONE && !found)
		return no_such_log(out->cli, out->files, name);
	return code;
}

/* Without a name drover's own main log; a run has left its records in others of drover's own as
 * well. */
static int add_names(struct output *out, const struct log_wish *wish)
{
	const struct cli *cli = out->cli;
	int code = CLI_DONE;
	for (size_t i = 0; code == CLI_DONE && i < cli->name_count; i++)
		code = add_name(out, cli->names[i]);
	for (int c = 0; code == CLI_DONE && cli->name_count == 0 && c < LOG_CATEGORIES; c++)
		if (c == MAIN || (wish->run && c != ERROR))
			code = add_name(out, log_category_file((enum log_category)c));
	return code;
}

/* --- the verb --- */

static int read_wish(struct cli *cli, struct log_wish *wish)
{
	struct err err = { 0 };
	const char *since = cli_value(cli, "since"), *level = cli_value(cli, "level");
	long lines = 0, run = 0;
	*wish = (struct log_wish) { .level = LOG_LINE_NO_LEVEL };
	wish->follow = cli_value(cli, "follow") != NULL;
	if (since && log_line_since(since, clock_real_ms(), &wish->since_ms, &err) < 0)
		return cli_fail(cli, CLI_USAGE, "--since '%s' %s", since, err.text);
	if (level)
		wish->level = log_line_level(level, strlen(level));
	if (level && wish->level == LOG_LINE_NO_LEVEL)
		return cli_fail(
			cli, CLI_USAGE, "--level '%s' is none of debug, info, warn, error", level);
	int code = cli_number(cli, "lines", 0, LINES_MAX, since ? LINES_MAX : LINES, &lines);
	if (code == CLI_DONE)
		code = cli_number(cli, "run", 1, INT64_MAX, 0, &run);
	wish->lines = (size_t)lines;
	wish->run = run;
	return code;
}

/* Who reads our text has gone, which needs no words, or the disk is full. */
static int ended_early(struct output *out)
{
	if (errno == EPIPE)
		return CLI_FAILED;
	return cli_fail(
		out->cli, CLI_FAILED, "cannot write to standard output: %s", strerror(errno));
}

/* Also the end of `drover logs -f | head` while nothing new comes. */
static bool reader_is_gone(struct cli *cli)
{
	struct pollfd p = { .fd = fileno(cli->out) };
	return poll(&p, 1, LOOK_AGAIN_MS) == 1 && (p.revents & (POLLERR | POLLHUP));
}

/* One that is not followed yet, and is meant by the names that were given. */
static bool is_new(void *arg, const char *name)
{
	const struct output *out = arg;
	bool meant = false;
	for (size_t i = 0; i < out->cli->name_count; i++)
		meant = meant || is_meant(out->cli->names[i], name);
	return meant && !log_view_has(out->view, name);
}

/* Of the files in the folder only those are shown that the supervisor knows: others may lie there,
 * too. @return false: it does not answer now */
static bool join(struct output *out, struct log_news *news)
{
	CLEANUP(json_freep) json_t *answer = NULL;
	struct client_question q = { .verb = "logs", .timeout_ms = ASK_MS };
	struct err err = { 0 };
	struct follow place;
	size_t i;
	json_t *file;
	int code = ask_quietly(out->cli, &q, &answer, &err);
	client_free(TAKE(out->cli->client));
	const json_t *files = code == CLI_DONE ? json_object_get(answer, "files") : NULL;
	json_array_foreach(files, i, file)
	{
		const char *name = json_text(file, "name");
		if (!is_new(out, name) || !log_news_take(news, name, &place))
			continue;
		if (log_view_join(out->view, name, json_text(file, "path"), &place, &err) < 0)
			on_trouble(out, name, err.text);
		out->many = true;
	}
	return files;
}

static int follow(struct output *out, const char *dir)
{
	CLEANUP(log_news_freep)
	struct log_news *news = out->cli->name_count ? log_news_new(dir, is_new, out) : NULL;
	int64_t looked_ms = clock_mono_ms();
	bool changed = false;
	/* It may take long until there is something to ask again. */
	client_free(TAKE(out->cli->client));
	for (;;) {
		if (news && clock_mono_ms() - looked_ms >= LOOK_FOR_NEWS_MS) {
			looked_ms = clock_mono_ms();
			changed = log_news_look(news) || changed;
			changed = changed && !join(out, news);
		}
		bool more = log_view_read(out->view);
		if (fflush(out->cli->out) == EOF || log_view_ended(out->view))
			return ended_early(out);
		if (!more && reader_is_gone(out->cli))
			return CLI_DONE;
	}
}

static int print_object(struct output *out)
{
	const json_t *first = json_array_get(out->shown, 0);
	CLEANUP(json_freep)
	json_t *object = json_pack("{s:s, s:s, s:O, s:O, s:O}", "name", json_text(first, "name"),
		"path", json_text(first, "path"), "files", out->shown, "lines", out->lines, "from",
		out->from);
	return print_json(out->cli, object);
}

static int show(struct output *out, const struct log_wish *wish, const char *dir)
{
	struct err err = { 0 };
	int code = add_names(out, wish);
	if (code != CLI_DONE)
		return code;
	out->many = json_array_size(out->shown) > 1;
	if (log_view_last(out->view, &err) < 0)
		return cli_fail(out->cli, err.code == -EACCES ? CLI_NOT_PERMITTED : CLI_FAILED,
			"%s", err.text);
	if (out->lines) {
		code = print_object(out);
	} else if (log_view_ended(out->view)) {
		return ended_early(out);
	} else if (wish->follow) {
		return follow(out, dir);
	}
	return code == CLI_DONE && out->trouble ? CLI_FAILED : code;
}

/* Every log is a few open files. */
static void want_many_files(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int verb_logs(struct cli *cli)
{
	static const struct log_view_ops ops = { .line = on_line, .trouble = on_trouble };
	struct log_wish wish;
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = read_wish(cli, &wish);
	if (code == CLI_DONE)
		code = ask(cli, "logs", NULL, &answer);
	if (code != CLI_DONE)
		return code;
	want_many_files();
	bool whole = cli->json && !wish.follow;
	CLEANUP(json_freep) json_t *lines = whole ? json_array() : NULL;
	CLEANUP(json_freep) json_t *from = whole ? json_array() : NULL;
	CLEANUP(json_freep) json_t *shown = json_array();
	struct output out = { .cli = cli,
		.files = json_object_get(answer, "files"),
		.lines = lines,
		.from = from,
		.shown = shown };
	CLEANUP(log_view_freep) struct log_view *view = log_view_new(&wish, &ops, &out);
	if (!view)
		return cli_fail(cli, CLI_FAILED, "out of memory");
	out.view = view;
	return show(&out, &wish, json_text(answer, "dir"));
}
