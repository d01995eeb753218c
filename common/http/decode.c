/* SPDX-License-Identifier: MIT */
#include "http/decode.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include <brotli/decode.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum coding { CODING_GZIP, CODING_DEFLATE, CODING_BR, CODING_ZSTD };
static const char *const names[] = {
	[CODING_GZIP] = "gzip",
	[CODING_DEFLATE] = "deflate",
	[CODING_BR] = "br",
	[CODING_ZSTD] = "zstd",
};
/* RFC 9659: a decoder need not support more, and memory follows it. */
enum { ZSTD_WINDOW_LOG_MAX = 23, ZLIB_ANY_HEADER = 15 + 32, ZLIB_RAW = -15 };

/* One coding; what it gives goes to the next, the last gives to the sink. */
struct stage {
	struct http_decoder *decoder;
	enum coding coding;
	bool begun, over; /* over: at the end of a whole member, frame or stream */
	bool inflating;
	z_stream zlib;
	BrotliDecoderState *brotli;
	ZSTD_DStream *zstd;
	unsigned char head[2]; /* of deflate: says whether zlib is around it */
	size_t head_len;
};
struct http_decoder {
	struct stage stages[HTTP_CODINGS_MAX]; /* in the order of unpacking */
	size_t count;
	bool (*sink)(void *arg, const char *data, size_t len);
	void *arg;
};

static int begin(struct stage *s)
{
	int rc = Z_OK;
	switch (s->coding) {
	case CODING_GZIP: rc = inflateInit2(&s->zlib, ZLIB_ANY_HEADER); break;
	case CODING_DEFLATE: break; /* when its first bytes are there */
	case CODING_BR:
		s->brotli = BrotliDecoderCreateInstance(NULL, NULL, NULL);
		return s->brotli ? 0 : -ENOMEM;
	case CODING_ZSTD:
		s->zstd = ZSTD_createDStream();
		if (!s->zstd)
			return -ENOMEM;
		(void)ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
		return 0;
	}
	s->inflating = s->coding == CODING_GZIP && rc == Z_OK;
	return rc == Z_OK ? 0 : -ENOMEM;
}

static int add_stage(struct http_decoder *d, const char *name, size_t len, struct err *err)
{
	if (len > 2 && strncasecmp(name, "x-", 2) == 0)
		name += 2, len -= 2;
	if (d->count == HTTP_CODINGS_MAX)
		return err_set(err, -EINVAL, "packed more than %d times", HTTP_CODINGS_MAX);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strlen(names[i]) != len || strncasecmp(names[i], name, len) != 0)
			continue;
		struct stage *s = &d->stages[d->count++];
		s->decoder = d;
		s->coding = (enum coding)i;
		return begin(s) < 0 ? err_set(err, -ENOMEM, "%s: out of memory", names[i]) : 0;
	}
	return err_set(err, -EINVAL, "packed in a way that was not asked for: %.*s",
		(int)MIN(len, 40u), name);
}

/* The last one named was put on last, and comes off first. */
static int add_stages(struct http_decoder *d, const char *coding, struct err *err)
{
	size_t end = strlen(coding);
	int rc = 0;
	while (rc == 0 && end > 0) {
		size_t at = end;
		while (at > 0 && coding[at - 1] != ',')
			at--;
		const char *name = coding + at;
		size_t len = end - at;
		while (len && strchr(" \t", *name))
			name++, len--;
		while (len && strchr(" \t", name[len - 1]))
			len--;
		if (len && !(len == 8 && strncasecmp(name, "identity", 8) == 0) &&
			!(len == 4 && strncasecmp(name, "none", 4) == 0))
			rc = add_stage(d, name, len, err);
		end = at ? at - 1 : 0;
	}
	return rc;
}

int http_decoder_new(struct http_decoder **out, const char *coding,
	bool (*sink)(void *arg, const char *data, size_t len), void *arg, struct err *err)
{
	struct http_decoder *d = NEW(struct http_decoder);
	if (!d)
		return err_set(err, -ENOMEM, "HTTP: out of memory");
	d->sink = sink;
	d->arg = arg;
	int rc = add_stages(d, coding ? coding : "", err);
	if (rc < 0 || d->count == 0) {
		http_decoder_free(d);
		d = NULL;
	}
	if (rc == 0)
		*out = d;
	return rc;
}

void http_decoder_free(struct http_decoder *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->count; i++) {
		struct stage *s = &d->stages[i];
		if (s->inflating)
			inflateEnd(&s->zlib);
		if (s->brotli)
			BrotliDecoderDestroyInstance(s->brotli);
		ZSTD_freeDStream(s->zstd);
	}
	free(d);
}

static int stage_feed(struct stage *s, const unsigned char *data, size_t len, struct err *err);

static int give(struct stage *s, const unsigned char *data, size_t len, struct err *err)
{
	struct http_decoder *d = s->decoder;
	if (len == 0)
		return 0;
	if (s + 1 < d->stages + d->count)
		return stage_feed(s + 1, data, len, err);
	return d->sink(d->arg, (const char *)data, len) ? 0 : err_set(err, -ECANCELED, "stopped");
}

static int broken(const struct stage *s, struct err *err)
{
	return err_set(err, -EINVAL, "the %s data is broken", names[s->coding]);
}

/* ---- zlib ---- */

/* Another member may follow. @return false: what is left is none */
static bool next_member(struct stage *s)
{
	if (s->coding != CODING_GZIP || s->zlib.avail_in == 0 || s->zlib.next_in[0] != 0x1f)
		return false;
	s->over = false;
	return inflateReset(&s->zlib) == Z_OK;
}

static int inflate_some(struct stage *s, const unsigned char *data, size_t len, struct err *err)
{
	unsigned char piece[HTTP_DECODED_PIECE];
	s->zlib.next_in = (z_const Bytef *)data;
	s->zlib.avail_in = (uInt)len;
	if (s->over && !next_member(s))
		return 0;
	for (bool full = true; s->zlib.avail_in > 0 || full;) {
		s->zlib.next_out = piece;
		s->zlib.avail_out = sizeof(piece);
		int rc = inflate(&s->zlib, Z_NO_FLUSH);
		if (rc == Z_MEM_ERROR)
			return err_set(err, -ENOMEM, "gzip: out of memory");
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return broken(s, err);
		full = s->zlib.avail_out == 0;
		int given = give(s, piece, sizeof(piece) - s->zlib.avail_out, err);
		if (given < 0)
			return given;
		if (rc == Z_BUF_ERROR && !full)
			break;
		if (rc == Z_STREAM_END) {
			s->over = true;
			if (!next_member(s))
				break;
			full = true;
		}
	}
	return 0;
}

/* "deflate" is zlib by the letter, and often bare deflate: the first two bytes tell. */
static int deflate_some(struct stage *s, const unsigned char *data, size_t len, struct err *err)
{
	while (s->head_len < 2 && len > 0)
		s->head[s->head_len++] = *data++, len--;
	if (s->head_len < 2)
		return 0;
	if (!s->inflating) {
		bool zlib = (s->head[0] & 0x0f) == 8 && (s->head[0] << 8 | s->head[1]) % 31 == 0;
		if (inflateInit2(&s->zlib, zlib ? 15 : ZLIB_RAW) != Z_OK)
			return err_set(err, -ENOMEM, "deflate: out of memory");
		s->inflating = true;
		int rc = inflate_some(s, s->head, 2, err);
		if (rc < 0)
			return rc;
	}
	return len ? inflate_some(s, data, len, err) : 0;
}

/* ---- brotli and zstd ---- */

static int brotli_some(struct stage *s, const unsigned char *data, size_t len, struct err *err)
{
	unsigned char piece[HTTP_DECODED_PIECE];
	while (!s->over) {
		uint8_t *to = piece;
		size_t room = sizeof(piece);
		BrotliDecoderResult rc = BrotliDecoderDecompressStream(
			s->brotli, &len, &data, &room, &to, NULL);
		if (rc == BROTLI_DECODER_RESULT_ERROR)
			return broken(s, err);
		int given = give(s, piece, sizeof(piece) - room, err);
		if (given < 0)
			return given;
		s->over = rc == BROTLI_DECODER_RESULT_SUCCESS;
		if (rc == BROTLI_DECODER_RESULT_NEEDS_MORE_INPUT)
			return 0;
	}
	return 0;
}

static int zstd_some(struct stage *s, const unsigned char *data, size_t len, struct err *err)
{
	unsigned char piece[HTTP_DECODED_PIECE];
	ZSTD_inBuffer in = { data, len, 0 };
	for (bool full = true; in.pos < in.size || full;) {
		ZSTD_outBuffer out = { piece, sizeof(piece), 0 };
		size_t rc = ZSTD_decompressStream(s->zstd, &out, &in);
		if (ZSTD_isError(rc)) {
			/* Behind a whole frame stands what is none. */
			return s->over && out.pos == 0 ? 0 : broken(s, err);
		}
		s->over = rc == 0;
		full = out.pos == out.size;
		int given = give(s, piece, out.pos, err);
		if (given < 0)
			return given;
	}
	return 0;
}

static int stage_feed(struct stage *s, const unsigned char *data, size_t len, struct err *err)
{
	s->begun = true;
	switch (s->coding) {
	case CODING_GZIP: return inflate_some(s, data, len, err);
	case CODING_DEFLATE: return deflate_some(s, data, len, err);
	case CODING_BR: return brotli_some(s, data, len, err);
	case CODING_ZSTD: break;
	}
	return zstd_some(s, data, len, err);
}

int http_decoder_feed(struct http_decoder *d, const char *data, size_t len, struct err *err)
{
	return len ? stage_feed(&d->stages[0], (const unsigned char *)data, len, err) : 0;
}

int http_decoder_end(const struct http_decoder *d, struct err *err)
{
	for (size_t i = 0; i < d->count; i++)
		if (d->stages[i].begun && !d->stages[i].over)
			return err_set(err, -EINVAL, "the %s data ends too early",
				names[d->stages[i].coding]);
	return 0;
}
