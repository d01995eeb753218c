/* SPDX-License-Identifier: MIT */
#include "crawl/parser_child.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_FD = 3, READ_BYTES = 65536, KEEP_BYTES = 1 << 20 };

struct parser_child {
	struct loop *loop;
	const struct parser_child_ops *ops;
	void *arg;
	pid_t pid;
	int pidfd, fd;
	struct loop_exit *exit;
	struct loop_io *io;
	struct buf in, out;
	size_t sent;  /* of out */
	char why[96]; /* "" when nobody here killed it */
};

static void on_io(void *arg, int fd, unsigned events);
static void on_exit_of_child(void *arg, const siginfo_t *info);

enum { ENVIRONMENT_MAX = 8 };

/* Its environment is built, not inherited, but for drover's own marks: by them a sweep finds what a
 * slot left behind. */
static void build_environment(char *envp[ENVIRONMENT_MAX])
{
	static char path[] = "PATH=/usr/bin:/bin", locale[] = "LC_ALL=C";
	size_t n = 0;
	envp[n++] = path;
	envp[n++] = locale;
	for (char **e = environ; *e && n < ENVIRONMENT_MAX - 1; e++)
		if (str_starts(*e, "DROVER_"))
			envp[n++] = *e;
	envp[n] = NULL;
}

/* In the child, before exec: only what a copy of a process with threads may do. */
static NORETURN void become(const char *program, int socket, char **envp)
{
	static char name[] = "drover-parser";
	char *argv[] = { name, NULL };
	sigset_t none;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int signo = 1; signo < 32; signo++)
		signal(signo, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (socket == CHILD_FD)
		fcntl(CHILD_FD, F_SETFD, 0);
	else if (dup2(socket, CHILD_FD) == -1)
		_exit(127);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	sys_close_range(CHILD_FD + 1, ~0U, false);
	execve(program, argv, envp);
	_exit(127);
}

static int watch(struct parser_child *child)
{
	child->exit = loop_exit_new(child->loop, child->pidfd, on_exit_of_child, child);
	child->io = loop_io_new(child->loop, child->fd, LOOP_READ, on_io, child);
	return child->exit && child->io ? 0 : -ENOMEM;
}

int parser_child_start(struct parser_child **out, struct loop *loop, const char *program,
	const struct parser_child_ops *ops, void *arg, struct err *err)
{
	CLEANUP(closep) int theirs = -1;
	char *envp[ENVIRONMENT_MAX];
	int ends[2];
	build_environment(envp);
	struct parser_child *child = NEW(struct parser_child);
	if (!child)
		return err_set(err, -ENOMEM, "start %s", program);
	*child = (struct parser_child) { .loop = loop,
		.ops = ops,
		.arg = arg,
		.pidfd = -1,
		.fd = -1,
		.in = { .max = PARSE_FRAME_MAX + READ_BYTES },
		.out = { .max = PARSE_FRAME_MAX } };
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == -1) {
		int r = err_sys(err, -errno, "start %s", program);
		free(child);
		return r;
	}
	child->fd = ends[0];
	theirs = ends[1];
	fcntl(child->fd, F_SETFL, O_NONBLOCK);
	child->pid = sys_fork_pidfd(&child->pidfd);
	if (child->pid == 0)
		become(program, theirs, envp);
	if (child->pid == -1) {
		int r = err_sys(err, -errno, "start %s", program);
		child->pidfd = -1;
		parser_child_free(child);
		return r;
	}
	if (watch(child) < 0) {
		parser_child_free(child);
		return err_set(err, -ENOMEM, "start %s", program);
	}
	*out = child;
	return 0;
}

/* After SIGKILL the end is near: waiting for it does not stop the loop for long. */
static void reap(struct parser_child *child)
{
	siginfo_t info;
	sys_pidfd_send_signal(child->pidfd, SIGKILL);
	while (waitid(P_PID, (id_t)child->pid, &info, WEXITED) == -1 && errno == EINTR)
		;
}

void parser_child_free(struct parser_child *child)
{
	if (!child)
		return;
	loop_exit_free(child->exit);
	loop_io_free(child->io);
	if (child->fd >= 0)
		close(child->fd);
	if (child->pidfd >= 0) {
		reap(child);
		close(child->pidfd);
	}
	buf_finish(&child->in);
	buf_finish(&child->out);
	free(child);
}

void parser_child_kill(struct parser_child *child, const char *why)
{
	if (!child->why[0])
		str_copy(child->why, sizeof(child->why), why);
	loop_io_set(child->io, 0);
	sys_pidfd_send_signal(child->pidfd, SIGKILL);
}

int parser_child_pid(const struct parser_child *child)
{
	return (int)child->pid;
}

struct buf *parser_child_out(struct parser_child *child)
{
	return &child->out;
}

static void write_some(struct parser_child *child)
{
	while (child->sent < child->out.len) {
		ssize_t n = send(child->fd, child->out.data + child->sent,
			child->out.len - child->sent, MSG_NOSIGNAL);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			break;
		if (n == -1) { /* it is gone, or going: on_exit_of_child says so */
			loop_io_set(child->io, 0);
			return;
		}
		child->sent += (size_t)n;
	}
	bool rest = child->sent < child->out.len;
	if (!rest) {
		child->sent = 0;
		if (child->out.cap > KEEP_BYTES)
			buf_finish(&child->out);
		else
			buf_reset(&child->out);
	}
	loop_io_set(child->io, LOOP_READ | (rest ? LOOP_WRITE : 0));
}

int parser_child_send(struct parser_child *child)
{
	if (buf_failed(&child->out)) {
		buf_finish(&child->out);
		child->sent = 0;
		return -ENOMEM;
	}
	write_some(child);
	return 0;
}

/* @return false when there is no more for now, or for ever */
static bool read_some(struct parser_child *child)
{
	char *at = buf_reserve(&child->in, READ_BYTES);
	if (!at) {
		parser_child_kill(child, "it answered too much");
		return false;
	}
	ssize_t n = recv(child->fd, at, READ_BYTES, 0);
	if (n == -1 && errno == EINTR)
		return true;
	if (n > 0)
		child->in.len += (size_t)n;
	else if (n == 0 || errno != EAGAIN)
		loop_io_set(child->io, 0);
	return n == READ_BYTES;
}

static void on_io(void *arg, int fd UNUSED, unsigned events)
{
	struct parser_child *child = arg;
	enum parse_frame type;
	const char *body;
	size_t len;
	if (events & LOOP_WRITE)
		write_some(child);
	if (!(events & LOOP_READ))
		return;
	while (read_some(child))
		;
	int r = child->why[0]
			? 0
			: parse_frame_peek(buf_str(&child->in), child->in.len, &type, &body, &len);
	if (r < 0)
		parser_child_kill(child, "its answer makes no sense");
	if (r <= 0)
		return;
	child->ops->frame(child->arg, type, body, len);
	/* One frame is on the way at a time: what lies behind it is nobody's. */
	if (child->in.cap > KEEP_BYTES)
		buf_finish(&child->in);
	else
		buf_reset(&child->in);
}

static void on_exit_of_child(void *arg, const siginfo_t *info)
{
	struct parser_child *child = arg;
	char how[128] = "gone";
	if (child->why[0])
		str_copy(how, sizeof(how), child->why);
	else if (info && info->si_code == CLD_EXITED)
		snprintf(how, sizeof(how), "exit code %d", info->si_status);
	else if (info && info->si_status == SIGXCPU)
		snprintf(how, sizeof(how), "signal %d (too much processor time)", info->si_status);
	else if (info)
		snprintf(how, sizeof(how), "signal %d", info->si_status);
	close(child->pidfd); /* reaped */
	child->pidfd = -1;
	loop_io_set(child->io, 0);
	child->ops->gone(child->arg, how);
}
