/* SPDX-License-Identifier: MIT */
/*
 * The record scanner gives the same records, or the same error, however the text is cut; what it
 * takes for JSON jansson takes too (numbers out of a double's range and texts with NUL aside); and
 * a record is what jansson takes for a value, written out the same. Input: a byte for the path, one
 * for the pieces, the text.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "json/path.h"
#include "json/record.h"
#include "json/scan.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const char *const paths[] = { "", "a", "a.b", "a[0]", "*", "a.*.b",
	"response.body.items.item", "[*].a[1]" };

static void demand(int holds)
{
	if (!holds)
		abort();
}

/* Numbers aside, which jansson does not keep. */
static bool has_number(const json_t *value)
{
	size_t i;
	const char *name;
	json_t *member;
	bool found = json_is_number(value);
	json_array_foreach((json_t *)value, i, member) found |= has_number(member);
	json_object_foreach((json_t *)value, name, member) found |= has_number(member);
	return found;
}

/* @param record  NULL: it was refused */
static void compare(const struct json_record *record, const char *data, size_t len)
{
	json_error_t why;
	struct err err;
	struct buf text = BUF_INIT;
	struct json_out out;
	struct json_path *whole = NULL;
	json_t *theirs = json_loadb(
		data, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
	if (!theirs)
		demand(!record || json_error_code(&why) == json_error_numeric_overflow);
	if (!theirs || !record) {
		demand(!theirs);
		return;
	}
	demand(json_path_new(&whole, "$", &err) == 0);
	json_out_init(&out, &text);
	demand(json_record_select(record, whole, &out) == 1);
	json_t *ours = json_loadb(buf_str(&text), text.len,
		JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
	demand(ours && (json_equal(ours, theirs) || has_number(theirs)));
	json_decref(ours);
	json_decref(theirs);
	json_path_free(whole);
	buf_finish(&text);
}

static bool keep(void *arg, const char *data, size_t len)
{
	struct err err;
	struct json_record *record = NULL;
	int rc = json_record_new(&record, data, len, &err);
	compare(rc == 0 ? record : NULL, data, len);
	if (rc == 0) {
		const struct config_column column = { .name = "f", .type = (int)(len % 6) };
		struct json_path *path = NULL;
		struct json_value value;
		demand(json_path_new(&path, "a", &err) == 0);
		(void)!json_record_column(record, &column, path, &value, &err);
		json_path_free(path);
	}
	json_record_free(record);
	buf_add(arg, data, len);
	buf_add_char(arg, '\n');
	return true;
}

static struct json_record *read_into;

static bool keep_read(void *arg, const char *data, size_t len)
{
	compare(read_into, data, len);
	return keep(arg, data, len);
}

static int scan_pieces(const struct json_path *path, const char *text, size_t len, size_t piece,
	struct buf *out, struct err *err)
{
	const struct json_scan_ops ops = { .record = keep, .read = keep_read };
	const struct json_scan_options options = {
		.path = path, .max_record = 4096, .record = read_into
	};
	struct json_scan *scan = NULL;
	demand(json_scan_new(&scan, &options, &ops, out, err) == 0);
	int rc = 0;
	for (size_t at = 0; at < len && rc == 0; at += piece) {
		size_t n = piece < len - at ? piece : len - at;
		char *copy = malloc(n);
		demand(copy != NULL);
		memcpy(copy, text + at, n);
		rc = json_scan_feed(scan, copy, n, err);
		free(copy);
	}
	if (rc == 0)
		rc = json_scan_end(scan, err);
	json_scan_free(scan);
	return rc;
}

static void judge(const char *text, size_t len)
{
	json_error_t why;
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		text += 3, len -= 3;
	json_t *json = json_loadb(
		text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &why);
	if (!json)
		demand(json_error_code(&why) == json_error_numeric_overflow ||
			json_error_code(&why) == json_error_null_byte_in_key ||
			json_error_code(&why) == json_error_invalid_syntax /* lone surrogates */);
	json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct err first_err = { 0 }, err = { 0 };
	struct json_path *path = NULL;
	struct buf first = BUF_INIT, pieces = BUF_INIT;
	demand(json_path_new(&path, paths[data[0] % (sizeof(paths) / sizeof(paths[0]))], &err) ==
		0);
	const char *text = (const char *)data + 2;
	size -= 2;
	read_into = json_record_empty();
	demand(read_into != NULL);
	int rc = scan_pieces(path, text, size, size + 1, &first, &first_err);
	demand(scan_pieces(path, text, size, 1 + data[1] % 16, &pieces, &err) == rc);
	demand(first.len == pieces.len &&
		(first.len == 0 || memcmp(first.data, pieces.data, first.len) == 0));
	demand(strcmp(first_err.text, err.text) == 0);
	if (rc == 0)
		judge(text, size);
	buf_finish(&first);
	buf_finish(&pieces);
	json_path_free(path);
	json_record_free(read_into);
	return 0;
}
