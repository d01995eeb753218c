/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What bounds a call beside the limits of its provider: calls at a time to one host, whoever makes
 * them, over all processes (a set of the shared file), and connections of one name in this process.
 */
#include "base/compiler.h"
#include "limit/limit.h"
#include "url/url.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch_host {
	const char *key; /* as url_host_key() writes it */
	int64_t most;	 /* calls at a time */
};
struct fetch_places {
	const struct fetch_host *hosts;
	size_t host_count;
	int64_t per_host; /* at any host, beside what is said of it above; 0: no bound */
	const char *pool; /* whose connections they are; NULL: not counted */
	int64_t total;	  /* calls of the pool at a time in this process; 0: no bound */
};

/* The set of one host; spec borrows from the rest. */
struct host_set {
	char key[URL_HOST_KEY_MAX + 8];
	struct limit_window window;
	struct limit_spec spec;
};
/** @return false: its host has no bound */
bool host_set_of(struct host_set *set, const struct fetch_places *places, const char *url);

/* Calls of one name that are under way in this process. */
struct pool;
/** The pool of that name, made when it is not there; for pool_leave(). NULL: no memory. */
struct pool *pool_enter(struct pool **pools, const char *name);
void pool_leave(struct pool **pools, struct pool *pool); /* NULL is fine */
size_t pool_used(const struct pool *pool);
void pool_use(struct pool *pool, int change);
