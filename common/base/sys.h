/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The system calls whose failures matter to drover's promises, behind one seam: a unit test links
 * tests/unit/fakes/sys.c and plays the kernel. All fail with exactly -1 and errno.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

int sys_open(const char *path, int flags, mode_t mode);
int sys_openat(int dirfd, const char *path, int flags, mode_t mode);
/**
 * Opens a name within the directory and nothing else: no symbolic link in it is followed, no way
 * leads out (openat2; on a kernel or in a sandbox without it the name must hold no slash). @return
 * fd, -1
 */
int sys_open_beneath(int dirfd, const char *name, int flags, mode_t mode);
int sys_close(int fd);
ssize_t sys_read(int fd, void *buf, size_t len);
ssize_t sys_write(int fd, const void *buf, size_t len);
int sys_fsync(int fd);
int sys_renameat(int olddir, const char *from, int newdir, const char *to);
int sys_unlinkat(int dirfd, const char *path, int flags);
ssize_t sys_splice(int from, int to, size_t len, unsigned flags);
ssize_t sys_tee(int from, int to, size_t len, unsigned flags);
/** clone3(CLONE_PIDFD) like fork: 0 in the child; in the parent the pid, and *pidfd
 * (close-on-exec). */
pid_t sys_fork_pidfd(int *pidfd);
/** The same; the child begins its life in the cgroup2 group of this directory (-1: in ours). */
pid_t sys_fork_into(int *pidfd, int cgroup_fd);
struct sys_twin {
	void (*run)(void *arg); /* in the child; must not return */
	void *arg;
	void *stack; /* the child's; its lowest address */
	size_t stack_size;
	void *tls;	  /* what the child takes for its thread's own, errno too: of a thread that
			   * sleeps */
	int cgroup_fd;	  /* -1: our group */
	atomic_int alive; /* out, before the child's first instruction: its pid; 0 when it has
			   * executed or ended, and needs neither memory nor stack any more */
	int pidfd;	  /* out, likewise; close-on-exec */
};
/**
 * A child that shares our memory until it executes, and our table of descriptors; nobody waits for
 * it (clone(2), CLONE_VM and CLONE_CHILD_CLEARTID). Handlers of signals are reset in it, what is
 * ignored stays ignored.
 * @return pid; -1, ENOSYS on machines for which nobody wrote it
 */
pid_t sys_fork_sharing(struct sys_twin *twin);
/** Clock ticks since boot, as field 22 (starttime) of proc_pid_stat(5) counts them. */
uint64_t sys_boot_ticks(void);
int sys_pidfd_open(pid_t pid);
int sys_pidfd_send_signal(int pidfd, int signo);
/** To the whole process group that the process leads. @return 0; -1, EINVAL before Linux 6.9 */
int sys_pidfd_signal_group(int pidfd, int signo);
/** waitid(P_PIDFD, WEXITED | WNOHANG). @return 1 and *info when it ended, 0 when it lives, -1. */
int sys_wait_pidfd(int pidfd, siginfo_t *info);
int sys_close_range(unsigned first, unsigned last, bool only_cloexec);
/** Closes from there on, in a table that is ours alone from now on; other holders keep theirs. */
int sys_close_own(unsigned first);
int sys_memfd(const char *name, bool sealable);
