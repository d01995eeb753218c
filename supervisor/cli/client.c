/* SPDX-License-Identifier: MIT */
#include "client.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "ipc/control.h"
#include "ipc/messages.h"
#include "where.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PAGES_MAX = 8192, TICK_MS = 250 };

struct client {
	int fd;
	char data[MESSAGE_MAX];
};

struct client *client_from_fd(int fd)
{
	struct client *c = malloc(sizeof(*c));
	if (c)
		c->fd = fd;
	else
		close(fd);
	return c;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	close(client->fd);
	free(client);
}

static int connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	str_copy(address.sun_path, sizeof(address.sun_path), path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == -1) {
		int rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

/* Nobody answers at any of them: which sockets were tried, and what starts a supervisor there. */
static int not_running(char paths[SOCKET_CANDIDATES][PATH_MAX], int n, struct err *err)
{
	const char *at = paths[0];
	if (n == 2)
		return err_set(err, -ECONNREFUSED,
			"no supervisor answers at %s or %s. Start it: sudo systemctl start drover, "
			"or in a terminal: "
			"drover up",
			at, paths[1]);
	const char *tail = strstr(at, "/control.sock");
	if (str_eq(at, "/run/drover/control.sock"))
		return err_set(err, -ECONNREFUSED,
			"no supervisor answers at %s. Start it: sudo systemctl start drover, or in "
			"a terminal: drover up",
			at);
	if (tail && tail[strlen("/control.sock")] == '\0' && tail > at)
		return err_set(err, -ECONNREFUSED,
			"no supervisor answers at %s. Start it: drover up --runtime-dir %.*s", at,
			(int)(tail - at), at);
	return err_set(err, -ECONNREFUSED,
		"no supervisor answers at %s. Start one with: drover up (its socket is "
		"control.sock in its runtime folder)",
		at);
}

int client_connect(struct client **out, const char *socket_option, struct err *err)
{
	char paths[SOCKET_CANDIDATES][PATH_MAX];
	int n = where_sockets(paths, socket_option, err);
	if (n < 0)
		return n;
	int denied = -1;
	for (int i = 0; i < n; i++) {
		int fd = connect_to(paths[i]);
		if (fd >= 0) {
			*out = client_from_fd(fd);
			return *out ? 0 : err_set(err, -ENOMEM, "out of memory");
		}
		if (fd == -EACCES || fd == -EPERM)
			denied = denied < 0 ? i : denied;
		else if (fd != -ENOENT && fd != -ECONNREFUSED && fd != -ENOTDIR)
			return err_sys(err, fd, "connect to %s", paths[i]);
	}
	if (denied >= 0)
		return err_set(err, -EACCES,
			"not permitted to talk to the supervisor at %s: root, its user and its "
			"group may",
			paths[denied]);
	return not_running(paths, n, err);
}

static int send_request(struct client *c, const struct client_question *q, struct err *err)
{
	struct msg_request body = {
		.version = CONTROL_VERSION,
		.verb = q->verb,
		.args = { q->args ? q->args : "", q->args ? strlen(q->args) : 0 },
	};
	struct buf packet = BUF_INIT;
	int rc = message_encode(&packet, MSG_REQUEST, &body);
	if (rc < 0) {
		buf_finish(&packet);
		return err_set(err, rc, "the question is too long");
	}
	ssize_t n;
	do
		n = send(c->fd, packet.data, packet.len, MSG_NOSIGNAL);
	while (n == -1 && errno == EINTR);
	int failed = errno;
	buf_finish(&packet);
	return n == -1 ? err_sys(err, failed == EPIPE || failed == ECONNRESET ? -EPIPE : -failed,
				 "ask the supervisor")
		       : 0;
}

/* Waits until there is something to read. */
static int wait_readable(
	struct client *c, const struct client_question *q, int64_t started_ms, struct err *err)
{
	int64_t page_started_ms = clock_mono_ms();
	for (;;) {
		struct pollfd p = { .fd = c->fd, .events = POLLIN };
		int n = poll(&p, 1, TICK_MS);
		if (n > 0)
			return 0;
		if (n == -1 && errno != EINTR)
			return err_sys(err, -errno, "wait for the supervisor");
		int64_t now = clock_mono_ms();
		if (q->timeout_ms && now - page_started_ms >= q->timeout_ms)
			return err_set(err, -ETIMEDOUT,
				"the supervisor has not answered within %lld s",
				(long long)(q->timeout_ms / 1000));
		if (q->tick)
			q->tick(q->arg, now - started_ms);
	}
}

static int receive(struct client *c, struct message *m, struct err *err)
{
	ssize_t n;
	do
		n = recv(c->fd, c->data, sizeof(c->data), 0);
	while (n == -1 && errno == EINTR);
	if (n == 0 || (n == -1 && errno == ECONNRESET))
		return err_set(err, -EPIPE, "the supervisor closed the connection");
	if (n == -1)
		return err_sys(err, -errno, "read from the supervisor");
	return message_decode(m, c->data, (size_t)n, TO_CLIENT, err);
}

static int join(json_t *answer, json_t *page)
{
	const char *key;
	json_t *value;
	json_object_foreach(page, key, value)
	{
		json_t *have = json_object_get(answer, key);
		int rc = json_is_array(have) && json_is_array(value)
				 ? json_array_extend(have, value)
				 : json_object_set(answer, key, value);
		if (rc < 0)
			return -ENOMEM;
	}
	return 0;
}

static int add_page(json_t *answer, const struct msg_page *page, struct err *err)
{
	if (page->json.len == 0)
		return 0;
	json_error_t why;
	json_t *object = json_loadb(page->json.data, page->json.len, JSON_REJECT_DUPLICATES, &why);
	if (!json_is_object(object)) {
		json_decref(object);
		return err_set(err, -EPROTO, "the answer is no JSON object: %s",
			object ? "something else" : why.text);
	}
	int rc = join(answer, object);
	json_decref(object);
	return rc < 0 ? err_set(err, rc, "out of memory") : 0;
}

int client_ask(struct client *c, const struct client_question *q, json_t **out, int *exit_code,
	struct err *err)
{
	int rc = send_request(c, q, err);
	if (rc < 0)
		return rc;
	json_t *answer = json_object();
	int64_t started_ms = clock_mono_ms();
	rc = answer ? 0 : err_set(err, -ENOMEM, "out of memory");
	for (int pages = 0; rc == 0; pages++) {
		struct message m;
		if (pages == PAGES_MAX)
			rc = err_set(err, -EPROTO, "the answer has no end");
		if (rc == 0)
			rc = wait_readable(c, q, started_ms, err);
		if (rc == 0)
			rc = receive(c, &m, err);
		if (rc == 0)
			rc = add_page(answer, &m.body.page, err);
		if (rc == 0 && m.body.page.last) {
			*exit_code = (int)m.body.page.exit_code;
			*out = answer;
			return 0;
		}
	}
	json_decref(answer);
	return rc;
}
