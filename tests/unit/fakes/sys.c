/* SPDX-License-Identifier: MIT */
#include "fakes/sys.h"

#include "base/compiler.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RULES = 64, PROCESSES = 4096 };

static struct rule {
	enum fake_sys_call call;
	size_t at; /* the number of the call it is for, from 0 */
	int code;  /* errno; 0: a limit */
	bool for_ever;
	size_t bytes;
} rules[RULES];
static size_t rule_count;
static size_t counts[FAKE_SYS_CALLS];

static struct process {
	pid_t pid;
	int pidfd;
	int last_signal;
	size_t signals;
	bool ended, foreign, closed;
	siginfo_t info;
} processes[PROCESSES];
static size_t process_count, fork_count;

void fake_sys_reset(void)
{
	for (size_t i = 0; i < process_count; i++)
		if (!processes[i].closed)
			close(processes[i].pidfd);
	process_count = fork_count = rule_count = 0;
	memset(counts, 0, sizeof(counts));
}

static void die(const char *words)
{
	fprintf(stderr, "fakes/sys.c: %s\n", words);
	abort();
}

static void add_rule(struct rule rule, unsigned skip)
{
	if (rule_count == RULES)
		die("too many rules");
	rule.at = counts[rule.call] + skip;
	rules[rule_count++] = rule;
}

void fake_sys_fail(enum fake_sys_call call, unsigned skip, int code)
{
	add_rule((struct rule) { .call = call, .code = code }, skip);
}

void fake_sys_fail_all(enum fake_sys_call call, unsigned skip, int code)
{
	add_rule((struct rule) { .call = call, .code = code, .for_ever = true }, skip);
}

void fake_sys_limit(enum fake_sys_call call, unsigned skip, size_t bytes)
{
	add_rule((struct rule) { .call = call, .bytes = bytes }, skip);
}

size_t fake_sys_count(enum fake_sys_call call)
{
	return counts[call];
}

/* Counts the call. @return true when it fails, with errno set; *len may shrink */
static bool played(enum fake_sys_call call, size_t *len)
{
	size_t n = counts[call]++;
	for (size_t i = 0; i < rule_count; i++) {
		const struct rule *r = &rules[i];
		if (r->call != call || (r->for_ever ? n < r->at : n != r->at))
			continue;
		if (r->code) {
			errno = r->code;
			return true;
		}
		if (len && *len > r->bytes)
			*len = r->bytes;
	}
	return false;
}

static struct process *find(int pidfd)
{
	/* From the end: numbers of closed descriptors come again. */
	for (size_t i = process_count; i-- > 0;)
		if (processes[i].pidfd == pidfd && !processes[i].closed)
			return &processes[i];
	return NULL;
}

static struct process *must_find(int pidfd)
{
	struct process *p = find(pidfd);
	if (!p)
		die("no such pidfd");
	return p;
}

static int add_process(pid_t pid)
{
	if (process_count == PROCESSES)
		die("too many processes");
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		die("cannot open /dev/null");
	/* A plain close() of an earlier one, not through the seam, left its number free. */
	struct process *old = find(fd);
	if (old)
		old->closed = true;
	processes[process_count++] = (struct process) { .pid = pid, .pidfd = fd };
	return fd;
}

size_t fake_sys_forks(void)
{
	return fork_count;
}

pid_t fake_sys_last_pid(void)
{
	return process_count ? processes[process_count - 1].pid : -1;
}

int fake_sys_last_pidfd(void)
{
	return process_count ? processes[process_count - 1].pidfd : -1;
}

pid_t fake_sys_pid_of(int pidfd)
{
	const struct process *p = find(pidfd);
	return p ? p->pid : -1;
}

int fake_sys_last_signal(int pidfd)
{
	return must_find(pidfd)->last_signal;
}

size_t fake_sys_signals(int pidfd)
{
	return must_find(pidfd)->signals;
}

void fake_sys_set_ended(int pidfd, int si_code, int status)
{
	struct process *p = must_find(pidfd);
	p->ended = true;
	p->info = (siginfo_t) { .si_signo = SIGCHLD, .si_code = si_code };
	p->info.si_pid = p->pid;
	p->info.si_status = status;
}

void fake_sys_set_foreign(int pidfd)
{
	must_find(pidfd)->foreign = true;
}

int sys_open(const char *path, int flags, mode_t mode)
{
	return played(FAKE_SYS_OPEN, NULL) ? -1 : open(path, flags | O_CLOEXEC, mode);
}

int sys_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	return played(FAKE_SYS_OPENAT, NULL) ? -1 : openat(dirfd, path, flags | O_CLOEXEC, mode);
}

int sys_open_beneath(int dirfd, const char *name, int flags, mode_t mode)
{
	return played(FAKE_SYS_OPENAT, NULL)
		       ? -1
		       : openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
}

int sys_close(int fd)
{
	struct process *p = find(fd);
	if (p)
		p->closed = true;
	bool failed = played(FAKE_SYS_CLOSE, NULL);
	int code = errno;
	/* Linux closes whatever it answers. */
	int rc = close(fd);
	if (failed)
		errno = code;
	return failed ? -1 : rc;
}

ssize_t sys_read(int fd, void *buf, size_t len)
{
	return played(FAKE_SYS_READ, &len) ? -1 : read(fd, buf, len);
}

ssize_t sys_write(int fd, const void *buf, size_t len)
{
	return played(FAKE_SYS_WRITE, &len) ? -1 : write(fd, buf, len);
}

int sys_fsync(int fd)
{
	return played(FAKE_SYS_FSYNC, NULL) ? -1 : fsync(fd);
}

int sys_renameat(int olddir, const char *from, int newdir, const char *to)
{
	return played(FAKE_SYS_RENAMEAT, NULL) ? -1 : renameat(olddir, from, newdir, to);
}

int sys_unlinkat(int dirfd, const char *path, int flags)
{
	return played(FAKE_SYS_UNLINKAT, NULL) ? -1 : unlinkat(dirfd, path, flags);
}

ssize_t sys_splice(int from, int to, size_t len, unsigned flags)
{
	return played(FAKE_SYS_SPLICE, &len) ? -1 : splice(from, NULL, to, NULL, len, flags);
}

ssize_t sys_tee(int from, int to, size_t len, unsigned flags)
{
	return played(FAKE_SYS_TEE, &len) ? -1 : tee(from, to, len, flags);
}

pid_t sys_fork_pidfd(int *pidfd)
{
	if (played(FAKE_SYS_FORK, NULL))
		return -1;
	pid_t pid = FAKE_SYS_FIRST_PID + (pid_t)fork_count++;
	*pidfd = add_process(pid);
	return pid;
}

pid_t sys_fork_into(int *pidfd, int cgroup_fd UNUSED)
{
	return sys_fork_pidfd(pidfd);
}

/* The kernel that is played has no such call: who can do without forks. */
pid_t sys_fork_sharing(struct sys_twin *twin UNUSED)
{
	errno = ENOSYS;
	return -1;
}

int sys_pidfd_open(pid_t pid)
{
	return played(FAKE_SYS_PIDFD_OPEN, NULL) ? -1 : add_process(pid);
}

int sys_pidfd_send_signal(int pidfd, int signo)
{
	if (played(FAKE_SYS_SEND_SIGNAL, NULL))
		return -1;
	struct process *p = must_find(pidfd);
	if (p->ended) {
		errno = ESRCH;
		return -1;
	}
	if (signo == 0)
		return 0;
	p->last_signal = signo;
	p->signals++;
	return 0;
}

int sys_wait_pidfd(int pidfd, siginfo_t *info)
{
	if (played(FAKE_SYS_WAIT, NULL))
		return -1;
	const struct process *p = must_find(pidfd);
	if (p->foreign) {
		errno = ECHILD;
		return -1;
	}
	if (!p->ended)
		return 0;
	*info = p->info;
	return 1;
}

int sys_close_own(unsigned first UNUSED)
{
	return 0;
}

int sys_close_range(unsigned first UNUSED, unsigned last UNUSED, bool only_cloexec UNUSED)
{
	return played(FAKE_SYS_CLOSE_RANGE, NULL) ? -1 : 0;
}

int sys_memfd(const char *name, bool sealable)
{
	if (played(FAKE_SYS_MEMFD, NULL))
		return -1;
	return memfd_create(name, MFD_CLOEXEC | (sealable ? MFD_ALLOW_SEALING : 0));
}
