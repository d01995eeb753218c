/* SPDX-License-Identifier: MIT */
/* drover db: connections; slow: costly statements and what would help; reset. */
#include "ask.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "show.h"
#include "text.h"
#include <inttypes.h>

enum { QUERY_COLUMNS = 100 };

int verb_db(struct cli *cli);
extern const struct cli_option verb_db_options[];
const struct cli_option verb_db_options[] = { { 0 } };

static void count_cell(struct table *t, const json_t *object, const char *key)
{
	char text[TEXT_SPAN];
	const json_t *value = json_object_get(object, key);
	table_cell(t, json_is_integer(value)
			      ? text_count(text, sizeof(text), json_integer_value(value))
			      : NULL);
}

static void ms_cell(struct table *t, const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	if (json_is_number(value))
		table_cellf(t, "%.2f", json_number_value(value));
	else
		table_cell(t, NULL);
}

static int show_processes(struct cli *cli, const json_t *processes)
{
	CLEANUP(table_freep) struct table *t = table_new(cli);
	static const char *const heads[] = { "ACTIVE", "IDLE", "TRANSACTIONS", "WAITED", "HITS",
		"CONNECTS", "FAILED", "WAIT ms", "P99 ms" };
	table_column(t, "PROCESS", 0);
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		table_column(t, heads[i], TABLE_RIGHT);
	size_t i;
	json_t *p;
	json_array_foreach(processes, i, p)
	{
		table_row(t);
		table_cell(t, json_text(p, "name"));
		count_cell(t, p, "active");
		count_cell(t, p, "idle");
		count_cell(t, p, "transactions");
		count_cell(t, p, "waits");
		if (json_is_number(json_object_get(p, "hit_rate")))
			table_cellf(t, "%.1f%%",
				100 * json_number_value(json_object_get(p, "hit_rate")));
		else
			table_cell(t, NULL);
		count_cell(t, p, "connects");
		count_cell(t, p, "failures");
		ms_cell(t, p, "wait_mean_ms");
		ms_cell(t, p, "wait_p99_ms");
	}
	return table_print(t);
}

static int show_db(struct cli *cli, const json_t *answer)
{
	const json_t *db = json_object_get(answer, "db"),
		     *connections = json_object_get(db, "connections");
	char size[TEXT_SPAN];
	CLEANUP(buf_finish) struct buf line = BUF_INIT;
	buf_addf(&line, "%s %s, %s", json_text(db, "engine"), json_text(db, "version"),
		text_bytes(size, sizeof(size), json_number(db, "size_bytes")));
	if (json_is_object(connections))
		buf_addf(&line, ", %" PRId64 " of %" PRId64 " connections of the server open",
			json_number(connections, "open"), json_number(connections, "most"));
	show_line(cli, TABLE_PLAIN, buf_str(&line));
	return show_processes(cli, json_object_get(db, "processes"));
}

/* A statement on one line. */
static void query_text(struct buf *out, const char *query)
{
	CLEANUP(buf_finish) struct buf flat = BUF_INIT;
	bool blank = false;
	for (; *query; query++) {
		bool is_blank = *query == ' ' || *query == '\n' || *query == '\t' || *query == '\r';
		if (!is_blank)
			buf_add_char(&flat, *query);
		else if (!blank)
			buf_add_char(&flat, ' ');
		blank = is_blank;
	}
	text_cut(out, buf_str(&flat), QUERY_COLUMNS, "...");
}

static int show_statements(struct cli *cli, const json_t *statements)
{
	CLEANUP(table_freep) struct table *t = table_new(cli);
	static const char *const heads[] = { "TOTAL ms", "CALLS", "MEAN ms", "MAX ms", "ROWS" };
	for (size_t i = 0; i < ARRAY_SIZE(heads); i++)
		table_column(t, heads[i], TABLE_RIGHT);
	table_column(t, "STATEMENT", TABLE_SHRINK);
	size_t i;
	json_t *s;
	json_array_foreach(statements, i, s)
	{
		CLEANUP(buf_finish) struct buf query = BUF_INIT;
		query_text(&query, json_text(s, "query"));
		table_row(t);
		ms_cell(t, s, "total_ms");
		count_cell(t, s, "calls");
		ms_cell(t, s, "mean_ms");
		ms_cell(t, s, "max_ms");
		count_cell(t, s, "rows");
		table_cell(t, buf_str(&query));
	}
	return table_print(t);
}

static void show_advice(struct cli *cli, const json_t *advice)
{
	size_t i;
	json_t *a;
	json_array_foreach(advice, i, a)
	{
		CLEANUP(buf_finish) struct buf line = BUF_INIT;
		char kind[32];
		str_copy(kind, sizeof(kind), json_text(a, "kind"));
		for (char *c = kind; *c; c++)
			*c = *c == '_' ? ' ' : *c;
		buf_addf(&line, "\n%s: ", kind);
		query_text(&line, json_text(a, "query"));
		buf_addf(&line, "\n  it %s", json_text(a, "detail"));
		buf_addf(&line, *json_text(a, "run") ? "\n  run: %s" : "\n  no index helps%s",
			json_text(a, "run"));
		show_line(cli, TABLE_PLAIN, buf_str(&line));
	}
}

static int show_slow(struct cli *cli, const json_t *answer)
{
	const json_t *statements = json_object_get(answer, "statements");
	if (json_array_size(statements) == 0)
		cli_note(cli, "no statements were counted yet");
	int code = show_statements(cli, statements);
	show_advice(cli, json_object_get(answer, "advice"));
	size_t i;
	json_t *note;
	json_array_foreach(json_object_get(answer, "notes"), i, note)
		cli_note(cli, "%s", json_string_value(note));
	return code;
}

int verb_db(struct cli *cli)
{
	static const char *const words[] = { "slow", "reset" };
	const char *word = cli->name_count ? cli->names[0] : NULL;
	bool slow = word && str_eq(word, "slow"), reset = word && str_eq(word, "reset");
	if (word && !slow && !reset) {
		const char *near = str_nearest(word, words, ARRAY_SIZE(words));
		return cli_fail(cli, CLI_USAGE, "db %s? %s%s%s", word, near ? "did you mean '" : "",
			near ? near : "slow, reset, or nothing", near ? "'?" : "");
	}
	CLEANUP(json_freep) json_t *answer = NULL;
	int code = ask(cli, slow ? "db.slow" : reset ? "db.reset" : "db", "{}", &answer);
	if (code != CLI_DONE)
		return code;
	if (cli->json)
		return print_json(cli, answer);
	if (slow)
		return show_slow(cli, answer);
	if (!reset)
		return show_db(cli, answer);
	cli_note(cli, "%s", json_text(json_object_get(answer, "reset"), "detail"));
	return CLI_DONE;
}
