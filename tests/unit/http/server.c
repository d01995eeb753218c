/* SPDX-License-Identifier: MIT */
#include "http/server.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { ARRIVALS = 10000, CONNECTIONS = 512 };

struct server {
	int fd, port;
	pthread_t thread;
	pthread_mutex_t mutex;
	char retry_after[64], last_head[2048];
	int64_t arrivals[ARRIVALS];
	size_t count, flaky;
	atomic_int active, most_active, running;
	atomic_bool stopping;
	int fds[CONNECTIONS];
};
struct connection {
	struct server *server;
	int fd;
	int requests;
	bool socks;
	char head[16384];
};

static int64_t now_ms(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void pause_ms(long ms)
{
	nanosleep(&(struct timespec) { ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static bool put(struct connection *c, const void *data, size_t len)
{
	for (const char *at = data; len > 0;) {
		ssize_t n = send(c->fd, at, len, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool put_text(struct connection *c, const char *text)
{
	return put(c, text, strlen(text));
}

static bool answer(struct connection *c, int status, const char *headers, const char *body)
{
	char head[512];
	snprintf(head, sizeof(head),
		"HTTP/1.1 %d X\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n",
		status, strlen(body), headers);
	return put_text(c, head) && put_text(c, body);
}

static bool status_answer(struct connection *c, int status)
{
	char headers[128] = "";
	pthread_mutex_lock(&c->server->mutex);
	if (c->server->retry_after[0])
		snprintf(headers, sizeof(headers), "Retry-After: %s\r\n", c->server->retry_after);
	pthread_mutex_unlock(&c->server->mutex);
	return answer(c, status, headers, "an error page");
}

static bool flaky(struct connection *c)
{
	pthread_mutex_lock(&c->server->mutex);
	bool good = ++c->server->flaky % 3 == 0;
	pthread_mutex_unlock(&c->server->mutex);
	return good ? answer(c, 200, "", "hello") : answer(c, 503, "", "wait");
}

static bool drip(struct connection *c, long ms)
{
	if (!put_text(c, "HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\n"))
		return false;
	for (int i = 0; i < 10; i++) {
		pause_ms(ms);
		if (!put_text(c, "x"))
			return false;
	}
	return true;
}

static bool large(struct connection *c, long n)
{
	static char block[65536];
	char line[32];
	if (!put_text(c, "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"))
		return false;
	for (long left = n; left > 0; left -= (long)sizeof(block)) {
		size_t len = left < (long)sizeof(block) ? (size_t)left : sizeof(block);
		snprintf(line, sizeof(line), "%zx\r\n", len);
		if (!put_text(c, line) || !put(c, block, len) || !put_text(c, "\r\n"))
			return false;
	}
	return put_text(c, "0\r\n\r\n");
}

static bool declared(struct connection *c, long n)
{
	char head[128];
	snprintf(head, sizeof(head), "HTTP/1.1 200 X\r\nContent-Length: %ld\r\n\r\n", n);
	char *body = calloc(1, (size_t)n + 1);
	bool ok = put_text(c, head) && put(c, body, (size_t)n);
	free(body);
	return ok;
}

static bool packed(struct connection *c, long n)
{
	z_stream z = { 0 };
	deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
	size_t room = deflateBound(&z, (uLong)n);
	char *body = malloc(room), *zeros = calloc(1, (size_t)n);
	char head[128];
	z.next_in = (Bytef *)zeros;
	z.avail_in = (uInt)n;
	z.next_out = (Bytef *)body;
	z.avail_out = (uInt)room;
	deflate(&z, Z_FINISH);
	snprintf(head, sizeof(head),
		"HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: %lu\r\n\r\n",
		z.total_out);
	bool ok = put_text(c, head) && put(c, body, z.total_out);
	deflateEnd(&z);
	free(body);
	free(zeros);
	return ok;
}

static bool endless_headers(struct connection *c)
{
	if (!put_text(c, "HTTP/1.1 200 X\r\n"))
		return false;
	while (put_text(c, "X-More: and more and more and more and more and more and more\r\n"))
		;
	return false;
}

static bool serve(struct connection *c, const char *path)
{
	const char *slash = strrchr(path, '/');
	long n = strtol(slash + 1, NULL, 10);
	if (strcmp(path, "/ok") == 0)
		return answer(c, 200, "", "hello");
	if (strncmp(path, "/status/", 8) == 0)
		return status_answer(c, (int)n);
	if (strcmp(path, "/flaky") == 0)
		return flaky(c);
	if (strncmp(path, "/slow/", 6) == 0) {
		pause_ms(n);
		return answer(c, 200, "", "hello");
	}
	if (strncmp(path, "/drip/", 6) == 0)
		return drip(c, n);
	if (strncmp(path, "/large/", 7) == 0)
		return large(c, n);
	if (strncmp(path, "/declared/", 10) == 0)
		return declared(c, n);
	if (strncmp(path, "/packed/", 8) == 0)
		return packed(c, n);
	if (strcmp(path, "/headers") == 0)
		return endless_headers(c);
	if (strcmp(path, "/drop-kept") == 0)
		return c->requests == 1 && answer(c, 200, "", "hello");
	if (strcmp(path, "/drop") == 0)
		return false;
	if (strcmp(path, "/garbage") == 0)
		return put_text(c, "this is no HTTP\r\n\r\n") && false;
	if (strcmp(path, "/redirect") == 0)
		return answer(c, 302, "Location: /ok\r\n", "");
	if (strcmp(path, "/echo") == 0)
		return answer(c, 200, "", c->head);
	while (!atomic_load(&c->server->stopping) && strcmp(path, "/silent") == 0)
		pause_ms(5);
	return false;
}

/* ---- a proxy ---- */

static bool take(struct connection *c, void *to, size_t len)
{
	return recv(c->fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

static bool take_text(struct connection *c, char *to)
{
	unsigned char len;
	memset(to, 0, 256);
	return take(c, &len, 1) && take(c, to, len);
}

static bool socks(struct connection *c)
{
	static unsigned char reply[10] = { 5, 0, 0, 1 };
	unsigned char head[4], ways[256], port[2];
	char user[256] = "", password[256] = "", host[256] = "";
	c->socks = true;
	if (!take(c, head, 2) || !take(c, ways, head[1]))
		return false;
	bool asks = memchr(ways, 2, head[1]);
	if (!put(c, asks ? "\5\2" : "\5\0", 2))
		return false;
	if (asks) {
		if (!take(c, head, 1) || !take_text(c, user) || !take_text(c, password))
			return false;
		bool good = strcmp(user, "u") == 0 && strcmp(password, "p") == 0;
		if (!put(c, good ? "\1\0" : "\1\1", 2) || !good)
			return false;
	}
	if (!take(c, head, 4) || head[3] != 3 || !take_text(c, host) || !take(c, port, 2))
		return false;
	pthread_mutex_lock(&c->server->mutex);
	snprintf(c->server->last_head, sizeof(c->server->last_head), "SOCKS %s:%s@%s:%d", user,
		password, host, port[0] << 8 | port[1]);
	pthread_mutex_unlock(&c->server->mutex);
	reply[1] = strcmp(host, "closed.test") == 0	 ? 5
		   : strcmp(host, "forbidden.test") == 0 ? 2
							 : 0;
	return put(c, reply, sizeof(reply)) && reply[1] == 0;
}

static bool connect_answer(struct connection *c, const char *target)
{
	int status = 200;
	(void)sscanf(target, "refuse-%d.test", &status);
	return answer(c, status, "", "") && status == 407;
}

static bool read_head(struct connection *c)
{
	size_t len = 0;
	char first = 0;
	if (c->requests == 0 && recv(c->fd, &first, 1, MSG_PEEK) == 1 && first == 5 && !socks(c))
		return false;
	while (len + 1 < sizeof(c->head)) {
		ssize_t n = recv(c->fd, c->head + len, 1, 0);
		if (n <= 0)
			return false;
		c->head[++len] = '\0';
		if (len >= 4 && strcmp(c->head + len - 4, "\r\n\r\n") == 0)
			return true;
	}
	return false;
}

static void arrived(struct server *s)
{
	pthread_mutex_lock(&s->mutex);
	if (s->count < ARRIVALS)
		s->arrivals[s->count++] = now_ms();
	pthread_mutex_unlock(&s->mutex);
	int active = atomic_fetch_add(&s->active, 1) + 1, most = atomic_load(&s->most_active);
	while (active > most && !atomic_compare_exchange_weak(&s->most_active, &most, active))
		;
}

static void *converse(void *arg)
{
	struct connection *c = arg;
	char path[1024];
	bool more = true;
	while (more && read_head(c)) {
		c->requests++;
		arrived(c->server);
		if (sscanf(c->head, "%*s %1023s", path) != 1)
			break;
		pthread_mutex_lock(&c->server->mutex);
		if (!c->socks)
			snprintf(c->server->last_head, sizeof(c->server->last_head), "%.2000s",
				c->head);
		pthread_mutex_unlock(&c->server->mutex);
		path[strcspn(path, "?")] = '\0';
		const char *authority = strstr(path, "://");
		const char *slash = authority ? strchr(authority + 3, '/') : path;
		more = strncmp(c->head, "CONNECT ", 8) == 0 ? connect_answer(c, path)
							    : serve(c, slash ? slash : "/");
		atomic_fetch_sub(&c->server->active, 1);
	}
	shutdown(c->fd, SHUT_RDWR);
	pthread_mutex_lock(&c->server->mutex);
	for (int i = 0; i < CONNECTIONS; i++)
		if (c->server->fds[i] == c->fd)
			c->server->fds[i] = -1;
	close(c->fd);
	pthread_mutex_unlock(&c->server->mutex);
	atomic_fetch_sub(&c->server->running, 1);
	free(c);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct server *s = arg;
	for (int fd; (fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
		struct connection *c = calloc(1, sizeof(*c));
		pthread_t thread;
		c->server = s;
		c->fd = fd;
		pthread_mutex_lock(&s->mutex);
		for (int i = 0; i < CONNECTIONS; i++)
			if (s->fds[i] == -1) {
				s->fds[i] = fd;
				break;
			}
		pthread_mutex_unlock(&s->mutex);
		atomic_fetch_add(&s->running, 1);
		pthread_create(&thread, NULL, converse, c);
		pthread_detach(thread);
	}
	return NULL;
}

struct server *server_start(void)
{
	struct server *s = calloc(1, sizeof(*s));
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(at);
	memset(s->fds, 0xff, sizeof(s->fds));
	pthread_mutex_init(&s->mutex, NULL);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(s->fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(s->fd, 128) < 0 ||
		getsockname(s->fd, (struct sockaddr *)&at, &len) < 0)
		abort();
	s->port = ntohs(at.sin_port);
	pthread_create(&s->thread, NULL, accept_all, s);
	return s;
}

void server_stop(struct server *s)
{
	atomic_store(&s->stopping, true);
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	pthread_mutex_lock(&s->mutex);
	for (int i = 0; i < CONNECTIONS; i++)
		if (s->fds[i] != -1)
			shutdown(s->fds[i], SHUT_RDWR);
	pthread_mutex_unlock(&s->mutex);
	while (atomic_load(&s->running) > 0)
		pause_ms(1);
	close(s->fd);
	free(s);
}

int server_port(const struct server *s)
{
	return s->port;
}

void server_set_retry_after(struct server *s, const char *value)
{
	pthread_mutex_lock(&s->mutex);
	snprintf(s->retry_after, sizeof(s->retry_after), "%s", value);
	pthread_mutex_unlock(&s->mutex);
}

size_t server_count(struct server *s)
{
	pthread_mutex_lock(&s->mutex);
	size_t count = s->count;
	pthread_mutex_unlock(&s->mutex);
	return count;
}

void server_last_head(struct server *s, char *dst, size_t size)
{
	pthread_mutex_lock(&s->mutex);
	snprintf(dst, size, "%s", s->last_head);
	pthread_mutex_unlock(&s->mutex);
}

int64_t server_arrival_ms(struct server *s, size_t i)
{
	pthread_mutex_lock(&s->mutex);
	int64_t at = s->arrivals[i];
	pthread_mutex_unlock(&s->mutex);
	return at;
}

int server_most_active(struct server *s)
{
	return atomic_load(&s->most_active);
}
