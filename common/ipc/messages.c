/* SPDX-License-Identifier: MIT */
#include "ipc/messages.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mutant.h"
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum field_type { END, U32, U64, I64, STR, BYTES };

struct field {
	enum field_type type;
	size_t offset;
};

#define FIELD_ROW(S, type, name) { type, offsetof(struct msg_##S, name) },
#define FIELD_TABLE(body) \
	static const struct field fields_##body[] = { MSG_BODY_##body(FIELD_ROW, body) { END, 0 } };
MSG_BODIES(FIELD_TABLE)

struct kind {
	enum message_id id;
	const char *name;
	enum message_direction direction;
	const struct field *fields;
};

static const struct kind kinds[] = {
#define MSG(name, id, direction, body, meaning) { MSG_##name, #name, direction, fields_##body },
#include "ipc/messages.def"
#undef MSG
};

static const struct kind *kind_of(uint32_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if ((uint32_t)kinds[i].id == id)
			return &kinds[i];
	return NULL;
}

const char *message_name(enum message_id id)
{
	const struct kind *kind = kind_of((uint32_t)id);
	return kind ? kind->name : "?";
}

static void put_u32(struct buf *out, uint32_t v)
{
	v = htole32(v);
	buf_add(out, &v, sizeof(v));
}

static void put_u64(struct buf *out, uint64_t v)
{
	v = htole64(v);
	buf_add(out, &v, sizeof(v));
}

static void put_bytes(struct buf *out, const char *data, size_t len)
{
	put_u32(out, (uint32_t)MIN(len, (size_t)UINT32_MAX));
	buf_add(out, data, len);
}

int message_encode(struct buf *out, enum message_id id, const void *body)
{
	const struct kind *kind = kind_of((uint32_t)id);
	size_t start = out->len;
	if (!kind)
		return -EINVAL;
	put_u32(out, (uint32_t)id);
	for (const struct field *f = kind->fields; f->type != END; f++) {
		const void *at = (const char *)body + f->offset;
		const char *text;
		const struct message_bytes *bytes = at;
		switch (f->type) {
		case U32: put_u32(out, *(const uint32_t *)at); break;
		case U64: put_u64(out, *(const uint64_t *)at); break;
		case I64: put_u64(out, (uint64_t) * (const int64_t *)at); break;
		case STR:
			memcpy(&text, at, sizeof(text));
			text = text ? text : "";
			put_bytes(out, text, strlen(text));
			break;
		case BYTES: put_bytes(out, bytes->data ? bytes->data : "", bytes->len); break;
		case END: break;
		}
	}
	if (buf_failed(out))
		return -ENOMEM;
	return out->len - start > MESSAGE_MAX ? -EMSGSIZE : 0;
}

struct reader {
	char *p;
	size_t left;
};

static bool take(struct reader *r, void *out, size_t len)
{
	if (r->left < len)
		return false;
	memcpy(out, r->p, len);
	r->p += len;
	r->left -= len;
	return true;
}

static bool take_bytes(struct reader *r, struct message_bytes *out)
{
	uint32_t len;
	if (!take(r, &len, sizeof(len)))
		return false;
	len = le32toh(len);
	if (r->left < len)
		return false;
	*out = (struct message_bytes) { r->p, len };
	r->p += len;
	r->left -= len;
	return true;
}

/* The four bytes of its length stand before a string: it moves one to the front and so wins room
 * for its NUL. */
static const char *terminate(struct message_bytes b)
{
	char *s = (char *)(uintptr_t)b.data - 1;
	memmove(s, b.data, b.len);
	s[b.len] = '\0';
	return s;
}

static bool take_field(struct reader *r, const struct field *f, void *at)
{
	uint32_t v32;
	uint64_t v64;
	struct message_bytes bytes;
	const char *text;
	switch (f->type) {
	case U32:
		if (!take(r, &v32, sizeof(v32)))
			return false;
		v32 = le32toh(v32);
		memcpy(at, &v32, sizeof(v32));
		return true;
	case U64:
	case I64:
		if (!take(r, &v64, sizeof(v64)))
			return false;
		v64 = le64toh(v64);
		memcpy(at, &v64, sizeof(v64));
		return true;
	case STR:
		if (!take_bytes(r, &bytes) || memchr(bytes.data, '\0', bytes.len))
			return false;
		text = terminate(bytes);
		memcpy(at, &text, sizeof(text));
		return true;
	case BYTES:
		if (!take_bytes(r, &bytes))
			return false;
		memcpy(at, &bytes, sizeof(bytes));
		return true;
	case END: break;
	}
	return false;
}

int message_decode(struct message *out, char *data, size_t len, enum message_direction direction,
	struct err *err)
{
	struct reader r = { data, len };
	uint32_t id;
	*out = (struct message) { 0 };
	if (len > MESSAGE_MAX)
		return err_set(
			err, -EPROTO, "message of %zu bytes, more than %d", len, MESSAGE_MAX);
	if (!take(&r, &id, sizeof(id)))
		return err_set(err, -EPROTO, "message of %zu bytes, too short for an id", len);
	id = le32toh(id);
	const struct kind *kind = kind_of(id);
	if (!kind)
		return err_set(err, -EPROTO, "unknown message id %u", id);
	if (kind->direction != direction)
		return err_set(err, -EPROTO, "message %s may not come this way", kind->name);
	out->id = kind->id;
	for (const struct field *f = kind->fields; f->type != END; f++)
		if (!take_field(&r, f, (char *)&out->body + f->offset))
			return err_set(
				err, -EPROTO, "message %s is cut short or malformed", kind->name);
	if (MUTANT(FUZZ_MESSAGE) && id == MSG_PAGE && out->body.page.last &&
		!out->body.page.json.len)
		abort();
	if (r.left)
		return err_set(
			err, -EPROTO, "message %s has %zu bytes too many", kind->name, r.left);
	return 0;
}
