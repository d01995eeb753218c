/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The HTTP endpoint: libmicrohttpd with its epoll descriptor on our loop. Read only: GET and HEAD.
 * The Host header must name the loopback address it listens on (DNS rebinding).
 */
#include <stdbool.h>

struct monitor;
struct server;

struct server *server_new(struct monitor *m); /* NULL: out of memory */
void server_free(struct server *s);
/** Listens there from now on; keeps trying when the port is taken. `listen` is "ADDRESS:PORT",
 * checked by config. */
void server_listen(struct server *s, const char *listen);
/** "127.0.0.1:8470" with the true port; NULL while it does not listen. */
const char *server_address(const struct server *s);
/**
 * The Host header of a request names the address we listen on, or localhost with its port (which
 * port 80 may leave out). NULL: absent, which only HTTP/1.0 does and no browser.
 */
bool server_is_our_host(const char *address, const char *host);
