/* SPDX-License-Identifier: MIT */
#include "logger/compressor.h"

#include "base/mem.h"
#include "base/sys.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "drover-compress"
enum { HIGH_FD = 10, NICE = 10 };

struct compressor {
	struct loop *loop;
	char program[PATH_MAX];
	int pidfd; /* -1: none runs */
	struct loop_exit *exit;
	void (*done)(void *arg, bool whole);
	void *arg;
};

/* It lies beside us, also when we were replaced on the disk meanwhile (" (deleted)" is behind the
 * last slash). */
static int find_program(char *path, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", path, size - sizeof(PROGRAM));
	if (n <= 0)
		return -errno;
	path[n] = '\0';
	char *slash = strrchr(path, '/');
	if (!slash)
		return -ENOENT;
	memcpy(slash + 1, PROGRAM, sizeof(PROGRAM));
	return 0;
}

int compressor_new(struct compressor **out, struct loop *loop)
{
	struct compressor *c = NEW(struct compressor);
	if (!c)
		return -ENOMEM;
	c->loop = loop;
	c->pidfd = -1;
	*out = c;
	return 0;
}

static void forget(struct compressor *c);

void compressor_free(struct compressor *c)
{
	if (!c)
		return;
	compressor_cancel(c);
	forget(c);
	free(c);
}

bool compressor_busy(const struct compressor *c)
{
	return c->pidfd != -1;
}

static void forget(struct compressor *c)
{
	loop_exit_free(c->exit);
	c->exit = NULL;
	if (c->pidfd != -1)
		sys_close(c->pidfd);
	c->pidfd = -1;
}

void compressor_cancel(struct compressor *c)
{
	if (c->pidfd != -1)
		sys_pidfd_send_signal(c->pidfd, SIGKILL);
}

static NORETURN void child(const struct compressor *c, pid_t parent, int from, int to)
{
	char *const argv[] = { (char *)(uintptr_t)PROGRAM, NULL };
	char *const environment[] = { NULL };
	sigset_t none;
	/* A half-done file of a dead drover-log is nobody's. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	setpriority(PRIO_PROCESS, 0, NICE);
	for (int signo = 1; signo < NSIG; signo++)
		signal(signo, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Out of the way first: they may be 0 or 1. */
	from = fcntl(from, F_DUPFD_CLOEXEC, HIGH_FD);
	to = fcntl(to, F_DUPFD_CLOEXEC, HIGH_FD);
	if (dup2(from, STDIN_FILENO) == -1 || dup2(to, STDOUT_FILENO) == -1)
		_exit(1);
	/* All others are closed by exec. */
	execve(c->program, argv, environment);
	_exit(127);
}

static void on_ended(void *arg, const siginfo_t *info)
{
	struct compressor *c = arg;
	bool whole = info && info->si_code == CLD_EXITED && info->si_status == 0;
	forget(c);
	c->done(c->arg, whole);
}

int compressor_start(
	struct compressor *c, int from, int to, void (*done)(void *arg, bool whole), void *arg)
{
	pid_t parent = getpid();
	if (compressor_busy(c))
		return -EBUSY;
	int rc = find_program(c->program, sizeof(c->program));
	if (rc < 0)
		return rc;
	pid_t pid = sys_fork_pidfd(&c->pidfd);
	if (pid == 0)
		child(c, parent, from, to);
	if (pid == -1) {
		c->pidfd = -1;
		return -errno;
	}
	c->done = done;
	c->arg = arg;
	c->exit = loop_exit_new(c->loop, c->pidfd, on_ended, c);
	if (c->exit)
		return 0;
	compressor_cancel(c);
	forget(c);
	return -ENOMEM;
}
