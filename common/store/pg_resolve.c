/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo() on a thread of its own: PQconnectStart() would do it on the loop, and a name server
 * that is away costs seconds. The thread lives for one look-up; it shares nothing but the job.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "loop/loop.h"
#include "store/pg_engine.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { HOSTS_MAX = 16 };

struct pg_resolver {
	struct pg_conn *conn;
	struct loop_waker *waker;
	char *hosts;
	pthread_mutex_t mutex;
	bool finished, forgotten; /* under mutex; whoever comes second frees */
	struct buf addresses;	  /* of the thread until it has finished */
	char error[256];
};

static void resolver_free(struct pg_resolver *r)
{
	pthread_mutex_destroy(&r->mutex);
	buf_finish(&r->addresses);
	free(r->hosts);
	free(r);
}

static bool needs_look_up(const char *host)
{
	unsigned char address[16];
	return *host && *host != '/' && *host != '@' && inet_pton(AF_INET, host, address) != 1 &&
	       inet_pton(AF_INET6, host, address) != 1;
}

/* One address each: libpq wants as many as there are hosts. */
static bool look_up(struct pg_resolver *r, const char *host)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	char address[INET6_ADDRSTRLEN] = "";
	if (!needs_look_up(host)) {
		buf_add_str(&r->addresses, *host == '/' || *host == '@' ? "" : host);
		return true;
	}
	int rc = getaddrinfo(host, NULL, &hints, &found);
	if (rc == 0 && getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof(address),
			       NULL, 0, NI_NUMERICHOST) != 0)
		address[0] = '\0';
	if (found)
		freeaddrinfo(found);
	if (address[0]) {
		buf_add_str(&r->addresses, address);
		return true;
	}
	snprintf(r->error, sizeof(r->error), "PostgreSQL: the address of host %s: %s", host,
		rc ? gai_strerror(rc) : "none");
	return false;
}

static void *thread_main(void *arg)
{
	struct pg_resolver *r = arg;
	bool ok = true;
	char *rest = r->hosts;
	for (int n = 0; ok && rest; n++) {
		char *host = strsep(&rest, ",");
		if (n > 0)
			buf_add_char(&r->addresses, ',');
		ok = look_up(r, host);
	}
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

static void on_finished(void *arg)
{
	struct pg_resolver *r = arg;
	pg_conn_resolved(r->conn);
}

static bool start(struct pg_resolver *r)
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

struct pg_resolver *pg_resolve(struct pg_conn *c, const char *hosts, bool *failed)
{
	CLEANUP(freep) char *list = strdup(hosts);
	bool needed = false;
	*failed = !list;
	for (char *rest = list; rest;)
		needed = needs_look_up(strsep(&rest, ",")) || needed;
	if (!needed)
		return NULL;
	struct pg_resolver *r = NEW(struct pg_resolver);
	*failed = true;
	if (!r)
		return NULL;
	r->conn = c;
	r->hosts = strdup(hosts);
	r->addresses.max = (size_t)HOSTS_MAX * INET6_ADDRSTRLEN;
	pthread_mutex_init(&r->mutex, NULL);
	r->waker = loop_waker_new(c->engine->loop, on_finished, r);
	if (!r->hosts || !r->waker || !start(r)) {
		loop_waker_free(r->waker);
		resolver_free(r);
		return NULL;
	}
	*failed = false;
	return r;
}

char *pg_resolve_take(struct pg_resolver *r, char *error, size_t size)
{
	/* The thread woke us with the lock held: it has let go of r when we have it. */
	pthread_mutex_lock(&r->mutex);
	pthread_mutex_unlock(&r->mutex);
	loop_waker_free(r->waker);
	char *addresses = r->error[0] || buf_failed(&r->addresses) ? NULL
								   : strdup(buf_str(&r->addresses));
	if (!addresses)
		snprintf(error, size, "%s", r->error[0] ? r->error : "out of memory");
	resolver_free(r);
	return addresses;
}

void pg_resolve_forget(struct pg_resolver *r)
{
	pthread_mutex_lock(&r->mutex);
	r->forgotten = true;
	bool alone = r->finished;
	loop_waker_free(r->waker);
	pthread_mutex_unlock(&r->mutex);
	if (alone)
		resolver_free(r);
}
