/* SPDX-License-Identifier: MIT */
#include "ipc/channel.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS_MAX = 8, MESSAGES_A_TURN = 64 };

struct packet {
	struct list node;
	size_t len, fd_count;
	int fds[FDS_MAX];
	char data[];
};

struct channel {
	struct loop *loop;
	int fd;
	enum message_direction incoming;
	struct channel_ops ops;
	void *arg;
	struct loop_io *io;
	struct list queue;
	size_t queued;
	bool paused, closed;
	bool *freed; /* set while a handler runs: tells the caller that channel_free() was called in
			it */
	char why[256];
	char data[MESSAGE_MAX];
};

static void on_io(void *arg, int fd, unsigned events);

int channel_pair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == -1
		       ? -errno
		       : 0;
}

int channel_new(struct channel **out, struct loop *loop, int fd, enum message_direction incoming,
	const struct channel_ops *ops, void *arg)
{
	struct channel *ch = calloc(1, sizeof(*ch));
	if (!ch) {
		close(fd);
		return -ENOMEM;
	}
	*ch = (struct channel) {
		.loop = loop, .fd = fd, .incoming = incoming, .ops = *ops, .arg = arg
	};
	list_init(&ch->queue);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ch->io = loop_io_new(loop, fd, LOOP_READ, on_io, ch);
	if (!ch->io) {
		channel_free(ch);
		return -ENOMEM;
	}
	*out = ch;
	return 0;
}

static void packet_free(struct packet *p)
{
	for (size_t i = 0; i < p->fd_count; i++)
		close(p->fds[i]);
	free(p);
}

void channel_free(struct channel *ch)
{
	if (!ch)
		return;
	if (ch->freed)
		*ch->freed = true;
	loop_io_free(ch->io);
	loop_cancel_deferred(ch->loop, ch);
	LIST_FOR_EACH_SAFE (node, &ch->queue) {
		list_remove(node);
		packet_free(LIST_ENTRY(node, struct packet, node));
	}
	close(ch->fd);
	free(ch);
}

static void report_closed(void *arg)
{
	struct channel *ch = arg;
	ch->ops.closed(ch->arg, ch->why[0] ? ch->why : NULL);
}

/* closed() is called from the loop, never from within the caller's own channel_send(). */
static void fail(struct channel *ch, const char *why)
{
	if (ch->closed)
		return;
	ch->closed = true;
	if (why)
		snprintf(ch->why, sizeof(ch->why), "%s", why);
	loop_io_set(ch->io, 0);
	loop_defer(ch->loop, report_closed, ch);
}

static ssize_t send_packet(int fd, const char *data, size_t len, const int *fds, size_t fd_count)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	if (fd_count) {
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
	}
	ssize_t n;
	do
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n == -1 && errno == EINTR);
	return n;
}

/* The peer has to read first; ETOOMANYREFS: of this user too many descriptors are on their way. */
static bool must_wait(int error)
{
	return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ETOOMANYREFS;
}

static void watch(struct channel *ch)
{
	unsigned events = (ch->paused ? 0u : (unsigned)LOOP_READ) |
			  (list_empty(&ch->queue) ? 0u : (unsigned)LOOP_WRITE);
	loop_io_set(ch->io, ch->closed ? 0 : events);
}

static int enqueue(struct channel *ch, const struct buf *data, const int *fds, size_t fd_count)
{
	if (ch->queued + data->len > CHANNEL_QUEUE_BYTES)
		return -ENOBUFS;
	struct packet *p = malloc(sizeof(*p) + data->len);
	if (!p)
		return -ENOMEM;
	p->len = data->len;
	p->fd_count = 0;
	memcpy(p->data, data->data, data->len);
	for (; p->fd_count < fd_count; p->fd_count++) {
		int copy = fcntl(fds[p->fd_count], F_DUPFD_CLOEXEC, 3);
		if (copy == -1) {
			int rc = -errno;
			packet_free(p);
			return rc;
		}
		p->fds[p->fd_count] = copy;
	}
	list_add_tail(&ch->queue, &p->node);
	ch->queued += p->len;
	watch(ch);
	return 0;
}

int channel_send(
	struct channel *ch, enum message_id id, const void *body, const int *fds, size_t fd_count)
{
	CLEANUP(buf_finish) struct buf data = BUF_INIT;
	if (ch->closed)
		return -EPIPE;
	if (fd_count > FDS_MAX)
		return -EINVAL;
	int rc = message_encode(&data, id, body);
	if (rc < 0)
		return rc;
	if (!list_empty(&ch->queue))
		return enqueue(ch, &data, fds, fd_count);
	if (send_packet(ch->fd, data.data, data.len, fds, fd_count) >= 0)
		return 0;
	if (must_wait(errno))
		return enqueue(ch, &data, fds, fd_count);
	fail(ch, errno == EPIPE || errno == ECONNRESET ? NULL : strerror(errno));
	return -EPIPE;
}

static void flush(struct channel *ch)
{
	struct packet *p;
	while ((p = LIST_FIRST(&ch->queue, struct packet, node))) {
		if (send_packet(ch->fd, p->data, p->len, p->fds, p->fd_count) == -1) {
			if (must_wait(errno))
				break;
			fail(ch, errno == EPIPE || errno == ECONNRESET ? NULL : strerror(errno));
			return;
		}
		list_remove(&p->node);
		ch->queued -= p->len;
		packet_free(p);
	}
	watch(ch);
}

bool channel_flush(struct channel *ch, int64_t timeout_ms)
{
	int64_t end_ms = clock_mono_ms() + timeout_ms;
	while (!ch->closed && !list_empty(&ch->queue)) {
		struct pollfd p = { .fd = ch->fd, .events = POLLOUT };
		int64_t left_ms = end_ms - clock_mono_ms();
		if (left_ms <= 0 || (poll(&p, 1, (int)left_ms) == -1 && errno != EINTR))
			return false;
		flush(ch);
	}
	return !ch->closed;
}

static void take_fds(struct msghdr *msg, int *fds, size_t *count)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*count < FDS_MAX)
				fds[(*count)++] = fd;
			else
				close(fd);
		}
	}
}

/* drover-log may be short of descriptors: it refuses one log then, and keeps the others. */
static bool is_cut(const struct channel *ch, const struct msghdr *msg, size_t fd_count)
{
	bool ours = ch->incoming == TO_LOGGER && fd_count < FDS_MAX;
	return msg->msg_flags & MSG_TRUNC || (msg->msg_flags & MSG_CTRUNC && !ours);
}

/* Receives one packet. @return 1 a message was handled, 0 nothing there, -1 the channel is over or
 * freed. */
static int receive(struct channel *ch)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control;
	struct iovec iov = { ch->data, sizeof(ch->data) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct message m;
	struct err err = { 0 };
	int fds[FDS_MAX];
	size_t fd_count = 0;
	/* A stranger's descriptors never become ours: to close one can take as long as its file
	 * system likes. */
	if (ch->incoming != FROM_CLIENT) {
		msg.msg_control = control.space;
		msg.msg_controllen = sizeof(control.space);
	}
	ssize_t n = recvmsg(ch->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return 0;
	if (n <= 0) {
		fail(ch, n == 0 || errno == ECONNRESET ? NULL : strerror(errno));
		return -1;
	}
	take_fds(&msg, fds, &fd_count);
	int rc = is_cut(ch, &msg, fd_count)
			 ? err_set(&err, -EPROTO,
				   "message over %d bytes or with too many descriptors",
				   MESSAGE_MAX)
			 : message_decode(&m, ch->data, (size_t)n, ch->incoming, &err);
	bool freed = false;
	if (rc == 0) {
		memcpy(m.fds, fds, sizeof(fds[0]) * fd_count);
		m.fd_count = fd_count;
		/* Reset below, before `freed` goes out of scope. */
		/* cppcheck-suppress autoVariables */
		ch->freed = &freed;
		ch->ops.message(ch->arg, &m);
		if (!freed)
			ch->freed = NULL;
		memcpy(fds, m.fds, sizeof(fds[0]) * fd_count);
	}
	for (size_t i = 0; i < fd_count; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (freed)
		return -1;
	if (rc < 0)
		fail(ch, err.text);
	return rc < 0 || ch->closed ? -1 : 1;
}

static void on_io(void *arg, int fd UNUSED, unsigned events)
{
	struct channel *ch = arg;
	if (events & LOOP_WRITE) {
		flush(ch);
		if (ch->closed)
			return;
	}
	if (!(events & LOOP_READ))
		return;
	/* Bounded: one talkative peer does not hold up the others. */
	for (int i = 0; i < MESSAGES_A_TURN && receive(ch) > 0 && !ch->paused; i++)
		;
}

size_t channel_queued(const struct channel *ch)
{
	return ch->queued;
}

void channel_pause(struct channel *ch, bool paused)
{
	ch->paused = paused;
	watch(ch);
}

static struct ucred peer(const struct channel *ch)
{
	struct ucred cred = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t len = sizeof(cred);
	if (getsockopt(ch->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1)
		cred.uid = (uid_t)-1;
	return cred;
}

unsigned channel_peer_uid(const struct channel *ch)
{
	return peer(ch).uid;
}

unsigned channel_peer_gid(const struct channel *ch)
{
	return peer(ch).gid;
}
