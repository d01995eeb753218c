/* SPDX-License-Identifier: MIT */
#include "oneshot.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "cli.h"
#include "config/config.h"
#include "config/kind.h"
#include "configuration.h"
#include "where.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONFIG_FD = 3, ANSWER_MAX = 64 * 1024 * 1024, WORDS_MAX = 4 };

struct start {
	char program[PATH_MAX];
	const struct oneshot_question *q;
	int config, input, output;
};

static NORETURN void become(const struct start *s)
{
	char *argv[WORDS_MAX + 2] = { (char *)(uintptr_t)s->program };
	for (size_t i = 0; i < WORDS_MAX && s->q->words[i]; i++)
		argv[i + 1] = (char *)(uintptr_t)s->q->words[i];
	/* Above all that is replaced, so that none overwrites another. */
	int config = s->config == -1 ? -1 : fcntl(s->config, F_DUPFD, 10);
	int output = fcntl(s->output, F_DUPFD, 10);
	if (dup2(s->input, STDIN_FILENO) == -1 || dup2(output, STDOUT_FILENO) == -1 ||
		(config != -1 && dup2(config, CONFIG_FD) == -1))
		_exit(127);
	sys_close_range(config == -1 ? CONFIG_FD : CONFIG_FD + 1, ~0U, false);
	execve(s->program, argv, environ);
	_exit(127);
}

static int open_input(struct cli *cli, const char *path, int *out)
{
	if (path && str_eq(path, "-"))
		*out = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		*out = open(path ? path : "/dev/null", O_RDONLY | O_CLOEXEC);
	return *out == -1 ? cli_fail(cli, CLI_FAILED, "read %s: %s", path, strerror(errno))
			  : CLI_DONE;
}

static int no_job(struct cli *cli, const struct config *config, const char *name)
{
	const char *near = NULL;
	const char **names = calloc(config->job_count + 1, sizeof(*names));
	for (size_t i = 0; names && i < config->job_count; i++)
		names[i] = config->jobs[i].name;
	if (names)
		near = str_nearest(name, names, config->job_count);
	if (near)
		cli_fail(cli, CLI_NO_SUCH_NAME, "no job '%s' in %s, did you mean '%s'?", name,
			config->file, near);
	else
		cli_fail(cli, CLI_NO_SUCH_NAME, "no job '%s' in %s", name, config->file);
	free(names);
	return CLI_NO_SUCH_NAME;
}

/* What a worker of the job's kind would be told, and nothing else. */
static int hand_over(struct cli *cli, const char *job_name, int *out)
{
	CLEANUP(config_freep) struct config *config = NULL;
	const struct config_options options = { .file = cli_value(cli, "config") };
	struct err err = { 0 };
	int code = configuration_load(cli, &options, &config, NULL);
	if (code != CLI_DONE)
		return code;
	const struct config_job *job = config_job(config, job_name);
	if (!job)
		return no_job(cli, config, job_name);
	if (!job->kind->program)
		return cli_fail(cli, CLI_USAGE,
			"job '%s' is a command: nothing is fetched, and nothing stored", job_name);
	*out = config_handover(config, job->kind, &err);
	return *out < 0 ? cli_fail(cli, CLI_FAILED, "%s", err.text) : CLI_DONE;
}

static int read_answer(struct cli *cli, int fd, struct buf *answer)
{
	ssize_t n;
	answer->max = ANSWER_MAX;
	do {
		char *at = buf_reserve(answer, 65536);
		if (!at)
			return cli_fail(cli, CLI_FAILED, "the answer is too large");
		n = sys_read(fd, at, 65536);
		answer->len += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n == -1 && errno == EINTR));
	return CLI_DONE;
}

/* @return its exit code */
static int wait_for(struct cli *cli, pid_t pid)
{
	siginfo_t info = { 0 };
	while (waitid(P_PID, (id_t)pid, &info, WEXITED) == -1 && errno == EINTR)
		;
	if (info.si_code == CLD_EXITED && info.si_status != 127)
		return info.si_status;
	if (info.si_code != CLD_EXITED)
		return cli_fail(
			cli, CLI_FAILED, "drover-oneshot was ended by signal %d", info.si_status);
	return cli_fail(cli, CLI_FAILED, "drover-oneshot could not be started");
}

static int run(struct cli *cli, struct start *s, int read_end, json_t **answer)
{
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	fflush(NULL);
	int pidfd = -1;
	pid_t pid = sys_fork_pidfd(&pidfd);
	if (pid == 0)
		become(s);
	close(s->output);
	s->output = -1;
	if (pidfd != -1)
		close(pidfd);
	if (pid == -1)
		return cli_fail(cli, CLI_FAILED, "start drover-oneshot: %s", strerror(errno));
	int read_code = read_answer(cli, read_end, &text);
	int code = wait_for(cli, pid);
	if (code == CLI_DONE)
		code = read_code;
	*answer = text.len ? json_loadb(buf_str(&text), text.len, 0, NULL) : NULL;
	if (s->q->raw)
		buf_add(s->q->raw, buf_str(&text), text.len);
	else if (code == CLI_DONE && !json_is_object(*answer))
		code = cli_fail(cli, CLI_FAILED, "drover-oneshot's answer is no JSON object");
	return code;
}

int oneshot_ask(struct cli *cli, const struct oneshot_question *q, json_t **answer)
{
	struct start s = { .q = q, .config = -1, .input = -1, .output = -1 };
	int ends[2] = { -1, -1 };
	struct err err = { 0 };
	int code = CLI_DONE;
	if (where_program(s.program, "drover-oneshot", &err) < 0)
		return cli_fail(cli, CLI_FAILED, "%s", err.text);
	if (q->job)
		code = hand_over(cli, q->job, &s.config);
	if (code == CLI_DONE)
		code = open_input(cli, q->input, &s.input);
	if (code == CLI_DONE && pipe2(ends, O_CLOEXEC) == -1)
		code = cli_fail(cli, CLI_FAILED, "start drover-oneshot: %s", strerror(errno));
	s.output = ends[1];
	if (code == CLI_DONE)
		code = run(cli, &s, ends[0], answer);
	const int open_ones[] = { s.config, s.input, s.output, ends[0] };
	for (size_t i = 0; i < ARRAY_SIZE(open_ones); i++)
		if (open_ones[i] != -1)
			close(open_ones[i]);
	return code;
}
