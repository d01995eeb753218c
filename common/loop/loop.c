/* SPDX-License-Identifier: MIT */
#include "loop/loop.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/loop_ev.h"
#include <errno.h>
#include <stdlib.h>

struct deferred {
	struct list node;
	void (*cb)(void *arg);
	void *arg;
};

struct loop {
	struct ev_loop *ev;
	ev_check turn;	    /* first in each turn: takes the time; also keeps the loop alive without
			       watchers */
	ev_timer run_later; /* what was deferred by deferred calls waits for the next turn */
	struct list waiting; /* struct deferred, in order */
	int64_t now_ms;
	uint64_t turn_number;
	bool draining, running, stop_asked;
	/* All timers hang on one watcher of libev's: a timer of its own is twice as large. */
	struct {
		ev_timer w;
		struct loop_timer **heap;  /* those that are armed; the first is due first */
		uint32_t armed, made, cap; /* room for all that are made: arming never fails */
		uint32_t order;		   /* grows with each arming */
		uint32_t pass;		   /* grows each time that some are due */
		bool passing;
		int64_t pass_ms; /* what was due then is called in this pass */
	} timers;
};

struct loop_io {
	ev_io w;
	struct loop *loop;
	loop_io_cb cb;
	void *arg;
};

struct loop_timer {
	struct loop *loop;
	uint64_t key; /* due time in ms, then the order of arming */
	loop_timer_cb cb;
	void *arg;
	uint32_t place; /* in the heap, from 1; 0: at rest */
	uint32_t pass;	/* when it was armed */
};

struct loop_signal {
	ev_signal w;
	struct loop *loop;
	loop_signal_cb cb;
	void *arg;
};

struct loop_waker {
	ev_async w;
	struct loop *loop;
	void (*cb)(void *arg);
	void *arg;
};

static void on_turn(struct ev_loop *ev, ev_check *w, int revents);
static void on_run_later(struct ev_loop *ev, ev_timer *w, int revents);
static void on_due(struct ev_loop *ev, ev_timer *w, int revents);
static void run_deferred(struct loop *loop);

int loop_new(struct loop **out, struct err *err)
{
	struct loop *loop = NEW(struct loop);
	if (!loop)
		return err_set(err, -ENOMEM, "make the event loop");
	/* The environment may not choose the backend (LIBEV_FLAGS). Never the default loop: it
	 * would reap children. */
	loop->ev = ev_loop_new(EVFLAG_NOENV | EVBACKEND_EPOLL);
	if (!loop->ev)
		loop->ev = ev_loop_new(EVFLAG_NOENV | EVBACKEND_POLL | EVBACKEND_SELECT);
	if (!loop->ev) {
		free(loop);
		return err_set(err, -EMFILE, "make the event loop: neither epoll nor poll");
	}
	list_init(&loop->waiting);
	ev_check_init(&loop->turn, on_turn);
	loop->turn.data = loop;
	ev_set_priority(&loop->turn, EV_MAXPRI);
	ev_check_start(loop->ev, &loop->turn);
	ev_timer_init(&loop->run_later, on_run_later, 0, 0);
	loop->run_later.data = loop;
	ev_timer_init(&loop->timers.w, on_due, 0, 0);
	loop->timers.w.data = loop;
	loop->now_ms = clock_mono_ms();
	*out = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	/* What was deferred is mostly the freeing of an object. */
	while (!list_empty(&loop->waiting))
		run_deferred(loop);
	ev_timer_stop(loop->ev, &loop->run_later);
	ev_timer_stop(loop->ev, &loop->timers.w);
	ev_check_stop(loop->ev, &loop->turn);
	ev_loop_destroy(loop->ev);
	free(loop->timers.heap);
	free(loop);
}

struct ev_loop *loop_ev(struct loop *loop)
{
	return loop->ev;
}

void loop_run(struct loop *loop)
{
	/* ev_run() forgets an ev_break() made before it. */
	if (!loop->stop_asked) {
		loop->running = true;
		loop_update_now(loop);
		ev_run(loop->ev, 0);
		loop->running = false;
	}
	loop->stop_asked = false;
}

void loop_stop(struct loop *loop)
{
	loop->stop_asked = true;
	ev_break(loop->ev, EVBREAK_ALL);
}

void loop_gather(struct loop *loop, int64_t ms)
{
	ev_set_io_collect_interval(loop->ev, (double)ms / 1e3);
}

int64_t loop_now_ms(struct loop *loop)
{
	if (!loop->running)
		loop_update_now(loop);
	return loop->now_ms;
}

void loop_update_now(struct loop *loop)
{
	ev_now_update(loop->ev);
	loop->now_ms = clock_mono_ms();
}

static void on_turn(struct ev_loop *ev, ev_check *w, int revents UNUSED)
{
	struct loop *loop = w->data;
	(void)ev;
	loop->now_ms = clock_mono_ms();
	loop->turn_number++;
}

uint64_t loop_turn(const struct loop *loop)
{
	return loop->turn_number;
}

void loop_defer(struct loop *loop, void (*cb)(void *arg), void *arg)
{
	struct deferred *d = NEW(struct deferred);
	/* Deferring is how objects are freed: without memory for 32 bytes nothing sane can follow.
	 */
	if (!d)
		abort();
	d->cb = cb;
	d->arg = arg;
	list_add_tail(&loop->waiting, &d->node);
	/* A fed event is the next that is called; while draining the next turn comes first, or the
	 * loop could starve. */
	if (!loop->draining)
		ev_feed_event(loop->ev, &loop->run_later, 0);
}

void loop_cancel_deferred(struct loop *loop, void *arg)
{
	LIST_FOR_EACH_SAFE (node, &loop->waiting) {
		struct deferred *d = LIST_ENTRY(node, struct deferred, node);
		if (!d->cb || d->arg != arg) /* the mark of a pass that runs has no cb */
			continue;
		list_remove(node);
		free(d);
	}
}

static void on_run_later(struct ev_loop *ev UNUSED, ev_timer *w, int revents UNUSED)
{
	run_deferred(w->data);
}

/* Runs those that wait now, not those that they add. They may cancel one another. */
static void run_deferred(struct loop *loop)
{
	struct deferred end = { 0 };
	list_add_tail(&loop->waiting, &end.node);
	loop->draining = true;
	while (loop->waiting.next != &end.node) {
		struct deferred *d = LIST_ENTRY(loop->waiting.next, struct deferred, node);
		list_remove(&d->node);
		d->cb(d->arg);
		free(d);
	}
	list_remove(&end.node);
	loop->draining = false;
	ev_timer_stop(loop->ev, &loop->run_later);
	if (list_empty(&loop->waiting))
		return;
	ev_timer_set(&loop->run_later, 0, 0);
	ev_timer_start(loop->ev, &loop->run_later);
}

static void on_io(struct ev_loop *ev UNUSED, ev_io *w, int revents)
{
	struct loop_io *io = (struct loop_io *)w;
	unsigned events = 0;
	if (revents & EV_READ)
		events |= LOOP_READ;
	if (revents & EV_WRITE)
		events |= LOOP_WRITE;
	/* libev takes a closed fd out of the loop with EV_ERROR: our bug, say it by letting the
	 * owner read EBADF. */
	if (revents & EV_ERROR)
		events |= LOOP_READ | LOOP_WRITE;
	io->cb(io->arg, io->w.fd, events);
}

struct loop_io *loop_io_new(struct loop *loop, int fd, unsigned events, loop_io_cb cb, void *arg)
{
	struct loop_io *io = NEW(struct loop_io);
	if (!io)
		return NULL;
	io->loop = loop;
	io->cb = cb;
	io->arg = arg;
	ev_io_init(&io->w, on_io, fd, 0);
	loop_io_set(io, events);
	return io;
}

void loop_io_set(struct loop_io *io, unsigned events)
{
	int wanted = (events & LOOP_READ ? EV_READ : 0) | (events & LOOP_WRITE ? EV_WRITE : 0);
	if (ev_is_active(&io->w) && (io->w.events & (EV_READ | EV_WRITE)) == wanted)
		return;
	ev_io_stop(io->loop->ev, &io->w);
	if (wanted == 0)
		return;
	ev_io_set(&io->w, io->w.fd, wanted);
	ev_io_start(io->loop->ev, &io->w);
}

void loop_io_free(struct loop_io *io)
{
	if (!io)
		return;
	ev_io_stop(io->loop->ev, &io->w);
	free(io);
}

/* --- timers: a heap by due time; of those due at once the one that was armed first is first --- */

enum { ORDER_BITS = 20 };

static int64_t due_of(const struct loop_timer *timer)
{
	return (int64_t)(timer->key >> ORDER_BITS);
}

static uint64_t next_key(struct loop *loop, int64_t due_ms)
{
	uint64_t order = loop->timers.order++ % (1U << ORDER_BITS);
	return (uint64_t)due_ms << ORDER_BITS | order;
}

static void put(struct loop *loop, uint32_t place, struct loop_timer *timer)
{
	loop->timers.heap[place - 1] = timer;
	timer->place = place;
}

static void move_up(struct loop *loop, struct loop_timer *timer, uint32_t place)
{
	for (; place > 1; place /= 2) {
		struct loop_timer *above = loop->timers.heap[place / 2 - 1];
		if (timer->key >= above->key)
			break;
		put(loop, place, above);
	}
	put(loop, place, timer);
}

static void move_down(struct loop *loop, struct loop_timer *timer, uint32_t place)
{
	struct loop_timer **heap = loop->timers.heap;
	for (uint32_t below; (below = place * 2) <= loop->timers.armed; place = below) {
		if (below < loop->timers.armed && heap[below]->key < heap[below - 1]->key)
			below++;
		if (heap[below - 1]->key >= timer->key)
			break;
		put(loop, place, heap[below - 1]);
	}
	put(loop, place, timer);
}

static struct loop_timer *first(const struct loop *loop)
{
	return loop->timers.armed ? loop->timers.heap[0] : NULL;
}

static void take_out(struct loop_timer *timer)
{
	struct loop *loop = timer->loop;
	uint32_t place = timer->place;
	struct loop_timer *last = loop->timers.heap[--loop->timers.armed];
	timer->place = 0;
	if (last == timer)
		return;
	move_up(loop, last, place);
	move_down(loop, last, last->place);
}

/* Wakes for the first one. Too late is corrected by on_due(); too early would cost a turn. */
static void await_first(struct loop *loop)
{
	const struct loop_timer *timer = first(loop);
	if (loop->timers.passing)
		return;
	ev_timer_stop(loop->ev, &loop->timers.w);
	if (!timer)
		return;
	int64_t left_ms = MAX(due_of(timer) - loop->now_ms, (int64_t)0);
	ev_timer_set(&loop->timers.w, (double)left_ms / 1e3, 0);
	ev_timer_start(loop->ev, &loop->timers.w);
}

/* Of those that were armed in this pass none is: or one that arms itself would starve all else. */
static bool is_due(const struct loop *loop)
{
	const struct loop_timer *timer = first(loop);
	return timer && due_of(timer) <= loop->timers.pass_ms && timer->pass != loop->timers.pass;
}

/*
 * One is called at a time, and the next as an event of its own, so that what a callback defers
 * comes before it. libev's time of the turn is a little older than ours: none fires before
 * loop_now_ms() says so.
 */
static void on_due(struct ev_loop *ev, ev_timer *w, int revents UNUSED)
{
	struct loop *loop = w->data;
	if (!loop->timers.passing) {
		loop->timers.passing = true;
		loop->timers.pass++;
		loop->timers.pass_ms = loop->now_ms;
	}
	struct loop_timer *timer = is_due(loop) ? first(loop) : NULL;
	if (timer)
		take_out(timer);
	if (is_due(loop)) {
		ev_feed_event(ev, w, 0);
	} else {
		loop->timers.passing = false;
		await_first(loop);
	}
	if (timer)
		timer->cb(timer->arg);
}

static int make_room(struct loop *loop)
{
	enum { MORE = 64 };
	if (loop->timers.made < loop->timers.cap)
		return 0;
	struct loop_timer **heap = reallocarray(
		loop->timers.heap, loop->timers.cap + MORE, sizeof(struct loop_timer *));
	if (!heap)
		return -ENOMEM;
	loop->timers.heap = heap;
	loop->timers.cap += MORE;
	return 0;
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_cb cb, void *arg)
{
	struct loop_timer *timer = make_room(loop) < 0 ? NULL : NEW(struct loop_timer);
	if (!timer)
		return NULL;
	loop->timers.made++;
	timer->loop = loop;
	timer->cb = cb;
	timer->arg = arg;
	return timer;
}

void loop_timer_start(struct loop_timer *timer, int64_t after_ms)
{
	/* A deadline beyond 300 years means never; the sum must not overflow. */
	const int64_t far_ms = INT64_C(10000000000000);
	struct loop *loop = timer->loop;
	const struct loop_timer *before = first(loop);
	int64_t before_ms = before ? due_of(before) : -1;
	if (timer->place)
		take_out(timer);
	timer->key = next_key(loop, loop_now_ms(loop) + MIN(MAX(after_ms, (int64_t)0), far_ms));
	timer->pass = loop->timers.pass;
	move_up(loop, timer, ++loop->timers.armed);
	if (due_of(first(loop)) != before_ms)
		await_first(loop);
}

void loop_timer_stop(struct loop_timer *timer)
{
	bool was_first = timer->place == 1;
	if (!timer->place)
		return;
	take_out(timer);
	if (was_first)
		await_first(timer->loop);
}

bool loop_timer_armed(const struct loop_timer *timer)
{
	return timer->place != 0;
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	loop_timer_stop(timer);
	timer->loop->timers.made--;
	free(timer);
}

static void on_signal(struct ev_loop *ev UNUSED, ev_signal *w, int revents UNUSED)
{
	struct loop_signal *sig = (struct loop_signal *)w;
	sig->cb(sig->arg, sig->w.signum);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signo, loop_signal_cb cb, void *arg)
{
	struct loop_signal *sig = NEW(struct loop_signal);
	if (!sig)
		return NULL;
	sig->loop = loop;
	sig->cb = cb;
	sig->arg = arg;
	ev_signal_init(&sig->w, on_signal, signo);
	ev_signal_start(loop->ev, &sig->w);
	/* libev 4.33 leaves a signal blocked that was so before us, by the parent or until we would
	 * listen. */
	sigset_t heard;
	sigemptyset(&heard);
	sigaddset(&heard, signo);
	pthread_sigmask(SIG_UNBLOCK, &heard, NULL);
	return sig;
}

void loop_signal_free(struct loop_signal *sig)
{
	if (!sig)
		return;
	ev_signal_stop(sig->loop->ev, &sig->w);
	free(sig);
}

static void on_wake(struct ev_loop *ev UNUSED, ev_async *w, int revents UNUSED)
{
	struct loop_waker *waker = (struct loop_waker *)w;
	waker->cb(waker->arg);
}

struct loop_waker *loop_waker_new(struct loop *loop, void (*cb)(void *arg), void *arg)
{
	struct loop_waker *waker = NEW(struct loop_waker);
	if (!waker)
		return NULL;
	waker->loop = loop;
	waker->cb = cb;
	waker->arg = arg;
	ev_async_init(&waker->w, on_wake);
	ev_async_start(loop->ev, &waker->w);
	return waker;
}

void loop_wake(struct loop_waker *waker)
{
	ev_async_send(waker->loop->ev, &waker->w);
}

void loop_waker_free(struct loop_waker *waker)
{
	if (!waker)
		return;
	ev_async_stop(waker->loop->ev, &waker->w);
	free(waker);
}
