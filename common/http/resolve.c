/* SPDX-License-Identifier: MIT */
#include "http/resolve.h"

#include "base/buf.h"
#include "base/mem.h"
#include "loop/loop.h"
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { ADDRESSES_MAX = 16, ADDRESS_SIZE = 64 /* with its scope */ };

struct resolver {
	struct loop_waker *waker;
	char *name;
	pthread_mutex_t mutex;
	bool finished, forgotten; /* under mutex; whoever comes second frees */
	/* of the thread until it has finished */
	struct buf addresses;
	const char *problem; /* of gai_strerror() */
};

static void resolver_free(struct resolver *r)
{
	pthread_mutex_destroy(&r->mutex);
	buf_finish(&r->addresses);
	free(r->name);
	free(r);
}

static void look_up(struct resolver *r)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char address[ADDRESS_SIZE];
	int count = 0, rc = getaddrinfo(r->name, NULL, &hints, &found);
	if (rc != 0) {
		r->problem = gai_strerror(rc);
		return;
	}
	for (struct addrinfo *a = found; a && count < ADDRESSES_MAX; a = a->ai_next) {
		bool v6 = a->ai_family == AF_INET6;
		if ((!v6 && a->ai_family != AF_INET) ||
			getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address), NULL, 0,
				NI_NUMERICHOST) != 0)
			continue;
		buf_addf(&r->addresses, v6 ? "%s[%s]" : "%s%s", count++ ? "," : "", address);
	}
	freeaddrinfo(found);
	if (!count)
		r->problem = "no address";
}

static void *thread_main(void *arg)
{
	struct resolver *r = arg;
	look_up(r);
	pthread_mutex_lock(&r->mutex);
	r->finished = true;
	bool alone = r->forgotten;
	if (!alone)
		loop_wake(r->waker);
	pthread_mutex_unlock(&r->mutex);
	if (alone)
		resolver_free(r);
	return NULL;
}

static bool start(struct resolver *r)
{
	pthread_t thread;
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&thread, NULL, thread_main, r);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pthread_detach(thread);
	return rc == 0;
}

struct resolver *resolver_start(
	struct loop *loop, const char *name, void (*done)(void *arg), void *arg)
{
	struct resolver *r = NEW(struct resolver);
	if (!r)
		return NULL;
	pthread_mutex_init(&r->mutex, NULL);
	r->addresses.max = (size_t)ADDRESSES_MAX * ADDRESS_SIZE;
	r->name = strdup(name);
	r->waker = loop_waker_new(loop, done, arg);
	if (r->name && r->waker && start(r))
		return r;
	loop_waker_free(r->waker);
	resolver_free(r);
	return NULL;
}

bool resolver_take(struct resolver *r, char **addresses, char *error, size_t size)
{
	/* The thread woke us with the lock held: it has let go of r when we have it. */
	pthread_mutex_lock(&r->mutex);
	pthread_mutex_unlock(&r->mutex);
	loop_waker_free(r->waker);
	*addresses = r->problem ? NULL : strdup(buf_str(&r->addresses));
	bool ok = *addresses && !buf_failed(&r->addresses);
	if (!ok) {
		free(*addresses);
		*addresses = NULL;
		snprintf(error, size, "%s", r->problem ? r->problem : "out of memory");
	}
	resolver_free(r);
	return ok;
}

void resolver_forget(struct resolver *r)
{
	if (!r)
		return;
	pthread_mutex_lock(&r->mutex);
	r->forgotten = true;
	bool alone = r->finished;
	loop_waker_free(r->waker);
	pthread_mutex_unlock(&r->mutex);
	if (alone)
		resolver_free(r);
}
