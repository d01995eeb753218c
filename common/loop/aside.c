/* SPDX-License-Identifier: MIT */
#include "loop/aside.h"

#include "base/mem.h"
#include "loop/loop.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct loop_aside {
	struct loop_waker *waker;
	void (*work)(void *job);
	void (*release)(void *job);
	void *job;
	pthread_mutex_t mutex;
	bool finished, forgotten; /* under mutex; whoever comes second frees */
};

static void aside_free(struct loop_aside *a)
{
	pthread_mutex_destroy(&a->mutex);
	free(a);
}

static void release(struct loop_aside *a)
{
	a->release(a->job);
	aside_free(a);
}

static void *thread_main(void *arg)
{
	struct loop_aside *a = arg;
	a->work(a->job);
	pthread_mutex_lock(&a->mutex);
	a->finished = true;
	bool alone = a->forgotten;
	if (!alone)
		loop_wake(a->waker);
	pthread_mutex_unlock(&a->mutex);
	if (alone)
		release(a);
	return NULL;
}

static bool start(struct loop_aside *a)
{
	pthread_t thread;
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&thread, NULL, thread_main, a);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pthread_detach(thread);
	return rc == 0;
}

struct loop_aside *loop_aside_start(struct loop *loop, void (*work)(void *job), void *job,
	void (*release_job)(void *job), void (*done)(void *arg), void *arg)
{
	struct loop_aside *a = NEW(struct loop_aside);
	if (!a)
		return NULL;
	*a = (struct loop_aside) { .work = work, .job = job, .release = release_job };
	pthread_mutex_init(&a->mutex, NULL);
	a->waker = loop_waker_new(loop, done, arg);
	if (a->waker && start(a))
		return a;
	loop_waker_free(a->waker);
	aside_free(a);
	return NULL;
}

void loop_aside_take(struct loop_aside *a)
{
	/* The thread woke us with the lock held: it has let go of it when we have it. */
	pthread_mutex_lock(&a->mutex);
	pthread_mutex_unlock(&a->mutex);
	loop_waker_free(a->waker);
	aside_free(a);
}

void loop_aside_forget(struct loop_aside *a)
{
	if (!a)
		return;
	pthread_mutex_lock(&a->mutex);
	a->forgotten = true;
	bool alone = a->finished;
	loop_waker_free(a->waker);
	pthread_mutex_unlock(&a->mutex);
	if (alone)
		release(a);
}
