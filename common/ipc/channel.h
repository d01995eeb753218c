/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One end of a SOCK_SEQPACKET connection on the loop: whole messages with descriptors, in both
 * directions. Sending never blocks: what the socket does not take waits in a bounded queue.
 */
#include "ipc/messages.h"
#include <stdbool.h>
#include <stddef.h>

struct channel;
struct loop;

struct channel_ops {
	/** One decoded message; lives until the handler returns. The handler may call
	 * channel_free(). */
	void (*message)(void *arg, struct message *m);
	/** The peer is gone (why is NULL) or broke the protocol, or the queue overflowed (why says
	 * so). Called once, last. */
	void (*closed)(void *arg, const char *why);
};

enum { CHANNEL_QUEUE_BYTES = 4 * 1024 * 1024 };

/**
 * @param fd   takes it (also on failure): a connected SOCK_SEQPACKET socket
 * @param incoming  which messages this end may receive; FROM_CLIENT: descriptors are refused, a
 * message with some closes the channel
 * @return 0, -ENOMEM
 */
int channel_new(struct channel **out, struct loop *loop, int fd, enum message_direction incoming,
	const struct channel_ops *ops, void *arg) MUST_CHECK;
/** Closes the socket; nothing is called afterwards. NULL is fine. */
void channel_free(struct channel *channel);
/**
 * Sends or queues one message. `fds` are duplicated when they have to wait; the caller keeps its
 * own.
 * @return 0; -EPIPE the peer is gone (closed() follows or has been called); -ENOBUFS queue full;
 * -EMSGSIZE; -ENOMEM
 */
int channel_send(struct channel *channel, enum message_id id, const void *body, const int *fds,
	size_t fd_count);
/** Bytes that wait to be sent. */
size_t channel_queued(const struct channel *channel);
/**
 * Blocks until all is sent, for who has no running loop yet.
 * @return whether nothing waits any more; false too when the peer is gone
 */
bool channel_flush(struct channel *channel, int64_t timeout_ms);
/** Stops reading, or goes on: back pressure on a client that does not read its answers. */
void channel_pause(struct channel *channel, bool paused);
/** Uid of the peer at the time of connect (SO_PEERCRED); (unsigned)-1 when unknown. */
unsigned channel_peer_uid(const struct channel *channel);
unsigned channel_peer_gid(const struct channel *channel);
/** A connected pair, both close-on-exec and non-blocking. @return 0 or negative errno */
int channel_pair(int fds[2]) MUST_CHECK;
