/* SPDX-License-Identifier: MIT */
#include "spawn.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "config/config.h"
#include "contain.h"
#include "records.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHILD_CHANNEL = 3, CHILD_ERROR, CHILD_FDS, HIGH_FD = 10, GROUPS_MAX = 64, TITLE_SIZE = 16 };
#define TITLE "droverd:" /* and the step: the name of a child until it is executed */
static const char path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static NORETURN void child(const struct spawn_spec *spec, int error_fd);
struct identity;
static int find_identity(const struct spawn_spec *spec, struct identity *id);

static struct rlimit given_fds;

struct identity {
	uid_t uid;
	gid_t gid;
	const char *name, *home;
};
static struct identity given_identity; /* name NULL: each child looks for itself */

void spawn_raise_fd_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		return;
	given_fds = limit;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

void spawn_know_ourselves(void)
{
	const struct spawn_spec nobody = { .user = NULL };
	struct identity id;
	if (find_identity(&nobody, &id) == 0)
		given_identity = id;
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

static bool read_title(const char *file, char title[TITLE_SIZE])
{
	CLEANUP(closep) int fd = sys_open(file, O_RDONLY, 0);
	ssize_t n = fd == -1 ? -1 : read(fd, title, TITLE_SIZE);
	if (n <= 1)
		return false;
	title[n - 1] = '\0'; /* instead of the newline */
	return true;
}

enum spawn_step spawn_stands_at(pid_t pid)
{
	char file[64], its[TITLE_SIZE], ours[TITLE_SIZE];
	snprintf(file, sizeof(file), "/proc/%d/comm", (int)pid);
	if (!read_title(file, its))
		return SPAWN_EXECUTED;
	/* It was not on a processor yet. */
	if (read_title("/proc/self/comm", ours) && str_eq(its, ours))
		return SPAWN_SETUP;
	if (!str_starts(its, TITLE))
		return SPAWN_EXECUTED;
	for (int step = SPAWN_SETUP; step < SPAWN_WARNINGS; step++)
		if (str_starts(spawn_step_name(step), its + strlen(TITLE)))
			return (enum spawn_step)step;
	return SPAWN_EXECUTED;
}

/* A group that does not take it (somebody took our rights away) is no reason to start nothing: the
 * sweep contains it then. */
static pid_t fork_into(const struct spawn_spec *spec, struct spawned *out)
{
	if (spec->cgroup_fd > 0) {
		pid_t pid = sys_fork_into(&out->pidfd, spec->cgroup_fd);
		if (pid != -1 || errno == EAGAIN || errno == ENOMEM || errno == EMFILE ||
			errno == ENFILE)
			return pid;
	}
	return sys_fork_into(&out->pidfd, -1);
}

int spawn_child(const struct spawn_spec *spec, struct spawned *out, struct err *err)
{
	int pipe_fds[2];
	sigset_t all, old;
	if (pipe2(pipe_fds, O_CLOEXEC) == -1)
		return err_set(err, -errno, "pipe");
	/* A signal that the child took before it is itself would be told to the loop of the parent.
	 */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	out->pidfd = -1;
	pid_t pid = fork_into(spec, out);
	int error = errno;
	if (pid == 0)
		child(spec, pipe_fds[1]);
	sigprocmask(SIG_SETMASK, &old, NULL);
	sys_close(pipe_fds[1]);
	if (pid == -1) {
		sys_close(pipe_fds[0]);
		return err_set(err, -error, "fork");
	}
	fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
	out->pid = pid;
	out->error_fd = pipe_fds[0];
	return 0;
}

/* --- from here on: the child, before exec; one thread, so malloc and getpwnam are allowed --- */

static NORETURN void fail(int error_fd, enum spawn_step step)
{
	struct spawn_failure failure = { step, errno };
	(void)!write(error_fd, &failure, sizeof(failure));
	_exit(127);
}

/* For who looks why nothing comes: spawn_stands_at(), and ps. The kernel cuts it. */
static void stand_at(enum spawn_step step)
{
	char title[64];
	snprintf(title, sizeof(title), TITLE "%s", spawn_step_name(step));
	prctl(PR_SET_NAME, title);
}

/* What was asked for cannot be had here; that is no reason not to run. */
static void warn(int error_fd, enum spawn_step step, int error)
{
	struct spawn_failure failure = { step, error };
	(void)!write(error_fd, &failure, sizeof(failure));
}

/* First of all: from here on the next supervisor finds us even when this one dies now. */
static void write_claim(const struct spawn_spec *spec)
{
	if (spec->record_fd != -1)
		record_claim(spec->record_fd, spec->incarnation);
}

static void reset_signals(void)
{
	sigset_t none;
	for (int signo = 1; signo < NSIG; signo++)
		signal(signo, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int lift(int fd)
{
	return fd == -1 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
}

/* Only the soft limit: a droverd among the descendants can set its own. */
static void set_limit_mark(uint64_t mark)
{
	struct rlimit limit;
	if (!mark || getrlimit(MARK_LIMIT, &limit) == -1)
		return;
	limit.rlim_cur = MIN((rlim_t)mark, limit.rlim_max);
	setrlimit(MARK_LIMIT, &limit);
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* The table may be full. And what is not the child's is closed now and not by exec: that may hang
 * on a dead mount, and would keep droverd's lock from the next one. */
static void close_others(const struct spawn_spec *spec, int error_fd)
{
	int keep[] = { STDERR_FILENO, spec->stdin_fd, spec->output_fd, spec->channel_fd, error_fd };
	qsort(keep, ARRAY_SIZE(keep), sizeof(keep[0]), by_number);
	unsigned first = STDERR_FILENO + 1;
	for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
		if (keep[i] < (int)first)
			continue;
		if (keep[i] > (int)first)
			sys_close_range(first, (unsigned)keep[i] - 1, false);
		first = (unsigned)keep[i] + 1;
	}
	sys_close_range(first, ~0u, false);
}

/* All are lifted out of the way first: 0 to 4 may be any of them. */
static int place_descriptors(const struct spawn_spec *spec, int *error_fd)
{
	close_others(spec, *error_fd);
	int lifted = lift(*error_fd);
	if (lifted == -1)
		return -1;
	*error_fd = lifted;
	int in = lift(spec->stdin_fd), output = lift(spec->output_fd),
	    channel = lift(spec->channel_fd);
	if ((spec->stdin_fd != -1 && in == -1) || (spec->output_fd != -1 && output == -1) ||
		(spec->channel_fd != -1 && channel == -1))
		return -1;
	if (in != -1 && dup2(in, STDIN_FILENO) == -1)
		return -1;
	if (output != -1 &&
		(dup2(output, STDOUT_FILENO) == -1 || dup2(output, STDERR_FILENO) == -1))
		return -1;
	if (channel != -1 && dup2(channel, CHILD_CHANNEL) == -1)
		return -1;
	if (channel == -1)
		close(CHILD_CHANNEL);
	if (dup3(*error_fd, CHILD_ERROR, O_CLOEXEC) == -1)
		return -1;
	*error_fd = CHILD_ERROR;
	return sys_close_range(CHILD_FDS, ~0u, false);
}

static int find_group(const char *name, gid_t *gid)
{
	errno = 0;
	const struct group *gr = getgrnam(name);
	if (!gr) {
		errno = errno ? errno : ENOENT;
		return -1;
	}
	*gid = gr->gr_gid;
	return 0;
}

static int find_identity(const struct spawn_spec *spec, struct identity *id)
{
	if (!spec->user && given_identity.name) {
		*id = given_identity;
		return spec->group ? find_group(spec->group, &id->gid) : 0;
	}
	errno = 0;
	const struct passwd *pw = spec->user ? getpwnam(spec->user) : getpwuid(geteuid());
	if (!pw && spec->user) {
		errno = errno ? errno : ENOENT;
		return -1;
	}
	*id = (struct identity) { .uid = pw ? pw->pw_uid : geteuid(),
		.gid = spec->user && pw ? pw->pw_gid : getegid(),
		.name = pw ? pw->pw_name : "",
		.home = pw ? pw->pw_dir : "/" };
	/* getgrnam() may use the memory that getpwnam() filled. */
	id->name = strdup(id->name);
	id->home = strdup(id->home);
	if (!id->name || !id->home)
		return -1;
	return spec->group ? find_group(spec->group, &id->gid) : 0;
}

/*
 * Programs open /dev/stdout: for that the FIFO must be their user's. One that changes its user
 * itself opens it by the group that was named; the group of the runtime directory must not.
 */
static int give_output(const struct spawn_spec *spec, const struct identity *id)
{
	gid_t gid = (gid_t)-1;
	struct stat st;
	if (!spec->own_output || fstat(STDOUT_FILENO, &st) == -1)
		return spec->own_output ? -1 : 0;
	if (spec->log_group && find_group(spec->log_group, &gid) == -1)
		return -1;
	mode_t mode = spec->log_group ? 0620 : 0600;
	if ((st.st_uid != id->uid || (spec->log_group && st.st_gid != gid)) &&
		fchown(STDOUT_FILENO, id->uid, gid) == -1)
		return -1;
	/* After the change of the group: before it, the old one would get in. */
	return (st.st_mode & 0777) == mode ? 0 : fchmod(STDOUT_FILENO, mode);
}

static int set_groups(const struct spawn_spec *spec, const struct identity *id)
{
	gid_t gids[GROUPS_MAX];
	size_t n = 0;
	if (!spec->groups)
		return initgroups(id->name, id->gid);
	for (; spec->groups[n]; n++) {
		if (n == GROUPS_MAX) {
			errno = E2BIG;
			return -1;
		}
		if (find_group(spec->groups[n], &gids[n]) == -1)
			return -1;
	}
	return setgroups(n, gids);
}

static int change_identity(const struct spawn_spec *spec, const struct identity *id)
{
	bool same = id->uid == geteuid() && id->gid == getegid();
	if (give_output(spec, id) == -1)
		return -1;
	if (same && !spec->groups && !(spec->user && geteuid() == 0))
		return 0;
	if (spec->own_path && lchown(spec->own_path, id->uid, (gid_t)-1) == -1)
		return -1;
	if (set_groups(spec, id) == -1)
		return -1;
	if (setresgid(id->gid, id->gid, id->gid) == -1 ||
		setresuid(id->uid, id->uid, id->uid) == -1)
		return -1;
	return 0;
}

static int build_environment(const struct spawn_spec *spec, const struct identity *id)
{
	clearenv();
	if (setenv("PATH", path, 1) || setenv("HOME", id->home, 1) || setenv("USER", id->name, 1) ||
		setenv("LOGNAME", id->name, 1) || setenv("LANG", "C.UTF-8", 1))
		return -1;
	for (size_t i = 0; i < spec->environment_count; i++)
		if (setenv(spec->environment[i].name, spec->environment[i].value, 1))
			return -1;
	return 0;
}

static void set_limit(int error_fd, int resource, int64_t value)
{
	struct rlimit limit = { (rlim_t)value, (rlim_t)value }, own;
	if (setrlimit(resource, &limit) == 0)
		return;
	/* Above what we may give: as much as we may. */
	warn(error_fd, SPAWN_LIMIT, errno);
	if (getrlimit(resource, &own) == 0) {
		own.rlim_cur = own.rlim_max;
		setrlimit(resource, &own);
	}
}

static void set_limits(const struct spawn_limits *limits, int error_fd)
{
	set_limit(error_fd, RLIMIT_CORE, limits->core);
	if (limits->nofile)
		set_limit(error_fd, RLIMIT_NOFILE, limits->nofile);
	if (limits->nproc)
		set_limit(error_fd, RLIMIT_NPROC, limits->nproc);
}

/* 0 is what a child gets of a droverd that systemd protects; what it is more than 0 may stay. */
static void set_oom_score(int64_t wanted, int error_fd)
{
	char text[16] = "";
	int64_t own = 0;
	int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
	bool known = fd != -1 && read(fd, text, sizeof(text) - 1) > 0;
	text[strcspn(text, "\n")] = '\0';
	if (!known || str_to_i64(text, -1000, 1000, &own) < 0) {
		if (wanted)
			warn(error_fd, SPAWN_OOM, errno);
	} else if (own != wanted && !(wanted == 0 && own > 0)) {
		int len = snprintf(text, sizeof(text), "%d", (int)wanted);
		if (pwrite(fd, text, (size_t)len, 0) != len)
			warn(error_fd, SPAWN_OOM, errno);
	}
	if (fd != -1)
		close(fd);
}

static void set_weights(const struct spawn_spec *spec, int error_fd)
{
	if (spec->nice && setpriority(PRIO_PROCESS, 0, (int)spec->nice) == -1)
		warn(error_fd, SPAWN_NICE, errno);
	set_oom_score(spec->oom_score_adjust, error_fd);
}

static void child(const struct spawn_spec *spec, int error_fd)
{
	struct identity id;
	stand_at(SPAWN_SETUP);
	write_claim(spec);
	reset_signals();
	if (given_fds.rlim_max)
		setrlimit(RLIMIT_NOFILE, &given_fds);
	set_limit_mark(spec->limit_mark);
	if (setsid() == -1 || place_descriptors(spec, &error_fd) == -1)
		fail(error_fd, SPAWN_SETUP);
	umask((mode_t)config_umask(spec->umask ? spec->umask : "022"));
	set_weights(spec, error_fd);
	stand_at(SPAWN_USER);
	if (find_identity(spec, &id) == -1)
		fail(error_fd, SPAWN_USER);
	if (build_environment(spec, &id) == -1)
		fail(error_fd, SPAWN_SETUP);
	/* While we may. */
	set_limits(&spec->limits, error_fd);
	if (change_identity(spec, &id) == -1)
		fail(error_fd, SPAWN_USER);
	stand_at(SPAWN_DIRECTORY);
	if (chdir(spec->directory ? spec->directory : "/") == -1)
		fail(error_fd, SPAWN_DIRECTORY);
	stand_at(SPAWN_EXEC);
	/* Last: we may have more mapped than it is to have, and then get nothing any more. */
	if (spec->limits.memory)
		set_limit(error_fd, RLIMIT_AS, spec->limits.memory);
	execvp(spec->argv[0], (char *const *)(uintptr_t)spec->argv);
	fail(error_fd, SPAWN_EXEC);
}
