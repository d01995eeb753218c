/* SPDX-License-Identifier: MIT */
#include "exec_child.h"

#include "base/arena.h"
#include "base/compiler.h"
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * A child with an environment may share its parent's memory, and the other threads go on: so
 * nothing on its way may allocate, lock or change what is not its own. One without has a copy of
 * memory of which only its own thread runs.
 */

enum {
	CHILD_CHANNEL = 3,
	CHILD_ERROR,
	CHILD_FDS,
	HIGH_FD = 10,
	GROUPS_MAX = 64,
	PROGRAM_MAX = 4096
};
static const char path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
	snprintf(title, sizeof(title), EXEC_CHILD_TITLE "%s", spawn_step_name(step));
	prctl(PR_SET_NAME, title);
}

/* What was asked for cannot be had here; that is no reason not to run. */
static void warn(int error_fd, enum spawn_step step, int error)
{
	struct spawn_failure failure = { step, error };
	(void)!write(error_fd, &failure, sizeof(failure));
}

/* First of all: from here on the next supervisor finds us even when this one dies now. */
static void write_claim(const struct exec_child *c)
{
	bool known = (c->after && atomic_load(c->after) == c->before) ||
		     sys_boot_ticks() == c->before;
	if (c->spec.record_fd != -1)
		record_claim(c->spec.record_fd, c->spec.incarnation, known ? c->before : 0);
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

int exec_child_identity(const struct spawn_spec *spec, struct identity *out)
{
	struct identity id;
	errno = 0;
	const struct passwd *pw = spec->user ? getpwnam(spec->user) : getpwuid(geteuid());
	if (!pw && spec->user) {
		errno = errno ? errno : ENOENT;
		return -1;
	}
	id = (struct identity) { .uid = pw ? pw->pw_uid : geteuid(),
		.gid = spec->user && pw ? pw->pw_gid : getegid(),
		.name = pw ? pw->pw_name : "",
		.home = pw ? pw->pw_dir : "/" };
	/* getgrnam() may use the memory that getpwnam() filled. */
	id.name = strdup(id.name);
	id.home = strdup(id.home);
	if (!id.name || !id.home || (spec->group && find_group(spec->group, &id.gid) == -1)) {
		free((char *)(uintptr_t)id.name);
		free((char *)(uintptr_t)id.home);
		return -1;
	}
	*out = id;
	return 0;
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

/*
 * The kernel's own calls: glibc's change all threads of the process, which it believes to be the
 * parent's.
 */
static int set_ids(uid_t uid, gid_t gid)
{
	if (syscall(SYS_setresgid, gid, gid, gid) == -1)
		return -1;
	return (int)syscall(SYS_setresuid, uid, uid, uid);
}

static int set_groups(const struct spawn_spec *spec, const struct identity *id)
{
	gid_t gids[GROUPS_MAX];
	int n = 0;
	if (!spec->groups) {
		getgrouplist(id->name, id->gid, NULL, &n);
		gid_t *all = calloc((size_t)n, sizeof(*all));
		if (!all || getgrouplist(id->name, id->gid, all, &n) == -1)
			return -1;
		return (int)syscall(SYS_setgroups, (size_t)n, all);
	}
	for (n = 0; spec->groups[n]; n++) {
		if (n == GROUPS_MAX) {
			errno = E2BIG;
			return -1;
		}
		if (find_group(spec->groups[n], &gids[n]) == -1)
			return -1;
	}
	return (int)syscall(SYS_setgroups, (size_t)n, gids);
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
	return set_ids(id->uid, id->gid);
}

struct variables {
	struct arena *arena;
	char **items;
	size_t count;
};

/* The last word on a name counts. */
static bool add_variable(struct variables *v, const char *name, const char *value)
{
	char *item = arena_printf(v->arena, "%s=%s", name, value);
	size_t at = 0, len = strlen(name) + 1;
	while (item && at < v->count && strncmp(v->items[at], item, len) != 0)
		at++;
	v->items[at] = item;
	v->count = MAX(v->count, at + 1);
	return item != NULL;
}

char **exec_child_environment(
	const struct spawn_spec *spec, const struct identity *id, struct arena *arena)
{
	const struct spawn_variable own[] = { { "PATH", path }, { "HOME", id->home },
		{ "USER", id->name }, { "LOGNAME", id->name }, { "LANG", "C.UTF-8" } };
	size_t most = ARRAY_SIZE(own) + spec->environment_count;
	struct variables v = { .arena = arena,
		.items = arena_alloc(arena, (most + 1) * sizeof(char *)) };
	bool good = v.items != NULL;
	for (size_t i = 0; i < ARRAY_SIZE(own) && good; i++)
		good = add_variable(&v, own[i].name, own[i].value);
	for (size_t i = 0; i < spec->environment_count && good; i++)
		good = add_variable(&v, spec->environment[i].name, spec->environment[i].value);
	return good ? v.items : NULL;
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
static bool is_oom_score_right(int64_t own, int64_t wanted)
{
	return own == wanted || (wanted == 0 && own > 0);
}

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
	} else if (!is_oom_score_right(own, wanted)) {
		int len = snprintf(text, sizeof(text), "%d", (int)wanted);
		if (pwrite(fd, text, (size_t)len, 0) != len)
			warn(error_fd, SPAWN_OOM, errno);
	}
	if (fd != -1)
		close(fd);
}

/* What nobody opens in /proc need not be taken down with the process: a sixth of what an end costs.
 */
static void set_weights(const struct exec_child *c)
{
	const struct spawn_spec *spec = &c->spec;
	if (spec->nice && setpriority(PRIO_PROCESS, 0, (int)spec->nice) == -1)
		warn(c->error_fd, SPAWN_NICE, errno);
	if (!c->oom_score_adjust ||
		!is_oom_score_right(*c->oom_score_adjust, spec->oom_score_adjust))
		set_oom_score(spec->oom_score_adjust, c->error_fd);
}

/* --- the program --- */

static const char *search_path(char *const *environment)
{
	for (; *environment; environment++)
		if (str_starts(*environment, "PATH="))
			return *environment + strlen("PATH=");
	return "";
}

/* The next folder of the list may have it. */
static bool is_elsewhere(int error)
{
	return error == ENOENT || error == ENOTDIR || error == EACCES || error == ENAMETOOLONG ||
	       error == ESTALE || error == ENODEV || error == ETIMEDOUT;
}

/* As execvp(3), but by the child's own PATH, and no shell for what the kernel does not know: a
 * service's command is none. @return with errno */
static void execute(const char *const *argv, char *const *environment)
{
	char program[PROGRAM_MAX];
	char *const *arguments = (char *const *)(uintptr_t)argv;
	int error = ENOENT;
	if (strchr(argv[0], '/') || !*argv[0]) {
		execve(argv[0], arguments, environment);
		return;
	}
	for (const char *folder = search_path(environment);; folder++) {
		int len = (int)strcspn(folder, ":");
		int n = snprintf(
			program, sizeof(program), "%.*s%s%s", len, folder, len ? "/" : "", argv[0]);
		errno = ENAMETOOLONG;
		if (n > 0 && n < (int)sizeof(program))
			execve(program, arguments, environment);
		if (!is_elsewhere(errno))
			return;
		error = errno == EACCES ? EACCES : error;
		folder += len;
		if (!*folder)
			break;
	}
	errno = error;
}

void exec_child_give_up(const struct exec_child *c)
{
	fail(c->error_fd, SPAWN_SETUP);
}

/* In a memory of its own: it may hang over its questions, and nobody else does. */
static void find_out(struct exec_child *c, struct identity *id)
{
	struct arena *arena = arena_new(0);
	if (!c->identity && exec_child_identity(&c->spec, id) == -1)
		fail(c->error_fd, SPAWN_USER);
	c->identity = c->identity ?: id;
	c->environment = arena ? exec_child_environment(&c->spec, c->identity, arena) : NULL;
	if (!c->environment)
		exec_child_give_up(c);
}

void exec_child(const struct exec_child *child)
{
	struct exec_child c = *child;
	const struct spawn_spec *spec = &c.spec;
	struct identity id;
	stand_at(SPAWN_SETUP);
	write_claim(&c);
	reset_signals();
	if (c.fd_limit.rlim_max)
		setrlimit(RLIMIT_NOFILE, &c.fd_limit);
	set_limit_mark(spec->limit_mark);
	if (setsid() == -1 || place_descriptors(spec, &c.error_fd) == -1)
		exec_child_give_up(&c);
	umask((mode_t)config_umask(spec->umask ? spec->umask : "022"));
	set_weights(&c);
	stand_at(SPAWN_USER);
	if (!c.environment)
		find_out(&c, &id);
	/* While we may. */
	set_limits(&spec->limits, c.error_fd);
	if (change_identity(spec, c.identity) == -1)
		fail(c.error_fd, SPAWN_USER);
	stand_at(SPAWN_DIRECTORY);
	if (chdir(spec->directory ? spec->directory : "/") == -1)
		fail(c.error_fd, SPAWN_DIRECTORY);
	stand_at(SPAWN_EXEC);
	/* Last: we may have more mapped than it is to have, and then get nothing any more. */
	if (spec->limits.memory)
		set_limit(c.error_fd, RLIMIT_AS, spec->limits.memory);
	execute(spec->argv, c.environment);
	fail(c.error_fd, SPAWN_EXEC);
}
