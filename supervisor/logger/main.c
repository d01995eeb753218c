/* SPDX-License-Identifier: MIT */
/* drover-log: moves what processes write from their FIFOs to rotated files. Started by droverd,
 * channel on fd 3. */
#include "base/err.h"
#include "log/log.h"
#include "logger/logger.h"
#include "loop/loop.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { CHANNEL_FD = 3, EXIT_USAGE = 2 };

/* SIGTERM ends us, but orders sent before it count: a log opened by one of them has to be drained
 * too. */
struct ending {
	struct loop *loop;
	struct loop_timer *turn;
};

static void on_turn(void *arg)
{
	struct ending *ending = arg;
	char byte;
	if (recv(CHANNEL_FD, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
		loop_timer_start(ending->turn, 0);
	else
		loop_stop(ending->loop);
}

static void on_term(void *arg, int signo UNUSED)
{
	on_turn(arg);
}

static bool is_channel(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

/* Until the loop listens (which unblocks it) a SIGTERM waits: ended at once we would drain
 * nothing. */
static void hold_term(void)
{
	sigset_t term;
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
}

/* Two descriptors a log: the soft limit of 1,024 is for programs that use select(). */
static void raise_fd_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(struct loop *loop)
{
	struct err err = { 0 };
	struct logger *logger;
	if (logger_start(&logger, loop, CHANNEL_FD, &err) < 0) {
		log_error(MAIN, "drover_log_failed", KV_STR("error", err.text));
		return 1;
	}
	struct ending ending = { .loop = loop };
	ending.turn = loop_timer_new(loop, on_turn, &ending);
	struct loop_signal *term = loop_signal_new(loop, SIGTERM, on_term, &ending);
	int status = ending.turn && term ? 0 : 1;
	if (status == 0) {
		loop_run(loop);
		logger_drain(logger);
	}
	loop_signal_free(term);
	loop_timer_free(ending.turn);
	logger_stop(logger);
	return status;
}

int main(int argc, char **argv UNUSED)
{
	/* A terminal's Ctrl-C and hang-up are for droverd; a file too large or a pipe without
	 * reader is an errno. */
	static const int ignored[] = { SIGPIPE, SIGXFSZ, SIGHUP, SIGINT };
	struct err err = { 0 };
	struct loop *loop;
	if (argc > 1 || !is_channel(CHANNEL_FD)) {
		fprintf(stderr,
			"drover-log is started by droverd, with its channel as descriptor 3\n");
		return EXIT_USAGE;
	}
	hold_term();
	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	umask(027);
	raise_fd_limit();
	if (loop_new(&loop, &err) < 0) {
		log_error(MAIN, "drover_log_failed", KV_STR("error", err.text));
		return 1;
	}
	int status = run(loop);
	loop_free(loop);
	return status;
}
