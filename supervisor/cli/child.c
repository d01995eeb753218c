/* SPDX-License-Identifier: MIT */
#include "child.h"

#include "base/err.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FAILED_TO_EXEC = 127 };

static void NORETURN run(const struct child_spec *spec, pid_t parent)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, spec->signal_when_orphan);
	if (getppid() != parent)
		_exit(FAILED_TO_EXEC); /* it died before the line above */
	setsid();
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	dup2(null, STDIN_FILENO);
	if (spec->output) {
		int out = open(spec->output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		dup2(out == -1 ? null : out, STDOUT_FILENO);
		dup2(out == -1 ? null : out, STDERR_FILENO);
	}
	execve(spec->argv[0], spec->argv, spec->environ ? spec->environ : environ);
	dprintf(STDERR_FILENO, "cannot start %s: %s\n", spec->argv[0], strerror(errno));
	_exit(FAILED_TO_EXEC);
}

int child_start(struct child *child, const struct child_spec *spec, struct err *err)
{
	pid_t self = getpid();
	fflush(NULL);
	int pidfd = -1;
	pid_t pid = sys_fork_pidfd(&pidfd);
	if (pid == -1)
		return err_sys(err, -errno, "start %s", spec->argv[0]);
	if (pid == 0)
		run(spec, self);
	*child = (struct child) { .pid = pid, .pidfd = pidfd };
	return 0;
}

void child_signal(const struct child *child, int signo)
{
	if (child->pidfd != -1)
		sys_pidfd_send_signal(child->pidfd, signo);
}

bool child_ended(struct child *child, int *code)
{
	siginfo_t info;
	if (child->pidfd == -1)
		return true;
	if (sys_wait_pidfd(child->pidfd, &info) != 1)
		return false;
	*code = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
	close(child->pidfd);
	*child = (struct child)CHILD_NONE;
	return true;
}

bool child_wait(struct child *child, int64_t wait_ms, int *code)
{
	struct pollfd p = { .fd = child->pidfd, .events = POLLIN };
	if (child->pidfd == -1)
		return true;
	int n;
	do
		n = poll(&p, 1, (int)wait_ms);
	while (n == -1 && errno == EINTR);
	return n > 0 && child_ended(child, code);
}

void child_stop(struct child *child, int signo, int64_t wait_ms)
{
	int code = 0;
	if (child->pidfd == -1)
		return;
	child_signal(child, signo);
	if (child_wait(child, wait_ms, &code))
		return;
	child_signal(child, SIGKILL);
	(void)child_wait(child, 5000, &code);
}
