/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "http/decode.h"
#include <brotli/encode.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { ZLIB_GZIP = 15 + 16, ZLIB_ZLIB = 15, ZLIB_BARE = -15 };

static struct buf plain, packed, got;
static size_t largest, stop_after;

static int set_up(void **state)
{
	(void)state;
	buf_reset(&plain);
	buf_reset(&packed);
	largest = stop_after = 0;
	for (int i = 0; i < 20000; i++)
		buf_addf(&plain, "%d and ", i * i);
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	buf_finish(&plain);
	buf_finish(&packed);
	buf_finish(&got);
	return 0;
}

static void pack_zlib(int bits, const char *text, size_t len)
{
	z_stream z = { 0 };
	deflateInit2(&z, 6, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY);
	size_t room = deflateBound(&z, (uLong)len);
	z.next_in = (z_const Bytef *)text;
	z.avail_in = (uInt)len;
	z.next_out = (Bytef *)buf_reserve(&packed, room);
	z.avail_out = (uInt)room;
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	packed.len += z.total_out;
	deflateEnd(&z);
}

static void pack_brotli(const char *text, size_t len)
{
	size_t room = BrotliEncoderMaxCompressedSize(len);
	uint8_t *to = (uint8_t *)buf_reserve(&packed, room);
	assert_true(BrotliEncoderCompress(
		5, 22, BROTLI_MODE_TEXT, len, (const uint8_t *)text, &room, to));
	packed.len += room;
}

static void pack_zstd(const char *text, size_t len)
{
	size_t room = ZSTD_compressBound(len);
	size_t n = ZSTD_compress(buf_reserve(&packed, room), room, text, len, 3);
	assert_false(ZSTD_isError(n));
	packed.len += n;
}

static bool sink(void *arg, const char *data, size_t len)
{
	(void)arg;
	if (len > largest)
		largest = len;
	buf_add(&got, data, len);
	return !stop_after || got.len < stop_after;
}

/* In pieces; @return of feed or end */
static int unpack(const char *coding, size_t piece, struct err *err)
{
	struct http_decoder *d = NULL;
	buf_reset(&got);
	int rc = http_decoder_new(&d, coding, sink, NULL, err);
	assert_int_equal(rc, 0);
	assert_non_null(d);
	for (size_t at = 0; rc == 0 && at < packed.len; at += piece) {
		size_t n = packed.len - at < piece ? packed.len - at : piece;
		char *copy = malloc(n); /* for the sanitizer */
		memcpy(copy, packed.data + at, n);
		rc = http_decoder_feed(d, copy, n, err);
		free(copy);
	}
	if (rc == 0)
		rc = http_decoder_end(d, err);
	http_decoder_free(d);
	return rc;
}

static void comes_out(const char *coding)
{
	static const size_t pieces[] = { 1, 7, 16384, 10000000 };
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct err err = { 0 };
		if (unpack(coding, pieces[i], &err) < 0)
			fail_msg("%s in pieces of %zu: %s", coding, pieces[i], err.text);
		assert_int_equal(got.len, plain.len);
		assert_memory_equal(got.data, plain.data, plain.len);
		assert_true(largest <= HTTP_DECODED_PIECE);
	}
}

static void what_was_packed_comes_out_in_small_pieces(void **state)
{
	(void)state;
	pack_zlib(ZLIB_GZIP, plain.data, plain.len);
	comes_out("gzip");
	comes_out("X-GZip");
	comes_out("identity, gzip");
	buf_reset(&packed);
	pack_zlib(ZLIB_ZLIB, plain.data, plain.len);
	comes_out("deflate");
	buf_reset(&packed);
	pack_zlib(ZLIB_BARE, plain.data, plain.len);
	comes_out("deflate");
	buf_reset(&packed);
	pack_brotli(plain.data, plain.len);
	comes_out("br");
	buf_reset(&packed);
	pack_zstd(plain.data, plain.len);
	comes_out("zstd");
}

static void members_follow_each_other_and_what_is_none_is_passed_over(void **state)
{
	(void)state;
	pack_zlib(ZLIB_GZIP, plain.data, 1000);
	pack_zlib(ZLIB_GZIP, plain.data + 1000, plain.len - 1000);
	comes_out("gzip");
	buf_add(&packed, "\0\0\0\0", 4);
	comes_out("gzip");
	buf_reset(&packed);
	pack_zstd(plain.data, 1000);
	pack_zstd(plain.data + 1000, plain.len - 1000);
	comes_out("zstd");
}

static void one_inside_another_is_unpacked_twice(void **state)
{
	struct buf inner = { 0 };
	struct err err;
	struct http_decoder *d = NULL;
	(void)state;
	pack_brotli(plain.data, plain.len);
	buf_add(&inner, packed.data, packed.len);
	buf_reset(&packed);
	pack_zlib(ZLIB_GZIP, inner.data, inner.len);
	buf_finish(&inner);
	comes_out("br, gzip");
	assert_int_equal(http_decoder_new(&d, "gzip,gzip,gzip,gzip", sink, NULL, &err), -EINVAL);
	assert_null(d);
}

static void what_ends_too_early_is_said_to(void **state)
{
	static const char *const codings[] = { "gzip", "br", "zstd", "deflate" };
	char words[60];
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct err err = { 0 };
		buf_reset(&packed);
		if (i == 0)
			pack_zlib(ZLIB_GZIP, plain.data, plain.len);
		else if (i == 1)
			pack_brotli(plain.data, plain.len);
		else if (i == 2)
			pack_zstd(plain.data, plain.len);
		else
			pack_zlib(ZLIB_BARE, plain.data, plain.len);
		packed.len -= 3;
		assert_int_equal(unpack(codings[i], 1000, &err), -EINVAL);
		snprintf(words, sizeof(words), "the %s data ends too early", codings[i]);
		assert_string_equal(err.text, words);
	}
}

static void what_is_broken_is_said_to_be(void **state)
{
	static const char *const codings[] = { "gzip", "br", "zstd", "deflate" };
	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct err err = { 0 };
		buf_reset(&packed);
		buf_add_str(&packed, "\xff<html>this is not packed at all</html>");
		assert_int_equal(unpack(codings[i], 5, &err), -EINVAL);
		assert_non_null(strstr(err.text, "data is broken"));
	}
}

static void a_bomb_is_stopped_by_whoever_takes_its_pieces(void **state)
{
	struct err err = { 0 };
	size_t size = (size_t)64 << 20;
	char *zeros = calloc(1, size);
	(void)state;
	stop_after = 100000;
	pack_brotli(zeros, size);
	assert_true(packed.len < 1000);
	assert_int_equal(unpack("br", 10000, &err), -ECANCELED);
	assert_true(got.len <= stop_after + HTTP_DECODED_PIECE);
	buf_reset(&packed);
	pack_zstd(zeros, size);
	assert_int_equal(unpack("zstd", 100000, &err), -ECANCELED);
	assert_true(got.len <= stop_after + HTTP_DECODED_PIECE);
	free(zeros);
}

static void plain_bodies_need_no_decoder_and_unknown_ones_have_none(void **state)
{
	struct http_decoder *d = NULL;
	struct err err = { 0 };
	(void)state;
	assert_int_equal(http_decoder_new(&d, "", sink, NULL, &err), 0);
	assert_null(d);
	assert_int_equal(http_decoder_new(&d, " identity ", sink, NULL, &err), 0);
	assert_null(d);
	assert_int_equal(http_decoder_new(&d, "compress", sink, NULL, &err), -EINVAL);
	assert_string_equal(err.text, "packed in a way that was not asked for: compress");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_was_packed_comes_out_in_small_pieces, set_up),
		cmocka_unit_test_setup(
			members_follow_each_other_and_what_is_none_is_passed_over, set_up),
		cmocka_unit_test_setup(one_inside_another_is_unpacked_twice, set_up),
		cmocka_unit_test_setup(what_ends_too_early_is_said_to, set_up),
		cmocka_unit_test_setup(what_is_broken_is_said_to_be, set_up),
		cmocka_unit_test_setup(a_bomb_is_stopped_by_whoever_takes_its_pieces, set_up),
		cmocka_unit_test_setup(
			plain_bodies_need_no_decoder_and_unknown_ones_have_none, set_up),
	};
	return cmocka_run_group_tests(tests, NULL, clean_up);
}
