/* SPDX-License-Identifier: MIT */
#include "fakes/loop.h"

#include "base/list.h"
#include "base/mem.h"
#include "fakes/clock.h"
#include <stdio.h>
#include <stdlib.h>

/* Linked or not: fakes/clock.c moves along when it is there. */
#pragma weak fake_clock_advance_ms

enum { RING_LIMIT = 100000 }; /* callbacks within one instant: a script that spins is a bug */

struct deferred {
	struct list node;
	void (*cb)(void *arg);
	void *arg;
};

struct loop {
	struct list ios, signals, exits, deferred;
	struct list armed; /* struct loop_timer, by due time, then order of arming */
	int64_t now_ms;
	size_t watchers;
	bool stopped, draining;
};

struct loop_io {
	struct list node;
	struct loop *loop;
	int fd;
	unsigned events;
	bool called; /* in this round of fake_loop_fd() */
	loop_io_cb cb;
	void *arg;
};

struct loop_timer {
	struct list node; /* in loop->armed, or in no list */
	struct loop *loop;
	int64_t due_ms;
	loop_timer_cb cb;
	void *arg;
};

struct loop_signal {
	struct list node;
	struct loop *loop;
	int signo;
	loop_signal_cb cb;
	void *arg;
};

struct loop_waker {
	struct loop *loop;
	void (*cb)(void *arg);
	void *arg;
};

struct loop_exit {
	struct list node;
	struct loop *loop;
	int pidfd;
	bool told;
	loop_exit_cb cb;
	void *arg;
};

struct loop_reaper {
	struct loop *loop;
};

static void die(const char *words)
{
	fprintf(stderr, "fakes/loop.c: %s\n", words);
	abort();
}

int loop_new(struct loop **out, struct err *err UNUSED)
{
	struct loop *loop = NEW(struct loop);
	if (!loop)
		die("out of memory");
	list_init(&loop->ios);
	list_init(&loop->signals);
	list_init(&loop->exits);
	list_init(&loop->deferred);
	list_init(&loop->armed);
	loop->now_ms = FAKE_LOOP_START_MS;
	*out = loop;
	return 0;
}

static void run_deferred(struct loop *loop)
{
	if (loop->draining)
		return;
	loop->draining = true;
	for (int n = 0; !list_empty(&loop->deferred); n++) {
		struct deferred *d = LIST_FIRST(&loop->deferred, struct deferred, node);
		list_remove(&d->node);
		d->cb(d->arg);
		free(d);
		if (n == RING_LIMIT)
			die("deferred calls defer for ever");
	}
	loop->draining = false;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	run_deferred(loop);
	free(loop);
}

void loop_run(struct loop *loop)
{
	run_deferred(loop);
	while (!loop->stopped) {
		int64_t next_ms = fake_loop_next_ms(loop);
		if (next_ms < 0)
			die("loop_run() waits for ever: no timer is armed");
		fake_loop_advance(loop, next_ms);
	}
	loop->stopped = false;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

void loop_gather(struct loop *loop UNUSED, int64_t ms UNUSED)
{
}

int64_t loop_now_ms(struct loop *loop)
{
	return loop->now_ms;
}

/* Each callback is a turn of its own. */
uint64_t loop_turn(const struct loop *loop UNUSED)
{
	static uint64_t turn;
	return ++turn;
}

void loop_update_now(struct loop *loop UNUSED)
{
}

void loop_defer(struct loop *loop, void (*cb)(void *arg), void *arg)
{
	struct deferred *d = NEW(struct deferred);
	if (!d)
		die("out of memory");
	d->cb = cb;
	d->arg = arg;
	list_add_tail(&loop->deferred, &d->node);
}

void loop_cancel_deferred(struct loop *loop, void *arg)
{
	LIST_FOR_EACH_SAFE (node, &loop->deferred) {
		struct deferred *d = LIST_ENTRY(node, struct deferred, node);
		if (d->arg != arg)
			continue;
		list_remove(node);
		free(d);
	}
}

static void move_time(struct loop *loop, int64_t to_ms)
{
	if (fake_clock_advance_ms && to_ms > loop->now_ms)
		fake_clock_advance_ms(to_ms - loop->now_ms);
	if (to_ms > loop->now_ms)
		loop->now_ms = to_ms;
}

static void fire_until(struct loop *loop, int64_t end_ms)
{
	int64_t instant_ms = -1;
	int n = 0;
	run_deferred(loop);
	for (;;) {
		struct loop_timer *timer = LIST_FIRST(&loop->armed, struct loop_timer, node);
		if (!timer || timer->due_ms > end_ms)
			break;
		move_time(loop, timer->due_ms);
		n = loop->now_ms == instant_ms ? n + 1 : 0;
		instant_ms = loop->now_ms;
		if (n == RING_LIMIT)
			die("timers fire for ever without time passing");
		list_remove(&timer->node);
		timer->cb(timer->arg);
		run_deferred(loop);
	}
}

void fake_loop_advance(struct loop *loop, int64_t ms)
{
	int64_t end_ms = loop->now_ms + ms;
	fire_until(loop, end_ms);
	move_time(loop, end_ms);
}

void fake_loop_stall(struct loop *loop, int64_t ms)
{
	move_time(loop, loop->now_ms + ms);
	fire_until(loop, loop->now_ms);
}

int64_t fake_loop_next_ms(const struct loop *loop)
{
	const struct loop_timer *timer = LIST_FIRST(&loop->armed, struct loop_timer, node);
	return timer ? MAX(timer->due_ms - loop->now_ms, (int64_t)0) : -1;
}

struct loop_io *loop_io_new(struct loop *loop, int fd, unsigned events, loop_io_cb cb, void *arg)
{
	struct loop_io *io = NEW(struct loop_io);
	if (!io)
		die("out of memory");
	*io = (struct loop_io) { .loop = loop, .fd = fd, .events = events, .cb = cb, .arg = arg };
	list_add_tail(&loop->ios, &io->node);
	loop->watchers++;
	return io;
}

void loop_io_set(struct loop_io *io, unsigned events)
{
	io->events = events;
}

void loop_io_free(struct loop_io *io)
{
	if (!io)
		return;
	io->loop->watchers--;
	list_remove(&io->node);
	free(io);
}

unsigned fake_loop_watched(const struct loop *loop, int fd)
{
	unsigned events = 0;
	LIST_FOR_EACH (node, &loop->ios) {
		const struct loop_io *io = LIST_ENTRY(node, struct loop_io, node);
		if (io->fd == fd)
			events |= io->events;
	}
	return events;
}

size_t fake_loop_fd(struct loop *loop, int fd, unsigned events)
{
	size_t calls = 0;
	LIST_FOR_EACH (node, &loop->ios)
		LIST_ENTRY(node, struct loop_io, node)->called = false;
again: /* A callback may free any watcher, so the list is looked through anew. */
	LIST_FOR_EACH (node, &loop->ios) {
		struct loop_io *io = LIST_ENTRY(node, struct loop_io, node);
		if (io->called || io->fd != fd || !(io->events & events))
			continue;
		io->called = true;
		calls++;
		io->cb(io->arg, fd, io->events & events);
		run_deferred(loop);
		goto again;
	}
	return calls;
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_cb cb, void *arg)
{
	struct loop_timer *timer = NEW(struct loop_timer);
	if (!timer)
		die("out of memory");
	*timer = (struct loop_timer) { .loop = loop, .cb = cb, .arg = arg };
	list_init(&timer->node);
	loop->watchers++;
	return timer;
}

void loop_timer_start(struct loop_timer *timer, int64_t after_ms)
{
	struct list *before = &timer->loop->armed;
	list_remove(&timer->node);
	timer->due_ms = timer->loop->now_ms + MAX(after_ms, (int64_t)0);
	while (before->prev != &timer->loop->armed &&
		LIST_ENTRY(before->prev, struct loop_timer, node)->due_ms > timer->due_ms)
		before = before->prev;
	list_add_tail(before, &timer->node);
}

void loop_timer_stop(struct loop_timer *timer)
{
	list_remove(&timer->node);
}

bool loop_timer_armed(const struct loop_timer *timer)
{
	return !list_empty(&timer->node);
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	timer->loop->watchers--;
	list_remove(&timer->node);
	free(timer);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signo, loop_signal_cb cb, void *arg)
{
	struct loop_signal *sig = NEW(struct loop_signal);
	if (!sig)
		die("out of memory");
	*sig = (struct loop_signal) { .loop = loop, .signo = signo, .cb = cb, .arg = arg };
	list_add_tail(&loop->signals, &sig->node);
	loop->watchers++;
	return sig;
}

void loop_signal_free(struct loop_signal *sig)
{
	if (!sig)
		return;
	sig->loop->watchers--;
	list_remove(&sig->node);
	free(sig);
}

bool fake_loop_signal(struct loop *loop, int signo)
{
	LIST_FOR_EACH (node, &loop->signals) {
		struct loop_signal *sig = LIST_ENTRY(node, struct loop_signal, node);
		if (sig->signo != signo)
			continue;
		sig->cb(sig->arg, signo);
		run_deferred(loop);
		return true; /* as libev: one loop, one listener is what drover has */
	}
	return false;
}

struct loop_waker *loop_waker_new(struct loop *loop, void (*cb)(void *arg), void *arg)
{
	struct loop_waker *waker = NEW(struct loop_waker);
	if (!waker)
		die("out of memory");
	*waker = (struct loop_waker) { .loop = loop, .cb = cb, .arg = arg };
	loop->watchers++;
	return waker;
}

void loop_wake(struct loop_waker *waker)
{
	waker->cb(waker->arg);
	run_deferred(waker->loop);
}

void loop_waker_free(struct loop_waker *waker)
{
	if (!waker)
		return;
	waker->loop->watchers--;
	free(waker);
}

struct loop_exit *loop_exit_new(struct loop *loop, int pidfd, loop_exit_cb cb, void *arg)
{
	struct loop_exit *watch = NEW(struct loop_exit);
	if (!watch)
		die("out of memory");
	*watch = (struct loop_exit) { .loop = loop, .pidfd = pidfd, .cb = cb, .arg = arg };
	list_add_tail(&loop->exits, &watch->node);
	loop->watchers++;
	return watch;
}

void loop_exit_free(struct loop_exit *watch)
{
	if (!watch)
		return;
	watch->loop->watchers--;
	list_remove(&watch->node);
	free(watch);
}

bool fake_loop_awaits(const struct loop *loop, int pidfd)
{
	LIST_FOR_EACH (node, &loop->exits) {
		const struct loop_exit *watch = LIST_ENTRY(node, struct loop_exit, node);
		if (watch->pidfd == pidfd && !watch->told)
			return true;
	}
	return false;
}

bool fake_loop_exit(struct loop *loop, int pidfd, const siginfo_t *info)
{
	LIST_FOR_EACH (node, &loop->exits) {
		struct loop_exit *watch = LIST_ENTRY(node, struct loop_exit, node);
		if (watch->pidfd != pidfd || watch->told)
			continue;
		watch->told = true;
		watch->cb(watch->arg, info);
		run_deferred(loop);
		return true;
	}
	return false;
}

struct loop_reaper *loop_reaper_new(
	struct loop *loop, bool (*is_own)(void *arg, int pid) UNUSED, void *arg UNUSED)
{
	struct loop_reaper *reaper = NEW(struct loop_reaper);
	if (!reaper)
		die("out of memory");
	reaper->loop = loop;
	loop->watchers++;
	return reaper;
}

void loop_reaper_free(struct loop_reaper *reaper)
{
	if (!reaper)
		return;
	reaper->loop->watchers--;
	free(reaper);
}

size_t fake_loop_watchers(const struct loop *loop)
{
	size_t n = loop->watchers;
	LIST_FOR_EACH (node, &loop->deferred)
		n++;
	return n;
}
