/* SPDX-License-Identifier: MIT */
#include "contain.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/kernel_file.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "base/sys.h"
#include "contain_cgroup.h"
#include "reserve.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LOOK_FDS = 2, /* that one look at /proc has open at once */
	FREEZE_ROUNDS = 5,
	CHASE_BACK = 64,
	CHASE_MS = 60,
	QUIET_MS = 5,
	COUNT_ROUNDS = 5,
	LOOK_ROUNDS = 3,
	NEWER_ROUNDS = 16,
	NEWER_MAX = 4096,
	FRESH_MS = 10,
	LONG_AGO_MS = -100000000,
	ENVIRON_MAX = 256 * 1024,
	SLOT_MAX = 80
};

struct seen {
	pid_t pid, parent, group, session;
	uint64_t start;
	bool zombie, still; /* still: dead, stopped or inside the kernel; it cannot fork */
	bool environ_read, marked;
	uint64_t limit_mark; /* 0: none, or not looked at */
	char slot[SLOT_MAX]; /* of the mark, when it is one of ours */
	bool member;	     /* scratch of one search */
};

struct contain {
	struct seen *seen;
	void *array;
	size_t count, cap;
	int64_t looked_ms, fresh_ms;
	char epochs[CONTAIN_EPOCHS][CONTAIN_EPOCH_SIZE];
	size_t epoch_count;
	uint64_t limit_marks[CONTAIN_EPOCHS]; /* of the slot that is looked for */
	struct cgroups *groups;		      /* NULL: the sweep alone */
	pid_t exempt;
	/*
	 * What cannot be looked at must not be taken for dead, so a full table of descriptors does
	 * not stop us: /proc stays open, and LOOK_FDS more are given up for the time of a look.
	 */
	DIR *proc;
	struct reserve reserve;
	bool blind; /* the last look saw less than there is */
};

static void take_reserve(struct contain *c)
{
	reserve_take(&c->reserve);
}

static void give_reserve(struct contain *c)
{
	reserve_give(&c->reserve, LOOK_FDS);
}

/* In a pid namespace with the /proc of another, all numbers would mean other processes. */
static int check_proc(struct err *err)
{
	char text[32];
	int64_t pid;
	ssize_t n = readlink("/proc/self", text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	if (str_to_i64(text, 1, INT32_MAX, &pid) == 0 && pid == getpid())
		return 0;
	return err_set(err, -EINVAL, "/proc is not that of our pid namespace, mount it anew");
}

int contain_new(struct contain **out, struct err *err)
{
	int rc = check_proc(err);
	if (rc < 0)
		return rc;
	struct contain *c = NEW(struct contain);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	c->looked_ms = LONG_AGO_MS;
	reserve_init(&c->reserve);
	c->proc = opendir("/proc");
	if (!c->proc) {
		rc = err_sys(err, -errno, "open /proc");
		contain_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void contain_use_groups(struct contain *c, struct cgroups *groups)
{
	c->groups = groups;
}

struct reserve *contain_reserve(struct contain *c)
{
	return &c->reserve;
}

const char *contain_mode(const struct contain *c)
{
	return c->groups ? "cgroup" : "sweep";
}

int contain_make_group(struct contain *c, const char *slot, uint64_t incarnation, struct err *err)
{
	return c->groups ? cgroups_make(c->groups, slot, incarnation, err) : -ENOENT;
}

void contain_remove_group(struct contain *c, const char *slot)
{
	if (c->groups)
		cgroups_remove(c->groups, slot);
}

void contain_free(struct contain *c)
{
	if (!c)
		return;
	reserve_finish(&c->reserve);
	cgroups_free(c->groups);
	if (c->proc)
		closedir(c->proc);
	free(c->array);
	free(c);
}

void contain_add_epoch(struct contain *c, const char *epoch)
{
	str_copy(c->epochs[c->epoch_count++ % CONTAIN_EPOCHS], CONTAIN_EPOCH_SIZE, epoch);
}

void contain_set_exempt(struct contain *c, pid_t pid)
{
	c->exempt = pid;
}

/* The name of the program may hold spaces and brackets: fields begin after the last one. */
static bool read_stat(pid_t pid, struct seen *out)
{
	char path[64], text[1024];
	char state;
	int parent, group, session, threads;
	unsigned long long start;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!kernel_file_read(path, text, sizeof(text)))
		return false;
	const char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1,
			     " %c %d %d %d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d "
			     "%*d %llu",
			     &state, &parent, &group, &session, &threads, &start) != 6)
		return false;
	/* The leader's thread has ended, others have not: it lives. */
	if (state == 'Z' && threads > 1)
		state = 'T';
	*out = (struct seen) { .pid = pid,
		.parent = parent,
		.group = group,
		.session = session,
		.start = start,
		.zombie = state == 'Z' || state == 'X',
		.still = strchr("ZXTtD", state) != NULL };
	return true;
}

uint64_t contain_start_time(pid_t pid)
{
	struct seen s;
	return read_stat(pid, &s) && !s.zombie ? s.start : 0;
}

static bool is_scarcity(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM;
}

int contain_open(pid_t pid, uint64_t start_time)
{
	int fd = sys_pidfd_open(pid);
	if (fd == -1)
		return -1;
	/* Read after the pidfd was opened: now number and process belong together. */
	if (contain_start_time(pid) == start_time && start_time != 0)
		return fd;
	sys_close(fd);
	return -1;
}

int contain_open_own(pid_t pid, uint64_t start_time)
{
	struct seen s;
	int fd = sys_pidfd_open(pid);
	if (fd == -1)
		return is_scarcity(errno) ? -errno : -ESRCH;
	bool read = read_stat(pid, &s);
	int error = errno;
	if (read && (s.start == start_time || MUTANT(ADOPTED_BLINDLY)) && start_time != 0 &&
		(!s.zombie || s.parent == getpid()))
		return fd;
	sys_close(fd);
	return !read && is_scarcity(error) ? -error : -ESRCH;
}

bool contain_is_child(pid_t pid)
{
	struct seen s;
	return read_stat(pid, &s) && s.parent == getpid();
}

static int by_pid(const void *a, const void *b)
{
	const struct seen *x = a, *y = b;
	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

/*
 * Reading an environment costs more than all the rest, so what is known is kept. Only children of
 * ours can get a mark that they had not: between fork and exec they look like us.
 */
static void keep_marks(struct contain *c, struct seen *old, size_t old_count)
{
	pid_t self = getpid();
	for (size_t i = 0, k = 0; i < c->count && k < old_count;) {
		struct seen *s = &c->seen[i];
		if (old[k].pid < s->pid) {
			k++;
			continue;
		}
		if (old[k].pid == s->pid && old[k].start == s->start && old[k].environ_read &&
			(old[k].marked || s->parent != self)) {
			s->environ_read = true;
			s->marked = old[k].marked;
			s->limit_mark = old[k].limit_mark;
			memcpy(s->slot, old[k].slot, sizeof(s->slot));
		}
		i++;
	}
}

/* The number that was given out last; 0: unknown. */
static pid_t last_pid(void)
{
	char text[128];
	int pid = 0;
	(void)kernel_file_read("/proc/loadavg", text, sizeof(text));
	const char *last = strrchr(text, ' ');
	return last && sscanf(last, "%d", &pid) == 1 ? pid : 0;
}

static void see(struct contain *c, pid_t pid)
{
	struct seen s;
	if (!read_stat(pid, &s)) {
		c->blind = c->blind || errno == EMFILE || errno == ENFILE || errno == ENOMEM;
		return;
	}
	if (mem_grow(&c->array, &c->cap, c->count, sizeof(struct seen)) < 0) {
		c->blind = true;
		return;
	}
	c->seen = c->array;
	c->seen[c->count++] = s;
}

static void see_listed(struct contain *c)
{
	rewinddir(c->proc);
	for (const struct dirent *d; (d = readdir(c->proc));) {
		int64_t pid;
		if (isdigit((unsigned char)d->d_name[0]) &&
			str_to_i64(d->d_name, 1, INT32_MAX, &pid) == 0)
			see(c, (pid_t)pid);
	}
}

/*
 * The kernel lists hundreds of processes in one call. One that forks and exits before its turn
 * comes would be missed together with its child: so the numbers that were given out meanwhile are
 * looked at too, until there are no newer ones. @return false when numbers began anew
 */
static bool see_newer(struct contain *c, pid_t last)
{
	for (int round = 0; round < NEWER_ROUNDS; round++) {
		pid_t now = last_pid();
		if (now < last || now - last > NEWER_MAX)
			return false;
		if (now == last)
			return true;
		while (last < now)
			see(c, ++last);
	}
	return true;
}

static void sort(struct contain *c)
{
	size_t kept = 0;
	if (c->count)
		qsort(c->seen, c->count, sizeof(struct seen), by_pid);
	for (size_t i = 0; i < c->count; i++)
		if (i + 1 == c->count || c->seen[i].pid != c->seen[i + 1].pid)
			c->seen[kept++] = c->seen[i];
	c->count = kept;
}

static void look(struct contain *c)
{
	int64_t began_ms = clock_mono_ms();
	if (began_ms - c->looked_ms <= c->fresh_ms)
		return;
	CLEANUP(freep) void *old = c->array;
	size_t old_count = c->count;
	c->array = NULL;
	c->seen = NULL;
	c->cap = 0;
	give_reserve(c);
	for (int round = 0; round < LOOK_ROUNDS; round++) {
		pid_t last = last_pid();
		c->count = 0;
		c->blind = false;
		see_listed(c);
		if (see_newer(c, last))
			break;
	}
	take_reserve(c);
	sort(c);
	keep_marks(c, old, old_count);
	/* Where a look takes long, one must serve many all the more. */
	c->looked_ms = clock_mono_ms();
	c->fresh_ms = MAX((int64_t)FRESH_MS, c->looked_ms - began_ms);
}

static bool known_epoch(const struct contain *c, const char *instance)
{
	for (size_t i = 0; i < MIN(c->epoch_count, (size_t)CONTAIN_EPOCHS); i++) {
		size_t len = strlen(c->epochs[i]);
		if (strncmp(instance, c->epochs[i], len) == 0 && instance[len] == ':')
			return true;
	}
	return false;
}

static const char *find_variable(const struct buf *environ, const char *name)
{
	size_t name_len = strlen(name);
	for (size_t at = 0; at < environ->len;) {
		const char *line = environ->data + at;
		size_t len = strnlen(line, environ->len - at);
		if (len > name_len && line[name_len] == '=' && memcmp(line, name, name_len) == 0)
			return line + name_len + 1;
		at += len + 1;
	}
	return NULL;
}

uint64_t contain_limit_mark(const char *epoch, const char *slot)
{
	char text[CONTAIN_EPOCH_SIZE + SLOT_MAX + 2];
	int len = snprintf(text, sizeof(text), "%s:%s", epoch, slot);
	/* Far below "unlimited", and never 0. */
	return (str_hash(text, (size_t)len) >> 2) | 1;
}

static uint64_t read_limit_mark(pid_t pid)
{
	char path[64], text[4096];
	unsigned long long mark = 0;
	snprintf(path, sizeof(path), "/proc/%d/limits", (int)pid);
	(void)kernel_file_read(path, text, sizeof(text));
	const char *line = strstr(text, MARK_LIMIT_LINE);
	return line && sscanf(line + strlen(MARK_LIMIT_LINE), "%llu", &mark) == 1 ? mark : 0;
}

static void read_environ_mark(const struct contain *c, struct seen *s)
{
	char path[64];
	CLEANUP(buf_finish) struct buf environ = { .max = ENVIRON_MAX };
	snprintf(path, sizeof(path), "/proc/%d/environ", (int)s->pid);
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return;
	for (;;) {
		char *at = buf_reserve(&environ, 16384);
		ssize_t n = at ? read(fd, at, 16384) : 0;
		if (n <= 0)
			break;
		environ.len += (size_t)n;
	}
	if (!environ.len)
		return;
	buf_add_char(&environ, '\0');
	const char *instance = find_variable(&environ, MARK_INSTANCE);
	const char *slot = find_variable(&environ, MARK_SLOT);
	if (instance && slot && known_epoch(c, instance))
		s->marked = str_copy(s->slot, sizeof(s->slot), slot);
}

/* Read once a look and only where it is asked for: it costs more than all the rest. */
static void read_mark(const struct contain *c, struct seen *s)
{
	if (s->environ_read)
		return;
	s->environ_read = true;
	/* Threads of the kernel have no marks. */
	if (s->pid == 2 || s->parent == 2)
		return;
	read_environ_mark(c, s);
	s->limit_mark = read_limit_mark(s->pid);
}

static void make_limit_marks(struct contain *c, const char *slot)
{
	for (size_t i = 0; i < MIN(c->epoch_count, (size_t)CONTAIN_EPOCHS); i++)
		c->limit_marks[i] = contain_limit_mark(c->epochs[i], slot);
}

static bool has_limit_mark(const struct contain *c, const struct seen *s)
{
	for (size_t i = 0; s->limit_mark && i < MIN(c->epoch_count, (size_t)CONTAIN_EPOCHS); i++)
		if (s->limit_mark == c->limit_marks[i])
			return true;
	return false;
}

/* An environment can be forged; then it is a member of both. */
static bool has_mark(struct contain *c, struct seen *s, const char *slot)
{
	read_mark(c, s);
	return (s->marked && strcmp(s->slot, slot) == 0) || has_limit_mark(c, s);
}

/*
 * The session's number is the main process's. When another process has that number now, the number
 * was used again and its session is none of ours. Without such a process it may have been another's
 * for a time: then one member at least must have our mark.
 */
static bool session_is_ours(struct contain *c, const struct contain_target *t)
{
	if (t->main_pid <= 0)
		return false;
	for (size_t i = 0; i < c->count; i++)
		if (c->seen[i].pid == t->main_pid)
			return !t->main_start || c->seen[i].start == t->main_start;
	for (size_t i = 0; i < c->count; i++)
		if (c->seen[i].session == t->main_pid && has_mark(c, &c->seen[i], t->slot))
			return true;
	return false;
}

static bool is_root(
	struct contain *c, struct seen *s, const struct contain_target *t, bool session_ok)
{
	pid_t self = getpid();
	if (s->pid == self || s->pid == c->exempt)
		return false;
	if (session_ok && (s->pid == t->main_pid || s->session == t->main_pid))
		return true;
	if (has_mark(c, s, t->slot))
		return true;
	if (s->marked)
		return false;
	/* Daemonized, wiped clean and given limits of its own: it came to us by the subreaper, its
	 * output still tells whose it is. */
	return t->log_inode && s->parent == self && contain_holds_log(s->pid, t);
}

static struct seen *find_pid(const struct contain *c, pid_t pid)
{
	const struct seen key = { .pid = pid };
	return c->count ? bsearch(&key, c->seen, c->count, sizeof(key), by_pid) : NULL;
}

/* Whoever has a member among its ancestors is one. But not by us: who started droverd from within a
 * service of an earlier one made it no part of that service, nor what we have started. */
static void add_descendants(struct contain *c)
{
	pid_t self = getpid();
	for (size_t i = 0; i < c->count; i++) {
		struct seen *up = &c->seen[i];
		/* Bounded: the list is no single instant's, parents could seem to run in a ring. */
		for (int depth = 0; up && !up->member && depth < 64; depth++)
			up = up->parent > 1 && up->pid != c->exempt && up->pid != self
				     ? find_pid(c, up->parent)
				     : NULL;
		if (up && up->member)
			c->seen[i].member = true;
	}
}

static void add_member(void *arg, pid_t pid)
{
	struct seen *s = find_pid(arg, pid);
	if (s && pid != getpid())
		s->member = true;
}

static void find_members(struct contain *c, const struct contain_target *t)
{
	look(c);
	make_limit_marks(c, t->slot);
	give_reserve(c);
	bool session_ok = session_is_ours(c, t);
	for (size_t i = 0; i < c->count; i++)
		c->seen[i].member = is_root(c, &c->seen[i], t, session_ok);
	if (c->groups)
		cgroups_members(c->groups, t->slot, add_member, c);
	add_descendants(c);
	for (size_t i = 0; i < c->count && MUTANT(ONLY_GROUP_KILLED); i++)
		c->seen[i].member = c->seen[i].member && c->seen[i].group == t->main_pid;
	take_reserve(c);
}

static void look_again(struct contain *c, const struct contain_target *t)
{
	c->looked_ms = LONG_AGO_MS;
	find_members(c, t);
}

/* Of those seen: how many were alive then, and how many are still. */
static int count_members(struct contain *c, int *still)
{
	int seen = 0;
	*still = 0;
	give_reserve(c);
	for (size_t i = 0; i < c->count; i++) {
		if (!c->seen[i].member || c->seen[i].zombie)
			continue;
		seen++;
		*still += contain_start_time(c->seen[i].pid) == c->seen[i].start;
	}
	take_reserve(c);
	return seen;
}

static int living_in_groups(struct contain *c, const char *slot)
{
	if (!c->groups || MUTANT(ONLY_GROUP_KILLED))
		return 0;
	give_reserve(c);
	int living = cgroups_living(c->groups, slot);
	take_reserve(c);
	return living;
}

/*
 * A look that meets no living member says that none is left, for nothing was started since. One
 * that was seen and died may have forked before, so then we look again.
 */
int contain_count(struct contain *c, const struct contain_target *t)
{
	int still = living_in_groups(c, t->slot);
	if (still > 0)
		return still;
	find_members(c, t);
	for (int round = 0; round < COUNT_ROUNDS; round++) {
		if (count_members(c, &still) == 0)
			return c->blind ? 1 : 0;
		if (still > 0)
			return still;
		look_again(c, t);
	}
	return 1;
}

bool contain_has(struct contain *c, const struct contain_target *t, pid_t pid)
{
	struct seen s;
	bool main_lives = t->main_pid > 0 && t->main_start &&
			  contain_start_time(t->main_pid) == t->main_start;
	give_reserve(c);
	bool has = false;
	for (int depth = 0; !has && depth < 64 && pid > 1 && pid != getpid(); depth++) {
		if (!read_stat(pid, &s))
			break;
		has = is_root(c, &s, t, main_lives);
		pid = s.parent;
	}
	take_reserve(c);
	return has;
}

void contain_each(struct contain *c, const struct contain_target *t,
	void (*each)(void *arg, pid_t pid), void *arg)
{
	find_members(c, t);
	give_reserve(c);
	for (size_t i = 0; i < c->count; i++)
		if (c->seen[i].member && !c->seen[i].zombie)
			each(arg, c->seen[i].pid);
	take_reserve(c);
}

bool contain_is_anothers(struct contain *c, pid_t pid, const char *slot)
{
	const struct seen *old = find_pid(c, pid);
	if (!old || !old->marked || strcmp(old->slot, slot) == 0 ||
		contain_start_time(pid) != old->start)
		return false;
	make_limit_marks(c, old->slot);
	return has_limit_mark(c, old);
}

void contain_started(struct contain *c)
{
	c->looked_ms = LONG_AGO_MS;
}

static bool signal_one(struct contain *c, const struct seen *s, int signo)
{
	give_reserve(c);
	int fd = contain_open(s->pid, s->start);
	bool sent = fd != -1 && sys_pidfd_send_signal(fd, signo) == 0;
	/* A stopped process cannot obey until it goes on. */
	if (sent && signo != SIGKILL && signo != SIGSTOP)
		sys_pidfd_send_signal(fd, SIGCONT);
	if (fd != -1)
		sys_close(fd);
	take_reserve(c);
	return sent;
}

/*
 * What is forked while its parent is killed loses the ancestor by which it is known. So all are
 * stopped first, and looked for again until each that was found stands still.
 * @return false when there were new ones in each look
 */
static bool freeze(struct contain *c, const struct contain_target *t)
{
	for (int round = 0; round < FREEZE_ROUNDS; round++) {
		bool moving = false;
		for (size_t i = 0; i < c->count; i++) {
			const struct seen *s = &c->seen[i];
			if (!s->member || s->still)
				continue;
			moving = true;
			signal_one(c, s, SIGSTOP);
		}
		if (!moving)
			return true;
		look_again(c, t);
	}
	return false;
}

static bool kill_if_member(struct contain *c, const struct contain_target *t, pid_t pid)
{
	struct seen s;
	if (!read_stat(pid, &s) || s.zombie)
		return false;
	const struct seen *parent = find_pid(c, s.parent);
	if (!(parent && parent->member) && !is_root(c, &s, t, false))
		return false;
	signal_one(c, &s, SIGKILL);
	return true;
}

/*
 * A process that forks and exits all the time is gone before a look at everything is over. But its
 * child must have one of the numbers that are given out now, and those few are looked at faster
 * than anybody forks.
 */
static void chase(struct contain *c, const struct contain_target *t)
{
	int64_t begin_ms = clock_mono_ms(), met_ms = begin_ms, now_ms = begin_ms;
	pid_t last = MAX(last_pid() - CHASE_BACK, 0);
	give_reserve(c);
	for (; now_ms - begin_ms < CHASE_MS && now_ms - met_ms < QUIET_MS;
		now_ms = clock_mono_ms()) {
		pid_t now = last_pid();
		if (now < last) /* numbers began anew */
			last = 0;
		while (last < now)
			if (kill_if_member(c, t, ++last))
				met_ms = now_ms;
	}
	take_reserve(c);
}

/* KILL to the slot's groups, without a look at anything. @return how many have still to die of it
 */
static int kill_groups(struct contain *c, const char *slot)
{
	if (!c->groups || MUTANT(ONLY_GROUP_KILLED))
		return 0;
	give_reserve(c);
	cgroups_kill(c->groups, slot);
	take_reserve(c);
	return living_in_groups(c, slot);
}

/* Nobody but the main process was seen. If it has forked since, its child is met by the next KILL,
 * when it is not the main process any more; so stopping it first gains nothing. */
static bool only_main(const struct contain *c, const struct contain_target *t)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->seen[i].member && !c->seen[i].zombie && c->seen[i].pid != t->main_pid)
			return false;
	return true;
}

int contain_signal(
	struct contain *c, const struct contain_target *t, int signo, enum contain_reach reach)
{
	int sent = 0;
	bool kill_tree = signo == SIGKILL && reach == CONTAIN_TREE;
	/* Who climbed out of the groups is looked for when they are empty. */
	if (kill_tree)
		sent = kill_groups(c, t->slot);
	if (sent > 0)
		return sent;
	/* A look of a moment ago that served others does as well: whom it has missed is met by the
	 * next signal, and only contain_count() says that none is left. */
	find_members(c, t);
	if (kill_tree && !only_main(c, t) && !freeze(c, t))
		chase(c, t);
	for (size_t i = 0; i < c->count; i++) {
		const struct seen *s = &c->seen[i];
		if (!s->member || s->zombie)
			continue;
		if (reach == CONTAIN_GROUP && s->pid != t->main_pid && s->group != t->main_pid)
			continue;
		sent += signal_one(c, s, signo);
	}
	return sent;
}

void contain_marked(struct contain *c, void (*found)(void *arg, const char *slot), void *arg)
{
	if (c->groups)
		cgroups_found(c->groups, found, arg);
	look(c);
	for (size_t i = 0; i < c->count; i++) {
		struct seen *s = &c->seen[i];
		if (s->zombie || s->pid == getpid())
			continue;
		read_mark(c, s);
		bool first = s->marked;
		for (size_t k = 0; k < i && first; k++)
			first = !c->seen[k].marked || strcmp(c->seen[k].slot, s->slot) != 0;
		if (first)
			found(arg, s->slot);
	}
}

int contain_kill_descendants(struct contain *c, pid_t spare)
{
	int living = 0;
	pid_t self = getpid();
	c->looked_ms = LONG_AGO_MS;
	look(c);
	for (size_t i = 0; i < c->count; i++)
		c->seen[i].member = c->seen[i].parent == self && c->seen[i].pid != spare;
	add_descendants(c);
	for (size_t i = 0; i < c->count; i++)
		if (c->seen[i].member && c->seen[i].pid != self && !c->seen[i].zombie)
			living += signal_one(c, &c->seen[i], SIGKILL);
	c->looked_ms = LONG_AGO_MS;
	return living;
}
