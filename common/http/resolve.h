/* SPDX-License-Identifier: MIT */
#pragma once
/* getaddrinfo() on a thread that lives for one look-up: a name server that is away costs seconds,
 * which the loop must not wait for. Private to common/http. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct loop;
struct resolver;
/** Calls done(arg) on the loop when it is known. NULL: no memory, or no thread. */
struct resolver *resolver_start(
	struct loop *loop, const char *name, void (*done)(void *arg), void *arg) MUST_CHECK;
/**
 * What was found, after done(); the resolver is gone.
 * @param addresses  "192.0.2.1,[2001:db8::1]", the caller's
 * @return false: words in error
 */
bool resolver_take(struct resolver *resolver, char **addresses, char *error, size_t size);
/** Nobody waits for it any more; never blocks. NULL is fine. */
void resolver_forget(struct resolver *resolver);
