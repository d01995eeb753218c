/* SPDX-License-Identifier: MIT */
#include "config/xpath_check.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "config/config.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Files instead of pipes: whatever the program does, nobody waits for a reader. */
static int write_expressions(const struct config *config)
{
	int fd = sys_memfd("xpath", false);
	const struct config_xpath *x;
	for (size_t i = 0; fd >= 0 && (x = config_xpaths(config, i)); i++) {
		size_t len = strlen(x->text) + 1;
		if (sys_write(fd, x->text, len) != (ssize_t)len) {
			sys_close(fd);
			return -1;
		}
	}
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static NORETURN void become(const char *program, int in, int out)
{
	static char name[] = "drover-parser", mode[] = "--check-xpath",
		    path[] = "PATH=/usr/bin:/bin";
	char *argv[] = { name, mode, NULL }, *envp[] = { path, NULL };
	if (dup2(in, STDIN_FILENO) == -1 || dup2(out, STDOUT_FILENO) == -1)
		_exit(127);
	sys_close_range(STDERR_FILENO + 1, ~0U, false);
	execve(program, argv, envp);
	_exit(127);
}

/* @return it ended well in time */
static bool run(const char *program, int in, int out)
{
	siginfo_t info = { 0 };
	int pidfd = -1;
	pid_t pid = sys_fork_pidfd(&pidfd);
	if (pid == 0)
		become(program, in, out);
	if (pid == -1)
		return false;
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	if (poll(&ended, 1, XPATH_CHECK_MS) != 1)
		sys_pidfd_send_signal(pidfd, SIGKILL);
	while (waitid(P_PID, (id_t)pid, &info, WEXITED) == -1 && errno == EINTR)
		;
	sys_close(pidfd);
	return info.si_code == CLD_EXITED && info.si_status == 0;
}

/* Where in the file: exact when the expression stands in its line as it is written. */
static struct config_xpath place_of(const struct config_xpath *x, int64_t offset)
{
	struct config_xpath place = *x;
	const char *text = strstr(x->line, x->text);
	int64_t last = (int64_t)strlen(x->text) - 1;
	if (text && last >= 0) {
		bool quoted = text > x->line && (text[-1] == '"' || text[-1] == '\'');
		place.mark.column += (size_t)MIN(offset, last) + quoted; /* not behind its end */
		place.mark.width = 1;
	}
	return place;
}

/* A line for each expression: "ok", or "error OFFSET WORDS". @return 0, -EINVAL, -EPROTO */
static int read_verdicts(const struct config *config, char *answer, struct buf *report, bool color)
{
	const struct config_xpath *x;
	char *line = answer;
	int r = 0;
	for (size_t i = 0; (x = config_xpaths(config, i)); i++) {
		char *next = strchr(line, '\n');
		if (!next)
			return -EPROTO;
		*next++ = '\0';
		if (str_starts(line, "error ")) {
			char *words = strchr(line + 6, ' ');
			int64_t offset = 0;
			if (!words)
				return -EPROTO;
			*words++ = '\0';
			if (str_to_i64(line + 6, 0, INT32_MAX, &offset) < 0)
				return -EPROTO;
			struct config_xpath place = place_of(x, offset);
			config_report(report, &place, words, color);
			r = -EINVAL;
		} else if (!str_eq(line, "ok")) {
			return -EPROTO;
		}
		line = next;
	}
	return r;
}

static bool read_whole(int fd, struct buf *out)
{
	ssize_t n;
	lseek(fd, 0, SEEK_SET);
	do {
		char *at = buf_reserve(out, 4096);
		n = at ? sys_read(fd, at, 4096) : -1;
		out->len += n > 0 ? (size_t)n : 0;
	} while (n > 0);
	buf_add_char(out, '\0');
	return n == 0 && !buf_failed(out);
}

int parser_check_xpaths(
	const struct config *config, const char *program, struct buf *report, bool color)
{
	if (!config_xpaths(config, 0))
		return 0;
	CLEANUP(closep) int in = write_expressions(config);
	CLEANUP(closep) int out = sys_memfd("verdicts", false);
	CLEANUP(buf_finish) struct buf answer = BUF_INIT;
	int r = -EPROTO;
	if (in >= 0 && out >= 0 && run(program, in, out) && read_whole(out, &answer))
		r = read_verdicts(config, answer.data, report, color);
	if (r == -EPROTO) {
		buf_addf(report,
			"%s: error: the XPath expressions could not be checked: %s failed\n",
			config->file, program);
		r = -EINVAL;
	}
	return r;
}
