/* SPDX-License-Identifier: MIT */
#include "monitor/server.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "log/log.h"
#include "loop/loop.h"
#include "monitor/health.h"
#include "monitor/metrics.h"
#include "monitor/monitor.h"
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RETRY_MS = 2000, CONNECTIONS = 256, IDLE_SECONDS = 30, HEAD_BYTES = 16384 };

struct server {
	struct monitor *monitor;
	struct MHD_Daemon *daemon;
	struct loop_io *io;
	struct loop_timer *timer; /* MHD's own deadlines; while not listening: the next try */
	char wanted[80], address[80];
};

static void turn(struct server *s);
static void try_listen(struct server *s);

static void on_io(void *arg, int fd UNUSED, unsigned events UNUSED)
{
	turn(arg);
}

static void on_timer(void *arg)
{
	struct server *s = arg;
	if (s->daemon)
		turn(s);
	else
		try_listen(s);
}

struct server *server_new(struct monitor *m)
{
	struct server *s = NEW(struct server);
	if (!s)
		return NULL;
	s->monitor = m;
	s->timer = loop_timer_new(m->loop, on_timer, s);
	if (!s->timer) {
		free(s);
		return NULL;
	}
	return s;
}

static void shut(struct server *s)
{
	loop_io_free(s->io);
	s->io = NULL;
	if (s->daemon)
		MHD_stop_daemon(s->daemon);
	s->daemon = NULL;
	s->address[0] = '\0';
	loop_timer_stop(s->timer);
}

void server_free(struct server *s)
{
	if (!s)
		return;
	shut(s);
	loop_timer_free(s->timer);
	free(s);
}

const char *server_address(const struct server *s)
{
	return s && s->address[0] ? s->address : NULL;
}

/* The epoll descriptor is edge-triggered inside: after each run the next deadline is asked for, or
 * clients hang. */
static void turn(struct server *s)
{
	MHD_UNSIGNED_LONG_LONG ms;
	MHD_run(s->daemon);
	if (MHD_get_timeout(s->daemon, &ms) == MHD_YES)
		loop_timer_start(s->timer, (int64_t)MIN(ms, (MHD_UNSIGNED_LONG_LONG)60000));
	else
		loop_timer_stop(s->timer);
}

/* ---- requests ---- */

/* The port of a Host header is its scheme's when it has none; "[::1]" ends with its bracket. */
static bool same_host(const char *host, const char *name, size_t name_len, const char *port)
{
	size_t len = strlen(host);
	if (len < name_len || strncasecmp(host, name, name_len) != 0)
		return false;
	return str_eq(host + name_len, port) || (len == name_len && str_eq(port, ":80"));
}

bool server_is_our_host(const char *address, const char *host)
{
	const char *port = strrchr(address, ':');
	if (!host || !port)
		return false;
	return same_host(host, address, (size_t)(port - address), port) ||
	       same_host(host, "localhost", strlen("localhost"), port);
}

static enum MHD_Result respond(
	struct MHD_Connection *c, unsigned status, const char *type, const struct buf *body)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(
		body->len, (void *)(uintptr_t)buf_str(body), MHD_RESPMEM_MUST_COPY);
	if (!r)
		return MHD_NO;
	MHD_add_response_header(r, "Content-Type", type);
	MHD_add_response_header(r, "Cache-Control", "no-store");
	MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, "Allow", "GET, HEAD");
	enum MHD_Result rc = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return rc;
}

static enum MHD_Result plain(struct MHD_Connection *c, unsigned status, const char *text)
{
	CLEANUP(buf_finish) struct buf body = BUF_INIT;
	buf_add_str(&body, text);
	return respond(c, status, "text/plain; charset=utf-8", &body);
}

static enum MHD_Result serve(struct server *s, struct MHD_Connection *c, const char *path)
{
	CLEANUP(buf_finish) struct buf body = BUF_INIT;
	struct monitor *m = s->monitor;
	if (str_eq(path, "/livez"))
		return plain(c, MHD_HTTP_OK, "ok\n");
	monitor_watched(m);
	if (str_eq(path, "/readyz")) {
		if (health_ready(m, &body))
			return plain(c, MHD_HTTP_OK, "ok\n");
		return respond(c, MHD_HTTP_SERVICE_UNAVAILABLE, "text/plain; charset=utf-8", &body);
	}
	if (str_eq(path, "/health")) {
		health_short(m, &body);
		return respond(c,
			health_level(m) == HEALTH_CRITICAL ? MHD_HTTP_SERVICE_UNAVAILABLE
							   : MHD_HTTP_OK,
			"application/health+json", &body);
	}
	if (str_eq(path, "/metrics")) {
		metrics_text(m, &body);
		return respond(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", &body);
	}
	return plain(c, MHD_HTTP_NOT_FOUND, "There are /health, /livez, /readyz and /metrics.\n");
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *path,
	const char *method, const char *version UNUSED, const char *upload UNUSED,
	size_t *upload_size, void **state)
{
	static int seen;
	struct server *s = cls;
	/* The first call only marks the request: an answer at once would close each connection. */
	if (!*state) {
		*state = &seen;
		return MHD_YES;
	}
	if (*upload_size) {
		*upload_size = 0;
		return MHD_YES;
	}
	if (!server_is_our_host(
		    s->address, MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host")))
		return plain(c, 421,
			"This is drover on a loopback address; the Host header names another.\n");
	if (!str_eq(method, "GET") && !str_eq(method, "HEAD"))
		return plain(c, MHD_HTTP_METHOD_NOT_ALLOWED,
			"Read only: what changes something goes over the control socket.\n");
	return serve(s, c, path);
}

static void on_mhd_log(void *cls UNUSED, const char *fmt UNUSED, va_list ap UNUSED)
{
	/* Clients that vanish are no news. */
}

/* ---- listening ---- */

static bool parse(const char *listen_at, struct sockaddr_storage *out, socklen_t *len)
{
	char host[64];
	int64_t port;
	const char *colon = strrchr(listen_at, ':');
	if (!colon || (size_t)(colon - listen_at) >= sizeof(host) ||
		str_to_i64(colon + 1, 0, 65535, &port) < 0)
		return false;
	memcpy(host, listen_at, (size_t)(colon - listen_at));
	host[colon - listen_at] = '\0';
	memset(out, 0, sizeof(*out));
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		*v6 = (struct sockaddr_in6) { .sin6_family = AF_INET6,
			.sin6_port = htons((uint16_t)port) };
		*len = sizeof(*v6);
		return inet_pton(AF_INET6, host + 1, &v6->sin6_addr) == 1;
	}
	*v4 = (struct sockaddr_in) { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	*len = sizeof(*v4);
	return inet_pton(AF_INET, str_eq(host, "localhost") ? "127.0.0.1" : host, &v4->sin_addr) ==
	       1;
}

static int open_socket(struct server *s)
{
	struct sockaddr_storage at;
	socklen_t len;
	int one = 1;
	char host[INET6_ADDRSTRLEN];
	if (!parse(s->wanted, &at, &len))
		return -EINVAL;
	int fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -errno;
	/* A restarted monitor gets its port back at once. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, len) == -1 || listen(fd, 128) == -1 ||
		getsockname(fd, (struct sockaddr *)&at, &len) == -1) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	if (at.ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&at;
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
		snprintf(s->address, sizeof(s->address), "[%s]:%u", host, ntohs(v6->sin6_port));
	} else {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)&at;
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
		snprintf(s->address, sizeof(s->address), "%s:%u", host, ntohs(v4->sin_port));
	}
	return fd;
}

static void try_listen(struct server *s)
{
	int fd = open_socket(s);
	if (fd < 0) {
		log_error(MAIN, "http_not_listening", KV_STR("detail", s->wanted),
			KV_STR("error", strerror(-fd)));
		loop_timer_start(s->timer, RETRY_MS);
		return;
	}
	s->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request,
		s, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES, MHD_OPTION_EXTERNAL_LOGGER,
		on_mhd_log, NULL, MHD_OPTION_END);
	const union MHD_DaemonInfo *info =
		s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
	s->io = info ? loop_io_new(s->monitor->loop, info->epoll_fd, LOOP_READ, on_io, s) : NULL;
	if (!s->io) {
		if (!s->daemon)
			close(fd);
		shut(s);
		loop_timer_start(s->timer, RETRY_MS);
		return;
	}
	log_info(MAIN, "http_listening", KV_STR("detail", s->address));
	turn(s);
}

void server_listen(struct server *s, const char *listen_at)
{
	if (str_eq(s->wanted, listen_at))
		return;
	shut(s);
	str_copy(s->wanted, sizeof(s->wanted), listen_at);
	try_listen(s);
}
