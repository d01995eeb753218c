/* SPDX-License-Identifier: MIT */
#include "spawn.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "exec_child.h"
#include "launcher.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TITLE_SIZE = 16, LAUNCHER_LIMIT = 1024, OOM_SCORE_MS = 1000 };

static struct rlimit given_fds;
static struct identity ourselves; /* name NULL: each child looks for itself */
static struct launcher *launcher; /* NULL: forks only */
/* What a child on each of its seats needs. */
static struct arena *launched[LAUNCHER_SEATS];
static void (*settle_soon)(void *arg); /* NULL: at once */
static void *settle_arg;

void spawn_raise_fd_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	given_fds = limit;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Where descriptors, or processes (a thread is one), are scarce they are for what is to run. */
static bool has_some_to_spare(void)
{
	struct rlimit fds, processes;
	return getrlimit(RLIMIT_NOFILE, &fds) == 0 && fds.rlim_cur >= LAUNCHER_LIMIT &&
	       getrlimit(RLIMIT_NPROC, &processes) == 0 && processes.rlim_cur >= LAUNCHER_LIMIT;
}

void spawn_prepare(void)
{
	const struct spawn_spec nobody = { .user = NULL };
	if (!ourselves.name && exec_child_identity(&nobody, &ourselves) == -1)
		ourselves.name = NULL;
	if (!launcher && ourselves.name && has_some_to_spare())
		launcher = launcher_new();
}

void spawn_finish(void)
{
	for (size_t i = 0; launcher && i < LAUNCHER_SEATS; i++) {
		/* A child that hangs keeps what it shares with us. */
		if (launcher_is_free(launcher, i))
			arena_free(launched[i]);
		launched[i] = NULL;
	}
	launcher_free(launcher);
	launcher = NULL;
	settle_soon = NULL;
	free((char *)(uintptr_t)ourselves.name);
	free((char *)(uintptr_t)ourselves.home);
	ourselves = (struct identity) { .name = NULL };
}

void spawn_settle_by(void (*soon)(void *arg), void *arg)
{
	settle_soon = soon;
	settle_arg = arg;
}

void spawn_settle(void)
{
	if (launcher)
		launcher_settle(launcher, true);
}

void spawn_lower_fd_limit(void)
{
	if (given_fds.rlim_max)
		setrlimit(RLIMIT_NOFILE, &given_fds);
}

const char *spawn_step_name(int step)
{
	static const char *const names[] = { "executed", "setup", "user", "directory", "exec",
		"nice", "oom_score_adjust", "rlimits" };
	return step >= 0 && (size_t)step < ARRAY_SIZE(names) ? names[step] : "unknown";
}

static bool read_line(const char *file, char line[TITLE_SIZE])
{
	CLEANUP(closep) int fd = sys_open(file, O_RDONLY, 0);
	ssize_t n = fd == -1 ? -1 : read(fd, line, TITLE_SIZE);
	if (n <= 1)
		return false;
	line[n - 1] = '\0'; /* instead of the newline */
	return true;
}

enum spawn_step spawn_stands_at(pid_t pid)
{
	char file[64], its[TITLE_SIZE], ours[TITLE_SIZE];
	snprintf(file, sizeof(file), "/proc/%d/comm", (int)pid);
	if (!read_line(file, its))
		return SPAWN_EXECUTED;
	/* It was not on a processor yet. */
	if (read_line("/proc/self/comm", ours) && str_eq(its, ours))
		return SPAWN_SETUP;
	if (!str_starts(its, EXEC_CHILD_TITLE))
		return SPAWN_EXECUTED;
	for (int step = SPAWN_SETUP; step < SPAWN_WARNINGS; step++)
		if (str_starts(spawn_step_name(step), its + strlen(EXEC_CHILD_TITLE)))
			return (enum spawn_step)step;
	return SPAWN_EXECUTED;
}

/* --- a child that shares our memory until it executes --- */

static const char **copy_strings(struct arena *arena, const char *const *strings)
{
	size_t n = 0;
	while (strings[n])
		n++;
	const char **copy = arena_alloc(arena, (n + 1) * sizeof(*copy));
	for (size_t i = 0; copy && i < n; i++) {
		copy[i] = arena_strdup(arena, strings[i]);
		if (!copy[i])
			return NULL;
	}
	return copy;
}

/* What the caller may free before the child has executed; users and groups are not among it. */
static struct exec_child *copy_child(const struct exec_child *c, struct arena *arena)
{
	struct exec_child *copy = arena_alloc(arena, sizeof(*copy));
	if (!copy)
		return NULL;
	const struct spawn_spec *spec = &c->spec;
	*copy = *c;
	copy->spec.argv = copy_strings(arena, spec->argv);
	copy->spec.directory = spec->directory ? arena_strdup(arena, spec->directory) : NULL;
	copy->spec.umask = spec->umask ? arena_strdup(arena, spec->umask) : NULL;
	copy->spec.own_path = NULL; /* it is ours already */
	copy->environment = exec_child_environment(spec, &ourselves, arena);
	return copy->spec.argv && copy->environment && !copy->spec.directory == !spec->directory &&
			       !copy->spec.umask == !spec->umask
		       ? copy
		       : NULL;
}

struct shared_start {
	struct seat *seat;
	atomic_uint_least64_t after; /* as exec_child has it */
	const struct exec_child *child;
};

/* NULL: it must ask for accounts, memory is short, or children that hang hold all seats. */
static struct shared_start *may_share(const struct exec_child *c, struct exec_child **copy)
{
	const struct spawn_spec *spec = &c->spec;
	if (!launcher || !c->identity || spec->groups || spec->log_group)
		return NULL;
	struct seat *seat = launcher_seat(launcher);
	if (!seat && !launcher_settle(launcher, true))
		return NULL;
	seat = seat ? seat : launcher_seat(launcher);
	if (!seat)
		return NULL;
	struct arena **arena = &launched[launcher_number(launcher, seat)];
	arena_free(*arena);
	*arena = arena_new(0);
	struct shared_start *start = *arena ? arena_alloc(*arena, sizeof(*start)) : NULL;
	*copy = start ? copy_child(c, *arena) : NULL;
	if (!*copy)
		return NULL;
	start->seat = seat;
	start->child = *copy;
	atomic_init(&start->after, 0);
	(*copy)->after = &start->after;
	return start;
}

static NORETURN void run_shared(void *arg)
{
	const struct shared_start *start = arg;
	if (launcher_part(start->seat) == -1)
		exec_child_give_up(start->child);
	exec_child(start->child);
}

/* Of many at once nobody waits for each one's first turn on a processor. */
static void settle_one(void)
{
	if (launcher_settle(launcher, false))
		return;
	if (settle_soon)
		settle_soon(settle_arg);
	else
		launcher_settle(launcher, true);
}

static pid_t launch(struct shared_start *start, struct exec_child *c, int cgroup_fd, int *pidfd)
{
	struct spawn_spec *spec = &c->spec;
	const struct launch l = { .run = run_shared,
		.arg = start,
		.cgroup_fd = cgroup_fd,
		.fds = { &spec->stdin_fd, &spec->output_fd, &spec->channel_fd, &spec->record_fd,
			&c->error_fd } };
	pid_t pid = launcher_start(start->seat, &l, pidfd);
	int error = errno;
	atomic_store(&start->after, sys_boot_ticks());
	settle_one();
	errno = error;
	return pid;
}

/* --- */

static bool is_scarcity(int error)
{
	return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
}

static pid_t fork_into(const struct exec_child *c, int cgroup_fd, int *pidfd)
{
	struct exec_child *copy = NULL;
	struct shared_start *shared = may_share(c, &copy);
	if (shared) {
		pid_t pid = launch(shared, copy, cgroup_fd, pidfd);
		if (pid != -1 || is_scarcity(errno))
			return pid;
	}
	pid_t pid = sys_fork_into(pidfd, cgroup_fd);
	if (pid == 0)
		exec_child(c);
	return pid;
}

/* A group that does not take it (somebody took our rights away) is no reason to start nothing: the
 * sweep contains it then. */
static pid_t fork_contained(const struct exec_child *c, int *pidfd)
{
	if (c->spec.cgroup_fd > 0) {
		pid_t pid = fork_into(c, c->spec.cgroup_fd, pidfd);
		if (pid != -1 || is_scarcity(errno))
			return pid;
	}
	return fork_into(c, -1, pidfd);
}

/* Anybody may change it; but not for each start a file of /proc. */
static const int64_t *own_oom_score(void)
{
	static int64_t score, read_ms = -OOM_SCORE_MS;
	static bool known;
	int64_t now_ms = clock_mono_ms();
	if (now_ms - read_ms < OOM_SCORE_MS)
		return known ? &score : NULL;
	read_ms = now_ms;
	char text[TITLE_SIZE];
	known = read_line("/proc/self/oom_score_adj", text) &&
		str_to_i64(text, -1000, 1000, &score) == 0;
	return known ? &score : NULL;
}

int spawn_child(const struct spawn_spec *spec, struct spawned *out, struct err *err)
{
	int pipe_fds[2];
	sigset_t all, old;
	if (pipe2(pipe_fds, O_CLOEXEC) == -1)
		return err_set(err, -errno, "pipe");
	const struct exec_child c = { .spec = *spec,
		.error_fd = pipe_fds[1],
		.fd_limit = given_fds,
		.before = sys_boot_ticks(),
		.oom_score_adjust = own_oom_score(),
		.identity = ourselves.name && !spec->user && !spec->group ? &ourselves : NULL };
	/* A signal that the child took before it is itself would be told to the loop of the parent.
	 */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	out->pidfd = -1;
	pid_t pid = fork_contained(&c, &out->pidfd);
	int error = errno;
	sigprocmask(SIG_SETMASK, &old, NULL);
	sys_close(pipe_fds[1]);
	if (pid == -1) {
		sys_close(pipe_fds[0]);
		return err_set(err, -error, "fork");
	}
	fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
	out->pid = pid;
	/* Born between the two. */
	out->start_time = sys_boot_ticks() == c.before ? c.before : 0;
	out->error_fd = pipe_fds[0];
	return 0;
}
