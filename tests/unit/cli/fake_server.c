/* SPDX-License-Identifier: MIT */
#include "cli/fake_server.h"

#include "base/buf.h"
#include "base/str.h"
#include "ipc/messages.h"
#include "unit.h"
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { QUESTIONS_MAX = 32, PATIENCE_MS = 5000, PAUSE_US = 300000 };

struct fake_server {
	char dir[64], path[96];
	const struct fake_answer *script;
	pthread_t thread;
	int listener;
	char args[QUESTIONS_MAX][512];
	char wrong[256]; /* what went otherwise than the script says */
};

static void begin_listening(struct fake_server *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	str_copy(address.sun_path, sizeof(address.sun_path), s->path);
	s->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_not_equal(s->listener, -1);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(s->listener, 8), 0);
}

static void end_listening(struct fake_server *s)
{
	close(s->listener);
	unlink(s->path);
}

static bool readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	return poll(&p, 1, PATIENCE_MS) == 1;
}

static void send_page(int fd, const char *json, bool last, unsigned exit_code)
{
	struct msg_page page = {
		.last = last, .exit_code = exit_code, .json = { json, strlen(json) }
	};
	struct buf packet = BUF_INIT;
	if (message_encode(&packet, MSG_PAGE, &page) == 0)
		(void)!send(fd, packet.data, packet.len, MSG_NOSIGNAL);
	buf_finish(&packet);
}

/* One question; false when the client has gone. */
static bool take_question(struct fake_server *s, int fd, size_t n)
{
	static _Thread_local char data[MESSAGE_MAX];
	const struct fake_answer *a = &s->script[n];
	struct message m;
	ssize_t len = readable(fd) ? recv(fd, data, sizeof(data), 0) : -1;
	if (len == 0)
		return false;
	if (len < 0 || message_decode(&m, data, (size_t)len, FROM_CLIENT, NULL) < 0) {
		snprintf(s->wrong, sizeof(s->wrong), "question %zu (%s) did not come", n, a->verb);
		return true;
	}
	snprintf(s->args[n], sizeof(s->args[n]), "%.*s", (int)m.body.request.args.len,
		m.body.request.args.data);
	if (!str_eq(m.body.request.verb, a->verb))
		snprintf(s->wrong, sizeof(s->wrong), "question %zu is %s, not %s", n,
			m.body.request.verb, a->verb);
	if (a->page)
		send_page(fd, a->page, !a->page2, a->page2 ? 0 : a->exit_code);
	if (a->page2)
		send_page(fd, a->page2, true, a->exit_code);
	return true;
}

static void *serve(void *arg)
{
	struct fake_server *s = arg;
	int fd = -1;
	for (size_t n = 0; s->script[n].verb && !s->wrong[0];) {
		const struct fake_answer *a = &s->script[n];
		if (fd == -1 &&
			(!readable(s->listener) || (fd = accept(s->listener, NULL, NULL)) == -1)) {
			snprintf(s->wrong, sizeof(s->wrong), "nobody came for question %zu (%s)", n,
				a->verb);
			break;
		}
		bool asked = take_question(s, fd, n);
		if (!asked || !a->page || a->hang_up || a->stop_listening) {
			close(fd);
			fd = -1;
		}
		if (asked && a->stop_listening) {
			end_listening(s);
			usleep(PAUSE_US);
			begin_listening(s);
		}
		n += asked;
	}
	if (fd != -1)
		close(fd);
	return NULL;
}

struct fake_server *fake_server_start(const struct fake_answer *script)
{
	struct fake_server *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->script = script;
	snprintf(s->dir, sizeof(s->dir), "/tmp/drover-fake-XXXXXX");
	assert_non_null(mkdtemp(s->dir));
	snprintf(s->path, sizeof(s->path), "%s/control.sock", s->dir);
	begin_listening(s);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
	return s;
}

const char *fake_server_path(const struct fake_server *s)
{
	return s->path;
}

const char *fake_server_args(const struct fake_server *s, size_t n)
{
	return n < QUESTIONS_MAX ? s->args[n] : "";
}

void fake_server_finish(struct fake_server *s)
{
	pthread_join(s->thread, NULL);
	end_listening(s);
	rmdir(s->dir);
	if (s->wrong[0])
		fail_msg("%s", s->wrong);
	free(s);
}
