/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The messages between drover's processes, from one list (messages.def, bodies.h). A packet is
 * u32 id and the body; one packet is one SOCK_SEQPACKET datagram of at most MESSAGE_MAX bytes.
 */
#include "base/compiler.h"
#include "ipc/bodies.h"
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

enum { PROTOCOL_VERSION = 2, MESSAGE_MAX = 65536, PAGE_MAX = 32768 };

enum message_direction { FROM_WORKER, TO_WORKER, TO_LOGGER, FROM_CLIENT, TO_CLIENT };

enum message_id {
#define MSG(name, id, direction, body, meaning) MSG_##name = id,
#include "ipc/messages.def"
#undef MSG
};

struct message_bytes {
	const char *data;
	size_t len;
};

#define MESSAGE_CTYPE_U32	     uint32_t
#define MESSAGE_CTYPE_U64	     uint64_t
#define MESSAGE_CTYPE_I64	     int64_t
#define MESSAGE_CTYPE_STR	     const char *
#define MESSAGE_CTYPE_BYTES	     struct message_bytes
/* struct msg_hello and so on. Pointers of a decoded body live as long as its message. */
#define MESSAGE_FIELD(S, type, name) MESSAGE_CTYPE_##type name;
#define MESSAGE_STRUCT(body)                                          \
	struct msg_##body {                                           \
		MSG_BODY_##body(MESSAGE_FIELD, body) char msg_unused; \
	};
MSG_BODIES(MESSAGE_STRUCT)

union message_body {
#define MESSAGE_MEMBER(body) struct msg_##body body;
	MSG_BODIES(MESSAGE_MEMBER)
};

struct message {
	enum message_id id;
	union message_body body;
	int fds[8]; /* received descriptors; a handler that keeps one sets its place to -1, the rest
		       are closed */
	size_t fd_count;
};

/** Appends the packet for `id` with the body `body` (a struct msg_<body of id>). @return 0,
 * -EMSGSIZE, -ENOMEM */
int message_encode(struct buf *out, enum message_id id, const void *body) MUST_CHECK;
/**
 * Decodes one packet. Strings are NUL-terminated in place, so `data` is changed and must outlive
 * the message.
 * @param direction  which messages may come here
 * @return 0; -EPROTO with words in err (unknown id, wrong direction, short, trailing bytes, NUL
 * inside a string)
 */
int message_decode(struct message *out, char *data, size_t len, enum message_direction direction,
	struct err *err) MUST_CHECK;
/** "HELLO", or "?" for an unknown id. */
const char *message_name(enum message_id id);
