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
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#ifdef DROVER_ASAN
#include <sanitizer/asan_interface.h>
#endif

enum {
	STACK = 64 << 10, /* the child's, within that of the sleeping thread */
	THREAD_STACK = STACK + (64 << 10),
	LOOK_AGAIN_NS = 1000000, /* for one that was killed before it parted */
	NS_A_SECOND = 1000000000,
};

struct seat {
	struct launcher *launcher;
	pthread_t thread;
	sem_t lent, over;
	struct sys_twin twin;
	/* Low numbers that are kept for the child's descriptors: a table of its own is copied up to
	 * there and no further, whatever we have open. */
	int places[LAUNCHER_FDS];
	bool filled;	    /* we keep the places open for it */
	atomic_bool parted; /* set by the child */
};

struct launcher {
	struct seat seats[LAUNCHER_SEATS];
	size_t count;
	int empty;
	unsigned last_place;
	sem_t parted; /* posted by each child */
};

static void await(sem_t *sem)
{
	while (sem_wait(sem) == -1 && errno == EINTR)
		;
}

/* A child never returns from its frames, and AddressSanitizer remembers them. */
static void forget_frames(const struct sys_twin *twin UNUSED)
{
#ifdef DROVER_ASAN
	__asan_unpoison_memory_region(twin->stack, twin->stack_size);
#endif
}

/* --- the sleeping thread --- */

static void *lend(void *arg)
{
	struct seat *seat = arg;
	/* Not to be touched before it is needed: the compiler would fill it. */
	_Alignas(64) __attribute__((uninitialized)) char stack[STACK];
	seat->twin.stack = stack;
	seat->twin.stack_size = sizeof(stack);
	seat->twin.tls = __builtin_thread_pointer();
	sem_post(&seat->lent);
	await(&seat->over);
	return NULL;
}

/* --- the child --- */

int launcher_part(struct seat *seat)
{
	struct launcher *l = seat->launcher;
	/* Where the first is not known, the whole table is copied. */
	if (sys_close_own(l->last_place + 1) == -1 && unshare(CLONE_FILES) == -1)
		return -1;
	atomic_store(&seat->parted, true);
	return sem_post(&l->parted);
}

/* --- droverd --- */

static bool is_seat_free(const struct seat *seat)
{
	return atomic_load(&seat->twin.alive) == 0;
}

static bool keep_places(struct seat *seat)
{
	struct launcher *l = seat->launcher;
	for (size_t i = 0; i < LAUNCHER_FDS; i++) {
		seat->places[i] = fcntl(l->empty, F_DUPFD_CLOEXEC, 0);
		if (seat->places[i] == -1)
			return false;
		l->last_place = MAX(l->last_place, (unsigned)seat->places[i]);
	}
	return true;
}

static void close_places(struct seat *seat)
{
	for (size_t i = 0; i < LAUNCHER_FDS; i++)
		if (seat->places[i] >= 0)
			sys_close(seat->places[i]);
}

static bool begin_thread(struct seat *seat)
{
	pthread_attr_t attr;
	sigset_t all, old;
	if (pthread_attr_init(&attr) != 0)
		return false;
	/* It takes no signal. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	int rc = pthread_attr_setstacksize(&attr, THREAD_STACK);
	if (rc == 0)
		rc = pthread_create(&seat->thread, &attr, lend, seat);
	sigprocmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (rc == 0)
		await(&seat->lent);
	return rc == 0;
}

static bool open_seat(struct launcher *l, struct seat *seat)
{
	*seat = (struct seat) { .launcher = l, .places = { -1, -1, -1, -1, -1 } };
	sem_init(&seat->lent, 0, 0);
	sem_init(&seat->over, 0, 0);
	if (keep_places(seat) && begin_thread(seat))
		return true;
	close_places(seat);
	return false;
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
	sem_init(&l->parted, 0, 0);
	l->empty = sys_open("/dev/null", O_RDONLY, 0);
	while (l->empty != -1 && l->count < LAUNCHER_SEATS && open_seat(l, &l->seats[l->count]))
		l->count++;
	if (l->count == LAUNCHER_SEATS)
		return l;
	launcher_free(l);
	return NULL;
}

void launcher_free(struct launcher *l)
{
	bool all_free = true, leaves[LAUNCHER_SEATS] = { false };
	if (!l)
		return;
	launcher_settle(l, true);
	/* All are told before one is waited for: each takes its time to wake. */
	for (size_t i = 0; i < l->count; i++) {
		leaves[i] = is_seat_free(&l->seats[i]);
		if (leaves[i])
			sem_post(&l->seats[i].over);
	}
	for (size_t i = 0; i < l->count; i++) {
		struct seat *seat = &l->seats[i];
		close_places(seat);
		if (leaves[i]) {
			pthread_join(seat->thread, NULL);
		} else {
			pthread_detach(seat->thread);
			all_free = false;
		}
	}
	if (l->empty != -1)
		sys_close(l->empty);
	if (all_free)
		free(l);
}

struct seat *launcher_seat(struct launcher *l)
{
	for (size_t i = 0; i < l->count; i++) {
		struct seat *seat = &l->seats[i];
		while (MUTANT(LAUNCHER_AWAITED) && !is_seat_free(seat))
			sched_yield();
		if (!seat->filled && is_seat_free(seat))
			return seat;
	}
	return NULL;
}

size_t launcher_number(const struct launcher *l, const struct seat *seat)
{
	return (size_t)(seat - l->seats);
}

bool launcher_is_free(const struct launcher *l, size_t number)
{
	return is_seat_free(&l->seats[number]);
}

/* Or a pipe would stay open whose end somebody waits for. */
static void empty_places(struct seat *seat)
{
	for (size_t i = 0; i < LAUNCHER_FDS; i++)
		dup3(seat->launcher->empty, seat->places[i], O_CLOEXEC);
	seat->filled = false;
}

pid_t launcher_start(struct seat *seat, const struct launch *launch, int *pidfd)
{
	struct sys_twin *twin = &seat->twin;
	for (size_t i = 0; i < LAUNCHER_FDS; i++)
		if (*launch->fds[i] >= 0 && dup3(*launch->fds[i], seat->places[i], O_CLOEXEC) != -1)
			*launch->fds[i] = seat->places[i];
	twin->run = launch->run;
	twin->arg = launch->arg;
	twin->cgroup_fd = launch->cgroup_fd;
	twin->pidfd = -1;
	seat->filled = true;
	atomic_store(&seat->parted, false);
	forget_frames(twin);
	pid_t pid = sys_fork_sharing(twin);
	if (pid == -1)
		empty_places(seat);
	else
		*pidfd = twin->pidfd;
	return pid;
}

static bool settle_parted(struct launcher *l)
{
	bool all = true;
	for (size_t i = 0; i < l->count; i++) {
		struct seat *seat = &l->seats[i];
		/* Or killed before it could say so. */
		if (seat->filled && (atomic_load(&seat->parted) || is_seat_free(seat)))
			empty_places(seat);
		all = all && !seat->filled;
	}
	return all;
}

bool launcher_settle(struct launcher *l, bool wait)
{
	bool all;
	while (!(all = settle_parted(l)) && wait) {
		struct timespec until;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += LOOK_AGAIN_NS;
		until.tv_sec += until.tv_nsec / NS_A_SECOND;
		until.tv_nsec %= NS_A_SECOND;
		sem_clockwait(&l->parted, CLOCK_MONOTONIC, &until);
	}
	return all;
}
