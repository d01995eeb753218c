/* SPDX-License-Identifier: MIT */
#include "base/sys.h"

#include "base/compiler.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int sys_open(const char *path, int flags, mode_t mode)
{
	return open(path, flags | O_CLOEXEC, mode);
}

int sys_openat(int dirfd, const char *path, int flags, mode_t mode)
{
	return openat(dirfd, path, flags | O_CLOEXEC, mode);
}

int sys_open_beneath(int dirfd, const char *name, int flags, mode_t mode)
{
	const struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_NOFOLLOW | O_CLOEXEC),
		.mode = flags & O_CREAT ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, dirfd, name, &how, sizeof(how));
	if (fd != -1 || (errno != ENOSYS && errno != EPERM) || strchr(name, '/'))
		return fd;
	return openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
}

int sys_close(int fd)
{
	return close(fd);
}

ssize_t sys_read(int fd, void *buf, size_t len)
{
	return read(fd, buf, len);
}

ssize_t sys_write(int fd, const void *buf, size_t len)
{
	return write(fd, buf, len);
}

int sys_fsync(int fd)
{
	return fsync(fd);
}

int sys_renameat(int olddir, const char *from, int newdir, const char *to)
{
	return renameat(olddir, from, newdir, to);
}

int sys_unlinkat(int dirfd, const char *path, int flags)
{
	return unlinkat(dirfd, path, flags);
}

ssize_t sys_splice(int from, int to, size_t len, unsigned flags)
{
	return splice(from, NULL, to, NULL, len, flags);
}

ssize_t sys_tee(int from, int to, size_t len, unsigned flags)
{
	return tee(from, to, len, flags);
}

pid_t sys_fork_pidfd(int *pidfd)
{
	return sys_fork_into(pidfd, -1);
}

pid_t sys_fork_into(int *pidfd, int cgroup_fd)
{
	struct clone_args args = {
		.flags = CLONE_PIDFD | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
	};
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/*
 * glibc has no clone3() to call, and with syscall() the child would return over the frame that the
 * parent still needs: so the few instructions around the kernel's call are written out.
 */
static long clone_twin(struct clone_args *args UNUSED, const struct sys_twin *twin UNUSED)
{
#if defined(__x86_64__)
	long rc;
	__asm__ volatile("syscall\n\t"
			 "testq %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "movq %[arg], %%rdi\n\t"
			 "callq *%[run]\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(rc)
			 : "a"(SYS_clone3), "D"(args),
			 "S"(sizeof(*args)), [run] "r"(twin->run), [arg] "r"(twin->arg)
			 : "rcx", "r11", "memory", "cc");
	return rc;
#elif defined(__aarch64__)
	register long x0 __asm__("x0") = (long)(uintptr_t)args;
	register long x1 __asm__("x1") = sizeof(*args);
	register long x8 __asm__("x8") = SYS_clone3;
	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x0, %[arg]\n\t"
			 "blr %[run]\n\t"
			 "brk #0\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x1), "r"(x8), [run] "r"(twin->run), [arg] "r"(twin->arg)
			 : "memory", "cc");
	return x0;
#else
	return -ENOSYS;
#endif
}

pid_t sys_fork_sharing(struct sys_twin *twin)
{
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_FILES | CLONE_CLEAR_SIGHAND | CLONE_PIDFD | CLONE_SETTLS |
			 CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID |
			 (twin->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uint64_t)(uintptr_t)&twin->pidfd,
		.parent_tid = (uint64_t)(uintptr_t)&twin->alive,
		.child_tid = (uint64_t)(uintptr_t)&twin->alive,
		.exit_signal = SIGCHLD,
		.stack = (uint64_t)(uintptr_t)twin->stack,
		.stack_size = twin->stack_size,
		.tls = (uint64_t)(uintptr_t)twin->tls,
		.cgroup = twin->cgroup_fd >= 0 ? (uint64_t)twin->cgroup_fd : 0,
	};
	long rc = clone_twin(&args, twin);
	if (rc < 0) {
		errno = (int)-rc;
		return -1;
	}
	return (pid_t)rc;
}

uint64_t sys_boot_ticks(void)
{
	struct timespec ts;
	const int64_t ns_a_second = 1000000000;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	int64_t ns = ts.tv_sec * ns_a_second + ts.tv_nsec;
	return (uint64_t)(ns / (ns_a_second / sysconf(_SC_CLK_TCK)));
}

int sys_pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

int sys_pidfd_send_signal(int pidfd, int signo)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

int sys_pidfd_signal_group(int pidfd, int signo)
{
	const unsigned process_group =
		1u << 2; /* PIDFD_SIGNAL_PROCESS_GROUP, not in Debian 12's headers */
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, process_group);
}

int sys_wait_pidfd(int pidfd, siginfo_t *info)
{
	info->si_pid = 0;
	if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, info, WEXITED | WNOHANG) == -1)
		return -1;
	return info->si_pid != 0;
}

int sys_close_range(unsigned first, unsigned last, bool only_cloexec)
{
	return (int)syscall(SYS_close_range, first, last, only_cloexec ? CLOSE_RANGE_CLOEXEC : 0);
}

int sys_close_own(unsigned first)
{
	return (int)syscall(SYS_close_range, first, ~0u, CLOSE_RANGE_UNSHARE);
}

int sys_memfd(const char *name, bool sealable)
{
	return memfd_create(name, MFD_CLOEXEC | (sealable ? MFD_ALLOW_SEALING : 0));
}
