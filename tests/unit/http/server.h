/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A small HTTP server on a thread of its own, on loopback: it answers by the path and records when
 * each request arrived.
 *   /ok                         200 "hello"
 *   /status/N                   N; 429 and 503 with what `retry_after` says
 *   /flaky                      503 twice, then 200
 *   /slow/MS                    200 after MS
 *   /drip/MS                    200, ten bytes, each after MS
 *   /silent                     never an answer
 *   /large/N                    N bytes, chunked; /declared/N: with Content-Length
 *   /packed/N                   N zero bytes, gzip
 *   /headers                    header lines without end
 *   /drop-kept                  closes a kept connection without an answer, answers on a new one
 *   /drop                       closes without an answer, always
 *   /garbage                    what is no HTTP
 *   /redirect                   302 to /ok
 *   /echo                       200, the request's head as the body
 * It plays a proxy too: an absolute URL is answered by its path, CONNECT to refuse-N.test gets the
 * status N, and SOCKS5 (user "u", password "p", or none) leads to itself but to closed.test, which
 * it cannot reach, and to forbidden.test, which it will not.
 */
#include <stddef.h>
#include <stdint.h>

struct server;
struct server *server_start(void);
void server_stop(struct server *server);
int server_port(const struct server *server);
void server_set_retry_after(struct server *server, const char *value);
/** Requests that arrived so far. */
size_t server_count(struct server *server);
/** The last request's head, or "SOCKS USER:PASSWORD@HOST:PORT". */
void server_last_head(struct server *server, char *dst, size_t size);
/** CLOCK_MONOTONIC ms of the arrival of request i. */
int64_t server_arrival_ms(struct server *server, size_t i);
/** Most requests that were being answered at the same time. */
int server_most_active(struct server *server);
