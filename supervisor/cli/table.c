/* SPDX-License-Identifier: MIT */
#include "table.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli.h"
#include "text.h"
#include <libsmartcols.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS_MAX = 16, SHRUNK_WIDTH = 8, GAP = 2 };

struct cell {
	char *text;
	enum table_color color;
};

struct table {
	struct cli *cli;
	const char *headers[COLUMNS_MAX];
	unsigned flags[COLUMNS_MAX];
	size_t columns, rows, at, cap;
	struct cell *cells; /* rows x columns */
};

struct table *table_new(struct cli *cli)
{
	struct table *t = NEW(struct table);
	if (t)
		t->cli = cli;
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->rows * t->columns; i++)
		free(t->cells[i].text);
	free(t->cells);
	free(t);
}

void table_column(struct table *t, const char *header, unsigned flags)
{
	if (!t || t->columns == COLUMNS_MAX)
		return;
	t->headers[t->columns] = header;
	t->flags[t->columns++] = flags;
}

void table_row(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->columns; i++)
		if (mem_grow((void **)&t->cells, &t->cap, t->rows * t->columns + i,
			    sizeof(*t->cells)) < 0)
			return;
	memset(t->cells + t->rows * t->columns, 0, t->columns * sizeof(*t->cells));
	t->rows++;
	t->at = 0;
}

void table_cell_color(struct table *t, const char *text, enum table_color color)
{
	if (!t || t->rows == 0 || t->at == t->columns)
		return;
	struct cell *cell = &t->cells[(t->rows - 1) * t->columns + t->at++];
	struct buf safe = BUF_INIT;
	text_escape(&safe, text && *text ? text : "-", text && *text ? strlen(text) : 1);
	cell->text = buf_detach(&safe);
	cell->color = color;
}

void table_cell(struct table *t, const char *text)
{
	table_cell_color(t, text, TABLE_PLAIN);
}

void table_cellf(struct table *t, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	table_cell(t, buf_str(&text));
	buf_finish(&text);
}

static const char *cell_text(const struct table *t, size_t row, size_t column)
{
	const char *text = t->cells[row * t->columns + column].text;
	return text ? text : "-";
}

/* Takes columns from the widest that may shrink until the row fits. */
static void fit(const struct table *t, size_t widths[COLUMNS_MAX])
{
	size_t total = 0;
	for (size_t c = 0; c < t->columns; c++) {
		widths[c] = text_width(t->headers[c]);
		for (size_t r = 0; r < t->rows; r++)
			widths[c] = MAX(widths[c], text_width(cell_text(t, r, c)));
		total += widths[c] + (c ? GAP : 0);
	}
	while (t->cli->width && total > (size_t)t->cli->width) {
		size_t widest = t->columns;
		for (size_t c = 0; c < t->columns; c++)
			if (t->flags[c] & TABLE_SHRINK && widths[c] > SHRUNK_WIDTH &&
				(widest == t->columns || widths[c] > widths[widest]))
				widest = c;
		if (widest == t->columns)
			return; /* all shrunk: the terminal wraps, nothing is hidden */
		widths[widest]--;
		total--;
	}
}

static const char *const smart_colors[] = {
	[TABLE_GOOD] = "green",
	[TABLE_WARN] = "yellow",
	[TABLE_BAD] = "red",
	[TABLE_DIM] = "darkgray",
};

static int fill(
	const struct table *t, struct libscols_table *smart, const size_t widths[COLUMNS_MAX])
{
	for (size_t c = 0; c < t->columns; c++)
		if (!scols_table_new_column(smart, t->headers[c], (double)widths[c],
			    t->flags[c] & TABLE_RIGHT ? SCOLS_FL_RIGHT : 0))
			return -1;
	for (size_t r = 0; r < t->rows; r++) {
		struct libscols_line *line = scols_table_new_line(smart, NULL);
		for (size_t c = 0; line && c < t->columns; c++) {
			enum table_color color = t->cells[r * t->columns + c].color;
			struct buf text = BUF_INIT;
			text_cut(&text, cell_text(t, r, c), widths[c], t->cli->ascii ? ".." : "…");
			if (scols_line_set_data(line, c, buf_str(&text)) != 0)
				line = NULL;
			else if (color != TABLE_PLAIN && t->cli->color)
				scols_cell_set_color(
					scols_line_get_cell(line, c), smart_colors[color]);
			buf_finish(&text);
		}
		if (!line)
			return -1;
	}
	return 0;
}

int table_print(struct table *t)
{
	struct libscols_table *smart = t ? scols_new_table() : NULL;
	if (!smart)
		return CLI_FAILED;
	size_t widths[COLUMNS_MAX];
	fit(t, widths);
	scols_table_enable_colors(smart, t->cli->color);
	scols_table_enable_noencoding(smart, 1); /* cells are harmless already */
	scols_table_set_column_separator(smart, "  ");
	scols_table_set_stream(smart, t->cli->out);
	/* The fitting is done: wide enough for smartcols never to cut on its own. */
	scols_table_set_termforce(smart, SCOLS_TERMFORCE_NEVER);
	scols_table_set_termwidth(smart, 10000);
	int rc = fill(t, smart, widths);
	if (rc == 0 && t->rows)
		rc = scols_print_table(smart);
	scols_unref_table(smart);
	return rc == 0 ? CLI_DONE : CLI_FAILED;
}

enum table_color table_state_color(const char *state)
{
	static const char *const good[] = { "running", "succeeded", "normal", "ready" };
	static const char *const warn[] = { "starting", "stopping", "waiting", "queued", "warning",
		"reloading" };
	static const char *const bad[] = { "failed", "stuck", "critical", "cancelled" };
	static const char *const dim[] = { "stopped", "skipped" };
	static const struct {
		const char *const *names;
		size_t n;
		enum table_color color;
	} lists[] = {
		{ good, ARRAY_SIZE(good), TABLE_GOOD },
		{ warn, ARRAY_SIZE(warn), TABLE_WARN },
		{ bad, ARRAY_SIZE(bad), TABLE_BAD },
		{ dim, ARRAY_SIZE(dim), TABLE_DIM },
	};
	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		for (size_t i = 0; i < lists[l].n; i++)
			if (str_eq(lists[l].names[i], state))
				return lists[l].color;
	return TABLE_PLAIN;
}

const char *color_begin(bool on, enum table_color color)
{
	static const char *const codes[] = {
		[TABLE_PLAIN] = "",
		[TABLE_GOOD] = "\x1b[32m",
		[TABLE_WARN] = "\x1b[33m",
		[TABLE_BAD] = "\x1b[31m",
		[TABLE_DIM] = "\x1b[90m",
	};
	return on ? codes[color] : "";
}

const char *color_end(bool on, enum table_color color)
{
	return on && color != TABLE_PLAIN ? "\x1b[0m" : "";
}
