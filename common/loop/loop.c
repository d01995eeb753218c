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
};

struct loop_io {
	ev_io w;
	struct loop *loop;
	loop_io_cb cb;
	void *arg;
};

struct loop_timer {
	ev_timer w;
	struct loop *loop;
	int64_t due_ms;
	loop_timer_cb cb;
	void *arg;
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
	ev_check_stop(loop->ev, &loop->turn);
	ev_loop_destroy(loop->ev);
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

static void arm(struct loop_timer *timer)
{
	int64_t left_ms = MAX(timer->due_ms - timer->loop->now_ms, (int64_t)0);
	ev_timer_stop(timer->loop->ev, &timer->w);
	ev_timer_set(&timer->w, (double)left_ms / 1e3, 0);
	ev_timer_start(timer->loop->ev, &timer->w);
}

static void on_timer(struct ev_loop *ev UNUSED, ev_timer *w, int revents UNUSED)
{
	struct loop_timer *timer = (struct loop_timer *)w;
	/* libev's time of the turn is a little older than ours: never fire before loop_now_ms()
	 * says so. */
	if (timer->loop->now_ms < timer->due_ms)
		arm(timer);
	else
		timer->cb(timer->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_timer_cb cb, void *arg)
{
	struct loop_timer *timer = NEW(struct loop_timer);
	if (!timer)
		return NULL;
	timer->loop = loop;
	timer->cb = cb;
	timer->arg = arg;
	ev_timer_init(&timer->w, on_timer, 0, 0);
	return timer;
}

void loop_timer_start(struct loop_timer *timer, int64_t after_ms)
{
	/* A deadline beyond 300 years means never; the sum must not overflow. */
	const int64_t far_ms = INT64_C(10000000000000);
	timer->due_ms = loop_now_ms(timer->loop) + MIN(MAX(after_ms, (int64_t)0), far_ms);
	arm(timer);
}

void loop_timer_stop(struct loop_timer *timer)
{
	ev_timer_stop(timer->loop->ev, &timer->w);
}

bool loop_timer_armed(const struct loop_timer *timer)
{
	return ev_is_active(&timer->w);
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	ev_timer_stop(timer->loop->ev, &timer->w);
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
