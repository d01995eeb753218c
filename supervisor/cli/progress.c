/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include "ask.h"
#include "base/buf.h"
#include "cli.h"
#include "text.h"
#include <inttypes.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { DRAW_MS = 200, LINE_MS = 10000, RATE_MS = 1000, BAR_WIDTH = 20 };

void progress_start(struct progress *p, struct cli *cli, int64_t now_ms)
{
	*p = (struct progress) { .cli = cli, .started_ms = now_ms, .rate_ms = now_ms };
	if (!cli->err_is_terminal)
		p->drawn_ms = now_ms;
}

static void draw_bar(struct buf *out, int64_t done, int64_t total, bool ascii)
{
	int64_t full = total > 0 ? done * BAR_WIDTH / total : 0;
	buf_addf(out, "%3" PRId64 "%% ", total > 0 ? done * 100 / total : 0);
	for (int i = 0; i < BAR_WIDTH; i++)
		buf_add_str(out, i < full ? (ascii ? "#" : "█") : (ascii ? "." : "░"));
}

/* How long the rest takes at the pace of the tasks so far; -1 when that says nothing yet. */
static int64_t left_ms(const struct progress *p, int64_t done, int64_t total, int64_t now_ms)
{
	int64_t elapsed = now_ms - p->started_ms;
	return done < 2 || total <= done ? -1 : elapsed * (total - done) / done;
}

void progress_render(
	struct buf *out, const struct progress *p, const json_t *run, int64_t now_ms, int width)
{
	struct buf line = BUF_INIT;
	char text[TEXT_SPAN];
	const json_t *tasks = json_object_get(run, "tasks");
	int64_t total = json_number(tasks, "total"),
		ended = json_number(tasks, "done") + json_number(tasks, "dead");
	buf_addf(&line, "%s  ", run ? json_text(run, "job") : "waiting");
	if (p->remark) {
		buf_add_str(&line, p->remark);
	} else if (run) {
		/* A run of one task has no share that is done: its rows are the progress. */
		if (total > 1) {
			draw_bar(&line, ended, total, p->cli->ascii);
			buf_addf(&line, "  %" PRId64 "/%" PRId64 " tasks", ended, total);
		} else {
			buf_add_str(&line, json_text(run, "state"));
		}
		buf_addf(&line, "  %s rows",
			text_count(text, sizeof(text), json_number(run, "rows")));
		buf_addf(&line, "  %.0f/s", p->rate);
		int64_t left = left_ms(p, ended, total, now_ms);
		if (left >= 0)
			buf_addf(&line, "  %s left", text_span(text, sizeof(text), left));
		if (json_number(tasks, "failed"))
			buf_addf(&line, "  %" PRId64 " failed", json_number(tasks, "failed"));
	}
	buf_addf(&line, "  %s", text_span(text, sizeof(text), now_ms - p->started_ms));
	struct buf safe = BUF_INIT;
	text_escape(&safe, buf_str(&line), line.len);
	text_cut(out, buf_str(&safe), (size_t)width, p->cli->ascii ? ".." : "…");
	buf_finish(&safe);
	buf_finish(&line);
}

static void measure(struct progress *p, const json_t *run, int64_t now_ms)
{
	int64_t rows = json_number(run, "rows");
	if (!run || now_ms - p->rate_ms < RATE_MS)
		return;
	double now = (double)(rows - p->rate_count) * 1000 / (double)(now_ms - p->rate_ms);
	p->rate = p->rate_count ? p->rate * 0.5 + now * 0.5 : now;
	p->rate_ms = now_ms;
	p->rate_count = rows;
}

void progress_show(struct progress *p, const json_t *run, int64_t now_ms)
{
	measure(p, run, now_ms);
	bool terminal = p->cli->err_is_terminal;
	if (now_ms - p->drawn_ms < (terminal ? DRAW_MS : LINE_MS))
		return;
	struct winsize size = { .ws_col = 80 };
	if (terminal && (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == -1 || size.ws_col == 0))
		size.ws_col = 80;
	struct buf line = BUF_INIT;
	progress_render(&line, p, run, now_ms, terminal ? size.ws_col - 1 : 1000);
	fprintf(p->cli->err, terminal ? "\r%s\x1b[K" : "%s\n", buf_str(&line));
	fflush(p->cli->err);
	buf_finish(&line);
	p->drawn_ms = now_ms;
}

void progress_end(struct progress *p)
{
	if (p->cli->err_is_terminal && p->drawn_ms)
		fputs("\r\x1b[K", p->cli->err);
}
