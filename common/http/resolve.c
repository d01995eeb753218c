/* SPDX-License-Identifier: MIT */
#include "http/resolve.h"

#include "base/buf.h"
#include "base/mem.h"
#include "loop/aside.h"
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { ADDRESSES_MAX = 16, ADDRESS_SIZE = 64 /* with its scope */ };

struct resolver {
	struct loop_aside *aside;
	char *name;
	struct buf addresses;
	const char *problem; /* of gai_strerror() */
};

static void resolver_free(void *job)
{
	struct resolver *r = job;
	buf_finish(&r->addresses);
	free(r->name);
	free(r);
}

static void look_up(void *job)
{
	struct resolver *r = job;
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

struct resolver *resolver_start(
	struct loop *loop, const char *name, void (*done)(void *arg), void *arg)
{
	struct resolver *r = NEW(struct resolver);
	if (!r)
		return NULL;
	r->addresses.max = (size_t)ADDRESSES_MAX * ADDRESS_SIZE;
	r->name = strdup(name);
	r->aside = r->name ? loop_aside_start(loop, look_up, r, resolver_free, done, arg) : NULL;
	if (r->aside)
		return r;
	resolver_free(r);
	return NULL;
}

bool resolver_take(struct resolver *r, char **addresses, char *error, size_t size)
{
	loop_aside_take(r->aside);
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
	if (r)
		loop_aside_forget(r->aside);
}
