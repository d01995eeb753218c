/* SPDX-License-Identifier: MIT */
#include "parser/sandbox.h"

#include "base/err.h"
#include "base/sys.h"
#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

enum { MEMORY_MAX = 512 << 20 };

void sandbox_prepare(void)
{
	struct rlimit none = { 0, 0 };
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sys_close_range(SANDBOX_FD + 1, ~0U, false);
	setrlimit(RLIMIT_CORE, &none);
}

void sandbox_rearm(void)
{
	struct rusage used;
	getrusage(RUSAGE_SELF, &used);
	rlim_t seconds = (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1;
	struct rlimit limit = { .rlim_cur = seconds + SANDBOX_CPU_S, .rlim_max = RLIM_INFINITY };
	setrlimit(RLIMIT_CPU, &limit);
}

/* A sanitizer needs terabytes of addresses, opens files and starts a process to look for leaks. */
#if defined(DROVER_ASAN) || defined(DROVER_TSAN)
int sandbox_enter(struct err *err)
{
	(void)err;
	return 0;
}
#else

static int set_limits(struct err *err)
{
	const struct {
		__rlimit_resource_t resource;
		rlim_t value;
		const char *name;
	} limits[] = {
		{ RLIMIT_AS, MEMORY_MAX, "address space" },
		{ RLIMIT_FSIZE, 0, "file size" },
		{ RLIMIT_NOFILE, SANDBOX_FD + 1, "descriptors" },
	};
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		struct rlimit limit = { limits[i].value, limits[i].value };
		if (setrlimit(limits[i].resource, &limit) == -1)
			return err_sys(err, -errno, "limit of %s", limits[i].name);
	}
	return 0;
}

static int allow(scmp_filter_ctx ctx, const int *calls, size_t count)
{
	int r = 0;
	for (size_t i = 0; i < count && r == 0; i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, calls[i], 0);
	return r;
}

static int add_rules(scmp_filter_ctx ctx)
{
	static const int plain[] = { SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(brk),
		SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(exit), SCMP_SYS(exit_group),
		SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask), SCMP_SYS(restart_syscall),
		SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
		SCMP_SYS(getrusage), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid),
		SCMP_SYS(sched_yield) };
	const struct scmp_arg_cmp socket = SCMP_A0_32(SCMP_CMP_EQ, SANDBOX_FD);
	const struct scmp_arg_cmp errors = SCMP_A0_32(SCMP_CMP_EQ, STDERR_FILENO);
	const struct scmp_arg_cmp no_code = SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const struct scmp_arg_cmp self = SCMP_A0_32(SCMP_CMP_EQ, (scmp_datum_t)getpid());
	const struct scmp_arg_cmp of_self = SCMP_A0_32(SCMP_CMP_EQ, 0);
	const struct scmp_arg_cmp cpu = SCMP_A1_32(SCMP_CMP_EQ, RLIMIT_CPU);

	int r = allow(ctx, plain, ARRAY_SIZE(plain));
	r = r ? r : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(read), 1, socket);
	r = r ? r : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, socket);
	r = r ? r : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, errors);
	r = r ? r : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_code);
	r = r ? r : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code);
	/* abort() sends itself a signal: a crash should look like one. */
	r = r ? r : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, self);
	return r ? r : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, of_self, cpu);
}

int sandbox_enter(struct err *err)
{
	int r = set_limits(err);
	if (r < 0)
		return r;
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!ctx)
		return err_set(err, -ENOMEM, "sandbox: no memory");
	r = add_rules(ctx);
	if (r == 0)
		r = seccomp_load(ctx); /* sets no_new_privs too */
	seccomp_release(ctx);
	return r < 0 ? err_sys(err, r, "sandbox") : 0;
}
#endif
