/* SPDX-License-Identifier: MIT */
/* Ends of processes: own children by pidfd, strangers by SIGCHLD. libev's child watchers would reap
 * everything. */
#include "base/mem.h"
#include "base/sys.h"
#include "loop/loop.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

struct loop_exit {
	struct loop_io *io;
	loop_exit_cb cb;
	void *arg;
};

/* One SIGCHLD stands for any number of ends; a flood of strangers is taken in portions. */
enum { REAP_AT_ONCE = 256, LOOK_AGAIN_MS = 100 };
struct loop_reaper {
	int signals; /* a signalfd */
	struct loop_io *io;
	struct loop_timer *again;
	bool (*is_own)(void *arg, int pid);
	void *arg;
};

static void on_pidfd(void *arg, int pidfd, unsigned events);
static void on_sigchld(void *arg, int fd, unsigned events);
static void on_again(void *arg);

struct loop_exit *loop_exit_new(struct loop *loop, int pidfd, loop_exit_cb cb, void *arg)
{
	struct loop_exit *watch = NEW(struct loop_exit);
	if (!watch)
		return NULL;
	watch->cb = cb;
	watch->arg = arg;
	watch->io = loop_io_new(loop, pidfd, LOOP_READ, on_pidfd, watch);
	if (!watch->io) {
		free(watch);
		return NULL;
	}
	return watch;
}

void loop_exit_free(struct loop_exit *watch)
{
	if (!watch)
		return;
	loop_io_free(watch->io);
	free(watch);
}

static void on_pidfd(void *arg, int pidfd, unsigned events UNUSED)
{
	struct loop_exit *watch = arg;
	siginfo_t info = { 0 };
	int ended = sys_wait_pidfd(pidfd, &info);
	if (ended == 0 || (ended == -1 && errno == EINTR))
		return;
	loop_io_set(watch->io, 0);
	/* ECHILD: adopted, not ours to wait for; its exit code is unknown. */
	watch->cb(watch->arg, ended == 1 ? &info : NULL);
}

/*
 * Held and read from a descriptor: a handler would interrupt us for every single end, and the
 * processor that a child dies on would have to interrupt ours for it.
 */
static int open_signals(void)
{
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	/* Ignored, as whoever started us may have left it, it would take the zombies away. */
	signal(SIGCHLD, SIG_DFL);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	return signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
}

struct loop_reaper *loop_reaper_new(
	struct loop *loop, bool (*is_own)(void *arg, int pid), void *arg)
{
	struct loop_reaper *reaper = NEW(struct loop_reaper);
	if (!reaper)
		return NULL;
	reaper->is_own = is_own;
	reaper->arg = arg;
	reaper->signals = open_signals();
	if (reaper->signals != -1)
		reaper->io = loop_io_new(loop, reaper->signals, LOOP_READ, on_sigchld, reaper);
	reaper->again = loop_timer_new(loop, on_again, reaper);
	if (!reaper->io || !reaper->again) {
		loop_reaper_free(reaper);
		return NULL;
	}
	/* Those that ended before we looked sent their signal to nobody. */
	loop_timer_start(reaper->again, 0);
	return reaper;
}

void loop_reaper_free(struct loop_reaper *reaper)
{
	if (!reaper)
		return;
	sigset_t ends;
	sigemptyset(&ends);
	sigaddset(&ends, SIGCHLD);
	pthread_sigmask(SIG_UNBLOCK, &ends, NULL);
	loop_io_free(reaper->io);
	loop_timer_free(reaper->again);
	if (reaper->signals != -1)
		sys_close(reaper->signals);
	free(reaper);
}

static bool reap_one(int pid)
{
	siginfo_t info = { 0 };
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG) == 0 && info.si_pid == pid;
}

/* Reaps the dead strangers among the children that one thread of ours has. */
static void reap_listed(struct loop_reaper *reaper, const char *task)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/task/%.20s/children", task);
	FILE *f = fopen(path, "re");
	if (!f)
		return;
	/* "17 204 3001 ": pids, a space after each. */
	char word[16];
	for (int reaped = 0; reaped < REAP_AT_ONCE && fscanf(f, "%15s", word) == 1;) {
		int pid = (int)strtol(word, NULL, 10);
		if (pid > 0 && !reaper->is_own(reaper->arg, pid) && reap_one(pid))
			reaped++;
	}
	fclose(f);
}

/*
 * waitid(P_ALL) shows the same first zombie again and again. When that is an own one, which its
 * pidfd's watcher will take when it comes to it, strangers behind it would stay: /proc lists all
 * children, living and dead.
 */
static void reap_behind_own(struct loop_reaper *reaper)
{
	DIR *tasks = opendir("/proc/self/task");
	if (!tasks)
		return;
	for (const struct dirent *d; (d = readdir(tasks));)
		if (d->d_name[0] != '.')
			reap_listed(reaper, d->d_name);
	closedir(tasks);
}

/* @return false: an own one is the first zombie, and others behind it are not seen */
static bool reap_first(struct loop_reaper *reaper)
{
	for (int reaped = 0; reaped < REAP_AT_ONCE; reaped++) {
		siginfo_t info = { 0 };
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1 || info.si_pid == 0)
			return true;
		if (reaper->is_own(reaper->arg, info.si_pid) || !reap_one(info.si_pid))
			return false;
	}
	loop_timer_start(reaper->again, 0);
	return true;
}

/* Mostly its watcher comes to the own one in this turn: strangers behind it wait a little. */
static void on_sigchld(void *arg, int fd, unsigned events UNUSED)
{
	struct loop_reaper *reaper = arg;
	struct signalfd_siginfo info;
	if (read(fd, &info, sizeof(info)) == -1 && errno != EAGAIN)
		return;
	if (!reap_first(reaper) && !loop_timer_armed(reaper->again))
		loop_timer_start(reaper->again, LOOK_AGAIN_MS);
}

static void on_again(void *arg)
{
	struct loop_reaper *reaper = arg;
	if (reap_first(reaper))
		return;
	reap_behind_own(reaper);
	/* A thread's list may be cut short while it changes; look once more when the own one is
	 * gone. */
	loop_timer_start(reaper->again, LOOK_AGAIN_MS);
}
