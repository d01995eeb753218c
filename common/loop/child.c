/* SPDX-License-Identifier: MIT */
/* Ends of processes: own children by pidfd, strangers by SIGCHLD. libev's child watchers would reap
 * everything. */
#include "base/mem.h"
#include "base/sys.h"
#include "loop/loop.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

struct loop_exit {
	struct loop_io *io;
	loop_exit_cb cb;
	void *arg;
};

/* One SIGCHLD stands for any number of ends; a flood of strangers is taken in portions. */
enum { REAP_AT_ONCE = 256, LOOK_AGAIN_MS = 100 };
struct loop_reaper {
	struct loop_signal *sig;
	struct loop_timer *again;
	bool (*is_own)(void *arg, int pid);
	void *arg;
};

static void on_pidfd(void *arg, int pidfd, unsigned events);
static void on_sigchld(void *arg, int signo);
static void reap(void *arg);

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

struct loop_reaper *loop_reaper_new(
	struct loop *loop, bool (*is_own)(void *arg, int pid), void *arg)
{
	struct loop_reaper *reaper = NEW(struct loop_reaper);
	if (!reaper)
		return NULL;
	reaper->is_own = is_own;
	reaper->arg = arg;
	reaper->sig = loop_signal_new(loop, SIGCHLD, on_sigchld, reaper);
	reaper->again = loop_timer_new(loop, reap, reaper);
	if (!reaper->sig || !reaper->again) {
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
	loop_signal_free(reaper->sig);
	loop_timer_free(reaper->again);
	free(reaper);
}

static void on_sigchld(void *arg, int signo UNUSED)
{
	reap(arg);
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

static void reap(void *arg)
{
	struct loop_reaper *reaper = arg;
	int reaped = 0;
	while (reaped < REAP_AT_ONCE) {
		siginfo_t info = { 0 };
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == -1 || info.si_pid == 0)
			return;
		if (!reaper->is_own(reaper->arg, info.si_pid) && reap_one(info.si_pid)) {
			reaped++;
			continue;
		}
		reap_behind_own(reaper);
		/* A thread's list may be cut short while it changes; look once more when the own
		 * one is gone. */
		loop_timer_start(reaper->again, LOOK_AGAIN_MS);
		return;
	}
	loop_timer_start(reaper->again, 0);
}
