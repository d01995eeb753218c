/* SPDX-License-Identifier: MIT */
/* The real drover-parser, over a socket pair. */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "html/frame.h"
#include "parser/sandbox.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int fd;
	struct buf in, out;
	struct arena *arena;
};

static const char *program(void)
{
	static char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 32);
	assert_true(len > 0);
	path[len] = '\0';
	strcpy(strrchr(path, '/'), "/drover-parser");
	return path;
}

static int start(void **state)
{
	struct child *c = NEW(struct child);
	int ends[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	c->pid = fork();
	if (c->pid == 0) {
		if (ends[1] != 3)
			dup2(ends[1], 3);
		execl(program(), "drover-parser", (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	c->fd = ends[0];
	c->arena = arena_new(0);
	*state = c;
	return 0;
}

/* Waits for its end. @return the status of waitpid */
static int end(struct child *c)
{
	int status = 0;
	close(c->fd);
	c->fd = -1;
	assert_int_equal(waitpid(c->pid, &status, 0), c->pid);
	c->pid = 0;
	return status;
}

static int stop(void **state)
{
	struct child *c = *state;
	if (c->pid)
		end(c);
	buf_finish(&c->in);
	buf_finish(&c->out);
	arena_free(c->arena);
	free(c);
	return 0;
}

static void send_frame(struct child *c)
{
	for (size_t sent = 0; sent < c->out.len;) {
		ssize_t n = send(c->fd, c->out.data + sent, c->out.len - sent, MSG_NOSIGNAL);
		if (n <= 0)
			return; /* the reader sees the end */
		sent += (size_t)n;
	}
	buf_reset(&c->out);
}

/* @return the type of the next frame, 0 when the child is gone */
static enum parse_frame receive(struct child *c, const char **body, size_t *len)
{
	enum parse_frame type;
	buf_reset(&c->in);
	for (;;) {
		int r = parse_frame_peek(buf_str(&c->in), c->in.len, &type, body, len);
		assert_true(r >= 0);
		if (r)
			return type;
		ssize_t n = read(c->fd, buf_reserve(&c->in, 65536), 65536);
		if (n <= 0)
			return 0;
		c->in.len += (size_t)n;
	}
}

static const char *set_up(struct child *c, const char *const *xpaths, size_t count)
{
	const char *body, *error;
	size_t len;
	parse_put_setup(&c->out, &(struct parse_setup) { xpaths, count });
	send_frame(c);
	assert_int_equal(receive(c, &body, &len), PARSE_READY);
	assert_int_equal(parse_get_ready(&error, c->arena, body, len), 0);
	return error;
}

static bool ask(struct child *c, const char *html, size_t html_len, const char *type, size_t xpaths,
	struct parse_answer *answer)
{
	static const uint16_t all[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
	const char *body;
	size_t len;
	parse_put_page(&c->out,
		&(struct parse_page) { "http://h/d/p", type, all, xpaths, html, html_len });
	send_frame(c);
	if (receive(c, &body, &len) != PARSE_ANSWER)
		return false;
	assert_int_equal(parse_get_answer(answer, c->arena, body, len), 0);
	return true;
}

static void links_and_values_come_back(void **state)
{
	struct child *c = *state;
	static const char *const xpaths[] = { "//h1", "//p", "string(//nothing)", "//nothing",
		"count(//p)", "//a/@href", "//p[2]/b" };
	static const char html[] =
		"<meta charset=latin1><h1> Gr\xFC\xDF\n  <i>Gott</i> </h1><p>one<p>two <b>three</b>"
		"<a href='../x?b#c'>l</a>";
	struct parse_answer answer;
	assert_string_equal(set_up(c, xpaths, ARRAY_SIZE(xpaths)), "");
	assert_true(ask(c, html, sizeof(html) - 1, "text/html", ARRAY_SIZE(xpaths), &answer));
	assert_int_equal(answer.outcome, PARSE_OK);
	assert_string_equal(answer.charset, "windows-1252");
	assert_int_equal(answer.page.link_count, 1);
	assert_string_equal(answer.page.links[0].url, "http://h/x?b");
	assert_int_equal(answer.value_count, ARRAY_SIZE(xpaths));
	assert_string_equal(answer.values[0], "Gr\xC3\xBC\xC3\x9F Gott");
	assert_string_equal(answer.values[1], "one");
	assert_string_equal(answer.values[2], "");
	assert_null(answer.values[3]);
	assert_string_equal(answer.values[4], "2");
	assert_string_equal(answer.values[5], "../x?b#c");
	assert_string_equal(answer.values[6], "three");
	assert_int_equal(end(c), 0);
}

static void every_charset_can_be_read_inside_the_sandbox(void **state)
{
	struct child *c = *state;
	static const char *const xpath = "//p";
	static const struct {
		const char *charset, *bytes, *text;
	} pages[] = {
		{ "shift_jis", "\x93\xFA\x96\x7B", "\xE6\x97\xA5\xE6\x9C\xAC" },
		{ "euc-kr", "\xC7\xD1", "\xED\x95\x9C" },
		{ "gb2312", "\xC4\xE3", "\xE4\xBD\xA0" },
		{ "big5", "\xA7\x41", "\xE4\xBD\xA0" },
		{ "euc-jp", "\xC6\xFC", "\xE6\x97\xA5" },
		{ "koi8-r", "\xE4\xC1", "\xD0\x94\xD0\xB0" },
		{ "windows-1251", "\xC4\xE0", "\xD0\x94\xD0\xB0" },
		{ "iso-8859-7", "\xC1", "\xCE\x91" },
	};
	set_up(c, &xpath, 1);
	for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
		struct parse_answer answer;
		char type[64], html[64];
		snprintf(type, sizeof(type), "text/html; charset=%s", pages[i].charset);
		snprintf(html, sizeof(html), "<p>%s", pages[i].bytes);
		assert_true(ask(c, html, strlen(html), type, 1, &answer));
		assert_string_equal(answer.values[0], pages[i].text);
	}
}

static void hostile_pages_are_answered(void **state)
{
	struct child *c = *state;
	static const char *const xpath = "//p";
	CLEANUP(buf_finish) struct buf html = BUF_INIT;
	struct parse_answer answer;
	set_up(c, &xpath, 1);

	for (int i = 0; i < 1000000; i++)
		buf_add_str(&html, "<div>");
	buf_add_str(&html, "<a href=x><p>deep");
	assert_true(ask(c, html.data, html.len, "text/html", 1, &answer));
	assert_int_equal(answer.outcome, PARSE_PARTLY);
	assert_string_equal(answer.error, "elements nested more than 512 deep");
	assert_null(answer.values[0]);
	assert_int_equal(answer.page.link_count, 1);

	buf_reset(&html);
	buf_add_str(&html, "<p");
	for (int i = 0; i < 100000; i++)
		buf_addf(&html, " a%d", i);
	buf_add_str(&html, ">many");
	assert_true(ask(c, html.data, html.len, "text/html", 1, &answer));
	assert_int_equal(answer.outcome, PARSE_PARTLY);
	assert_string_equal(answer.error, "a tag with more than 1000 attributes");

	buf_reset(&html);
	for (int i = 0; i < 500; i++)
		buf_add_str(&html, "<div>");
	buf_add_str(&html, "<p>fine");
	assert_true(ask(c, html.data, html.len, "text/html", 1, &answer));
	assert_int_equal(answer.outcome, PARSE_OK);
	assert_string_equal(answer.values[0], "fine");

	assert_true(ask(c, "<p>a\0b", 6, "text/html", 1, &answer));
	assert_string_equal(answer.values[0], "a\xEF\xBF\xBD"
					      "b");
	assert_true(ask(c, "{}", 2, "", 1, &answer));
	assert_int_equal(answer.outcome, PARSE_NO_HTML);
	assert_true(ask(c, "", 0, "text/html", 1, &answer));
	assert_int_equal(end(c), 0);
}

static void a_wrong_expression_finds_nothing_and_is_told(void **state)
{
	struct child *c = *state;
	static const char *const xpaths[] = { "//p[", "//p", "nosuch(//p)" };
	struct parse_answer answer;
	assert_string_equal(set_up(c, xpaths, 3), "XPath //p[: wrong expression");
	assert_true(ask(c, "<p>x", 4, "text/html", 3, &answer));
	assert_null(answer.values[0]);
	assert_string_equal(answer.values[1], "x");
	assert_null(answer.values[2]);
}

static void a_page_that_takes_too_much_time_kills_its_parser(void **state)
{
	struct child *c = *state;
	static const char *const xpath =
		"count(//p[count(preceding::p[count(preceding::p) > 5]) > 7])";
	CLEANUP(buf_finish) struct buf html = BUF_INIT;
	struct parse_answer answer;
	set_up(c, &xpath, 1);
	for (int i = 0; i < 20000; i++)
		buf_add_str(&html, "<p>x");
	assert_false(ask(c, html.data, html.len, "text/html", 1, &answer));
	int status = end(c);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGXCPU);
}

static void a_frame_that_lies_ends_the_child(void **state)
{
	struct child *c = *state;
	const char *body;
	size_t len;
	buf_add(&c->out, "\xFF\xFF\xFF\x7F\x03", 5);
	send_frame(c);
	assert_int_equal(receive(c, &body, &len), 0);
	int status = end(c);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

static void the_sandbox_opens_no_file(void **state)
{
	(void)state;
#if defined(DROVER_ASAN) || defined(DROVER_TSAN)
	skip();
#endif
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		struct err *none = NULL;
		if (sandbox_enter(none) < 0)
			_exit(3);
		open("/etc/passwd", O_RDONLY);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void expressions_are_judged_for_check(void **state)
{
	(void)state;
	char command[5000], line[256], got[2048] = "";
	snprintf(command, sizeof(command),
		"printf '//h1\\0//h1[\\0foo(1)\\0//\xC3\xA4[\\0x:a\\0' | %s --check-xpath",
		program());
	FILE *f = popen(command, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		strncat(got, line, sizeof(got) - strlen(got) - 1);
	assert_int_equal(pclose(f), 0);
	assert_string_equal(got, "ok\nerror 5 wrong expression\nerror 0 there is no such function\n"
				 "error 4 wrong expression\nerror 0 there is no such prefix\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(links_and_values_come_back, start, stop),
		cmocka_unit_test_setup_teardown(
			every_charset_can_be_read_inside_the_sandbox, start, stop),
		cmocka_unit_test_setup_teardown(hostile_pages_are_answered, start, stop),
		cmocka_unit_test_setup_teardown(
			a_wrong_expression_finds_nothing_and_is_told, start, stop),
		cmocka_unit_test_setup_teardown(
			a_page_that_takes_too_much_time_kills_its_parser, start, stop),
		cmocka_unit_test_setup_teardown(a_frame_that_lies_ends_the_child, start, stop),
		cmocka_unit_test(the_sandbox_opens_no_file),
		cmocka_unit_test(expressions_are_judged_for_check),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
