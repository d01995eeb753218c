/* SPDX-License-Identifier: MIT */
/*
 * drover up: droverd as a child, its logs as readable text on the terminal. The text is read from
 * the log files that drover-log writes, so what is seen here is what `drover logs` shows later;
 * droverd itself prints nothing.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "child.h"
#include "cli.h"
#include "configuration.h"
#include "record.h"
#include "tail.h"
#include "text.h"
#include "where.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int verb_up(struct cli *cli);
extern const struct cli_option verb_up_options[];
const struct cli_option verb_up_options[] = {
	{ "config", 'c', "FILE",
		"the configuration (./drover.yaml, then /etc/drover/drover.yaml)" },
	{ "state-dir", 0, "DIR", "where the database lies" },
	{ "runtime-dir", 0, "DIR", "where the control socket lies" },
	{ "log-dir", 0, "DIR", "where the logs go" },
	{ 0 },
};

enum { TICK_MS = 150, LOGS_MAX = 512 };

struct shown {
	char name[128]; /* "web", "drover" */
	struct follow follow;
	struct screen *screen;
};

struct screen {
	struct cli *cli;
	const char *dir;
	struct shown *logs[LOGS_MAX];
	size_t count;
};

static void one_line(void *arg, const char *line, size_t len)
{
	const struct shown *log = arg;
	struct cli *cli = log->screen->cli;
	struct buf text = BUF_INIT;
	if (!str_starts(log->name, "drover"))
		buf_addf(&text, "%s | ", log->name);
	record_show(&text, line, len, cli->color);
	fprintf(cli->out, "%s\n", buf_str(&text));
	buf_finish(&text);
}

/* Records of level error are in both their own category's log and drover_error; measured times are
 * too many. */
static bool is_shown(const char *file)
{
	size_t len = strlen(file);
	return len > 4 && str_eq(file + len - 4, ".log") && !str_eq(file, "drover_error.log") &&
	       !str_eq(file, "drover_performance.log");
}

static void add_log(struct screen *s, const char *file, bool from_end)
{
	CLEANUP(freep) char *path = NULL;
	struct shown *log = NULL;
	for (size_t i = 0; i < s->count; i++)
		if (!strncmp(s->logs[i]->name, file, strlen(file) - 4) &&
			!s->logs[i]->name[strlen(file) - 4])
			return;
	if (s->count == LOGS_MAX || !(log = NEW(struct shown)))
		return;
	log->screen = s;
	snprintf(log->name, sizeof(log->name), "%.*s", (int)strlen(file) - 4, file);
	if (asprintf(&path, "%s/%s", s->dir, file) == -1 ||
		follow_init(&log->follow, path, from_end) < 0) {
		free(log);
		return;
	}
	s->logs[s->count++] = log;
}

/* What lies there before droverd starts is an earlier run's; what appears later is read from its
 * beginning. */
static void look_for_logs(struct screen *s, bool from_end)
{
	DIR *dir = opendir(s->dir);
	if (!dir)
		return;
	struct dirent *entry;
	while ((entry = readdir(dir)))
		if (is_shown(entry->d_name))
			add_log(s, entry->d_name, from_end);
	closedir(dir);
}

static void show_new_lines(struct screen *s)
{
	look_for_logs(s, false);
	for (size_t i = 0; i < s->count; i++)
		for (int n = 0; n < 4 && follow_read(&s->logs[i]->follow, one_line, s->logs[i]);
			n++)
			;
	fflush(s->cli->out);
}

static void screen_finish(struct screen *s)
{
	for (size_t i = 0; i < s->count; i++) {
		follow_finish(&s->logs[i]->follow);
		free(s->logs[i]);
	}
}

static int start_droverd(struct cli *cli, struct child *child, const char *config)
{
	char program[PATH_MAX];
	struct err err = { 0 };
	char *argv[16] = { program };
	size_t n = 1;
	/* argv of exec is not const, though nobody writes there. */
	argv[n++] = (char *)(uintptr_t) "--config";
	argv[n++] = (char *)(uintptr_t)config;
	for (const struct cli_option *o = verb_up_options + 1; o->name; o++) {
		if (!cli_value(cli, o->name))
			continue;
		static const char *const dashed[] = { "--state-dir", "--runtime-dir", "--log-dir" };
		argv[n++] = (char *)(uintptr_t)dashed[o - verb_up_options - 1];
		argv[n++] = (char *)(uintptr_t)cli_value(cli, o->name);
	}
	struct child_spec spec = { .argv = argv, .signal_when_orphan = SIGTERM };
	if (where_program(program, "droverd", &err) < 0 || child_start(child, &spec, &err) < 0)
		return cli_fail(cli, CLI_FAILED, "%s", err.text);
	return CLI_DONE;
}

/* Signals for droverd go on to it: it has a session of its own, so Ctrl-C reaches it once and by
 * us. */
static void relay_signals(struct child *child, const sigset_t *ours)
{
	struct timespec wait = { .tv_nsec = TICK_MS * 1000000L };
	siginfo_t info;
	int signo = sigtimedwait(ours, &info, &wait);
	if (signo > 0 && signo != SIGCHLD)
		child_signal(child, signo);
}

/* As PID 1 of a container: what nobody else waits for. droverd's own end is left to its handle. */
static void reap_strangers(const struct child *child)
{
	siginfo_t info = { 0 };
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid &&
		info.si_pid != child->pid) {
		waitpid(info.si_pid, NULL, WNOHANG);
		info.si_pid = 0;
	}
}

static int watch(struct cli *cli, struct screen *screen, const char *config)
{
	static const int relayed[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT,
		SIGCHLD };
	sigset_t ours;
	sigemptyset(&ours);
	for (size_t i = 0; i < ARRAY_SIZE(relayed); i++)
		sigaddset(&ours, relayed[i]);
	sigprocmask(SIG_BLOCK, &ours, NULL);
	signal(SIGPIPE, SIG_IGN); /* who reads our text may go; the supervisor stays */
	struct child child = CHILD_NONE;
	look_for_logs(screen, true);
	int code = start_droverd(cli, &child, config);
	if (code != CLI_DONE)
		return code;
	while (!child_ended(&child, &code)) {
		relay_signals(&child, &ours);
		reap_strangers(&child);
		show_new_lines(screen);
	}
	show_new_lines(screen);
	if (code > 128)
		return cli_fail(cli, CLI_FAILED, "droverd ended by signal %d", code - 128);
	return code;
}

int verb_up(struct cli *cli)
{
	CLEANUP(config_freep) struct config *config = NULL;
	struct config_options options = {
		.file = cli_value(cli, "config"),
		.state_dir = cli_value(cli, "state-dir"),
		.runtime_dir = cli_value(cli, "runtime-dir"),
		.log_dir = cli_value(cli, "log-dir"),
	};
	int code = configuration_load(cli, &options, &config, NULL);
	if (code != CLI_DONE)
		return code;
	cli_note(cli, "drover: %s; database in %s, control socket in %s, logs in %s; Ctrl-C stops",
		config->file, config->supervisor.state_dir, config->supervisor.runtime_dir,
		config->logs.dir);
	struct screen screen = { .cli = cli, .dir = config->logs.dir };
	code = watch(cli, &screen, config->file);
	screen_finish(&screen);
	return code;
}
