/* SPDX-License-Identifier: MIT */
#include "launcher.h"

#include "base/mutant.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#ifdef DROVER_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum {
	STACK = 64 << 10, /* the child's, within the thread's own */
	THREAD_STACK = STACK + (64 << 10),
};

struct launcher {
	pthread_t thread;
	sem_t asked, parted, idle;
	/* Written by us until `asked`, by the thread and the child until `idle`. */
	struct sys_twin twin;
	int error;
	bool over, told;
	bool ours; /* the turn: nothing is asked, no child shares our memory */
	/* Low numbers that are kept for a child's descriptors: a table of its own is copied up to
	 * there and no further, whatever we have open. */
	int places[LAUNCHER_FDS];
	int empty;
};

static void await(sem_t *sem)
{
	while (sem_wait(sem) == -1 && errno == EINTR)
		;
}

/* A child never returns from its frames, and AddressSanitizer remembers them. */
static void forget_frames(char *stack UNUSED)
{
#ifdef DROVER_ASAN
	__asan_unpoison_memory_region(stack, STACK);
#endif
}

/* --- the thread; it must not allocate: a child that is forked meanwhile could not either --- */

static void *stand_in(void *arg)
{
	struct launcher *l = arg;
	_Alignas(64) char stack[STACK];
	for (;;) {
		await(&l->asked);
		if (l->over)
			return NULL;
		forget_frames(stack);
		l->twin.stack = stack;
		l->twin.stack_size = sizeof(stack);
		if (sys_vfork_into(&l->twin) == -1)
			l->error = errno;
		/* Killed before it could say so: */
		if (!l->told)
			sem_post(&l->parted);
		sem_post(&l->idle);
	}
}

int launcher_part(struct launcher *l)
{
	int last = 0;
	for (size_t i = 0; i < LAUNCHER_FDS; i++)
		last = MAX(last, l->places[i]);
	/* Where the first is not known, the whole table is copied. */
	if (sys_close_own((unsigned)last + 1) == -1 && unshare(CLONE_FILES) == -1)
		return -1;
	l->told = true;
	return sem_post(&l->parted);
}

/* --- droverd --- */

static void close_places(struct launcher *l)
{
	for (size_t i = 0; i < LAUNCHER_FDS; i++)
		if (l->places[i] >= 0)
			sys_close(l->places[i]);
	if (l->empty >= 0)
		sys_close(l->empty);
}

static int keep_places(struct launcher *l)
{
	l->empty = sys_open("/dev/null", O_RDONLY, 0);
	for (size_t i = 0; i < LAUNCHER_FDS; i++)
		l->places[i] = l->empty == -1 ? -1 : fcntl(l->empty, F_DUPFD_CLOEXEC, 0);
	return l->places[LAUNCHER_FDS - 1] == -1 ? -1 : 0;
}

static int begin_thread(struct launcher *l)
{
	pthread_attr_t attr;
	sigset_t all, old;
	if (pthread_attr_init(&attr) != 0)
		return -1;
	/* It takes no signal, and its children are born with all blocked. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	int rc = pthread_attr_setstacksize(&attr, THREAD_STACK);
	if (rc == 0)
		rc = pthread_create(&l->thread, &attr, stand_in, l);
	sigprocmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return rc == 0 ? 0 : -1;
}

/* ThreadSanitizer would take the child for the thread, and its descriptors for ours. */
static bool is_possible(void)
{
#ifdef DROVER_TSAN
	return false;
#else
	return true;
#endif
}

struct launcher *launcher_new(void)
{
	struct launcher *l = is_possible() ? calloc(1, sizeof(*l)) : NULL;
	if (!l)
		return NULL;
	sem_init(&l->asked, 0, 0);
	sem_init(&l->parted, 0, 0);
	sem_init(&l->idle, 0, 0);
	l->ours = true;
	if (keep_places(l) == 0 && begin_thread(l) == 0)
		return l;
	close_places(l);
	free(l);
	return NULL;
}

void launcher_free(struct launcher *l)
{
	if (!l)
		return;
	/* What a child that hangs shares with us stays. */
	if (!launcher_is_free(l)) {
		pthread_detach(l->thread);
		return;
	}
	l->over = true;
	sem_post(&l->asked);
	pthread_join(l->thread, NULL);
	close_places(l);
	free(l);
}

bool launcher_is_free(struct launcher *l)
{
	if (!l->ours)
		l->ours = sem_trywait(&l->idle) == 0;
	if (!l->ours && MUTANT(LAUNCHER_AWAITED)) {
		await(&l->idle);
		l->ours = true;
	}
	return l->ours;
}

static void fill_places(const struct launcher *l, const struct launch *launch)
{
	for (size_t i = 0; i < LAUNCHER_FDS; i++)
		if (*launch->fds[i] >= 0 && dup3(*launch->fds[i], l->places[i], O_CLOEXEC) != -1)
			*launch->fds[i] = l->places[i];
}

/* Or a pipe would stay open whose end somebody waits for. */
static void empty_places(const struct launcher *l)
{
	for (size_t i = 0; i < LAUNCHER_FDS; i++)
		dup3(l->empty, l->places[i], O_CLOEXEC);
}

pid_t launcher_start(struct launcher *l, const struct launch *launch, int *pidfd)
{
	fill_places(l, launch);
	l->twin = (struct sys_twin) {
		.run = launch->run, .arg = launch->arg, .cgroup_fd = launch->cgroup_fd, .pidfd = -1
	};
	l->error = 0;
	l->told = l->ours = false;
	sem_post(&l->asked);
	/* Until then it has our table of descriptors, so nothing else may be done. It comes to that
	 * as soon as it is on a processor: its group is a new one, that nobody has frozen. */
	await(&l->parted);
	empty_places(l);
	if (l->twin.pid > 0) {
		*pidfd = l->twin.pidfd;
		return l->twin.pid;
	}
	await(&l->idle); /* nobody holds it */
	l->ours = true;
	errno = l->error;
	return -1;
}
