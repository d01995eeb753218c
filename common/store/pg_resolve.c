/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo() on a thread of its own: PQconnectStart() would do it on the loop, and a name server
 * that is away costs seconds.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "loop/aside.h"
#include "store/pg_engine.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOSTS_MAX = 16, ADDRESSES_MAX = 8 /* of a host */, ADDRESS_SIZE = 64 /* with its scope */ };

struct pg_resolver {
	struct pg_conn *conn;
	struct loop_aside *aside;
	char *hosts, *ports; /* ports: NULL, or as many as hosts */
	struct buf found_hosts, found_ports, addresses;
	size_t found;
	char error[256];
};

static void resolver_free(void *job)
{
	struct pg_resolver *r = job;
	buf_finish(&r->found_hosts);
	buf_finish(&r->found_ports);
	buf_finish(&r->addresses);
	free(r->hosts);
	free(r->ports);
	free(r);
}

static bool needs_look_up(const char *host)
{
	unsigned char address[16];
	return *host && *host != '/' && *host != '@' && inet_pton(AF_INET, host, address) != 1 &&
	       inet_pton(AF_INET6, host, address) != 1;
}

/* libpq wants as many hosts and ports as addresses. */
static void add(struct pg_resolver *r, const char *host, const char *port, const char *address)
{
	const char *comma = r->found++ ? "," : "";
	buf_addf(&r->found_hosts, "%s%s", comma, host);
	buf_addf(&r->found_ports, "%s%s", comma, port);
	buf_addf(&r->addresses, "%s%s", comma, address);
}

/* All of its addresses: a server may listen at one family's only. */
static bool look_up(struct pg_resolver *r, const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found = NULL;
	char address[ADDRESS_SIZE];
	int count = 0;
	if (!needs_look_up(host)) {
		add(r, host, port, *host == '/' || *host == '@' ? "" : host);
		return true;
	}
	int rc = getaddrinfo(host, NULL, &hints, &found);
	for (struct addrinfo *a = rc == 0 ? found : NULL; a && count < ADDRESSES_MAX;
		a = a->ai_next) {
		if (getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address), NULL, 0,
			    NI_NUMERICHOST) != 0)
			continue;
		add(r, host, port, address);
		count++;
	}
	if (rc == 0)
		freeaddrinfo(found);
	if (count == 0)
		snprintf(r->error, sizeof(r->error), "PostgreSQL: the address of host %s: %s", host,
			rc ? gai_strerror(rc) : "none");
	return count > 0;
}

static void look_up_all(void *job)
{
	struct pg_resolver *r = job;
	bool ok = true;
	char *rest = r->hosts, *ports = r->ports;
	while (ok && rest) {
		const char *port = ports ? strsep(&ports, ",") : "";
		ok = look_up(r, strsep(&rest, ","), port);
	}
}

static void on_finished(void *arg)
{
	struct pg_resolver *r = arg;
	pg_conn_resolved(r->conn);
}

static size_t places(const char *list)
{
	size_t count = 1;
	for (; *list; list++)
		count += *list == ',';
	return count;
}

struct pg_resolver *pg_resolve(
	struct pg_conn *c, const char *hosts, const char *ports, bool *failed)
{
	CLEANUP(freep) char *list = strdup(hosts);
	bool needed = false;
	*failed = !list;
	for (char *rest = list; rest;)
		needed = needs_look_up(strsep(&rest, ",")) || needed;
	/* A single port is of all hosts. */
	bool paired = ports && places(ports) > 1;
	if (!needed || (paired && places(ports) != places(hosts)))
		return NULL;
	struct pg_resolver *r = NEW(struct pg_resolver);
	*failed = true;
	if (!r)
		return NULL;
	r->conn = c;
	r->hosts = strdup(hosts);
	r->ports = paired ? strdup(ports) : NULL;
	r->addresses.max = (size_t)HOSTS_MAX * ADDRESSES_MAX * ADDRESS_SIZE;
	if (r->hosts && (r->ports || !paired))
		r->aside = loop_aside_start(
			c->engine->loop, look_up_all, r, resolver_free, on_finished, r);
	if (!r->aside) {
		resolver_free(r);
		return NULL;
	}
	*failed = false;
	return r;
}

void pg_addresses_finish(struct pg_addresses *a)
{
	free(a->hosts);
	free(a->addresses);
	free(a->ports);
	*a = (struct pg_addresses) { 0 };
}

/* Of places separated by commas, those before the n-th (which is there) become the last. */
static bool turn(char **list, size_t n)
{
	char *at = *list, *turned = NULL;
	for (; at && n > 0; n--)
		at = strchr(at, ',') + 1;
	if (!at || at == *list)
		return true;
	at[-1] = '\0';
	if (asprintf(&turned, "%s,%s", at, *list) < 0)
		return false;
	free(*list);
	*list = turned;
	return true;
}

static bool take(struct pg_resolver *r, size_t first, struct pg_addresses *out)
{
	if (buf_failed(&r->found_hosts) || buf_failed(&r->found_ports) || buf_failed(&r->addresses))
		return false;
	*out = (struct pg_addresses) { .hosts = strdup(buf_str(&r->found_hosts)),
		.addresses = strdup(buf_str(&r->addresses)),
		.ports = r->ports ? strdup(buf_str(&r->found_ports)) : NULL };
	bool all = out->hosts && out->addresses && (out->ports || !r->ports);
	first = all ? first % places(out->addresses) : 0;
	if (all && turn(&out->hosts, first) && turn(&out->addresses, first) &&
		turn(&out->ports, first))
		return true;
	pg_addresses_finish(out);
	return false;
}

bool pg_resolve_take(
	struct pg_resolver *r, size_t first, struct pg_addresses *out, char *error, size_t size)
{
	loop_aside_take(r->aside);
	bool ok = !r->error[0] && take(r, first, out);
	if (!ok)
		snprintf(error, size, "%s", r->error[0] ? r->error : "out of memory");
	resolver_free(r);
	return ok;
}

void pg_resolve_forget(struct pg_resolver *r)
{
	loop_aside_forget(r->aside);
}
