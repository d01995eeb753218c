/* SPDX-License-Identifier: MIT */
/*
 * The reader of XML gives the same records, rejections or error, however the text is cut, and each
 * record is a JSON object that the record reader takes. Input: a byte for the path, one for the
 * pieces, the text.
 */
#include "base/buf.h"
#include "base/err.h"
#include "record/reader.h"
#include "json/path.h"
#include "json/record.h"
#include <stdlib.h>
#include <string.h>

static void demand(int holds)
{
	if (!holds)
		abort();
}

static bool keep(void *arg, const char *data, size_t len)
{
	struct err err = { 0 };
	struct json_record *record = NULL;
	int rc = json_record_new(&record, data, len, &err);
	demand(rc == 0 && json_record_is_object(record));
	json_record_free(record);
	buf_add(arg, data, len);
	buf_add_char(arg, '\n');
	return true;
}

static void reject(void *arg, const char *why)
{
	buf_add_str(arg, why);
	buf_add_char(arg, '\n');
}

static int read_pieces(const struct record_options *options, const char *text, size_t len,
	size_t piece, struct buf *out, struct err *err)
{
	const struct record_ops ops = { .record = keep, .rejected = reject };
	struct record_reader *reader = NULL;
	demand(record_reader_new(&reader, options, &ops, out, err) == 0);
	int rc = 0;
	for (size_t at = 0; at < len && rc == 0; at += piece) {
		size_t n = piece < len - at ? piece : len - at;
		char *copy = malloc(n);
		demand(copy != NULL);
		memcpy(copy, text + at, n);
		rc = record_reader_feed(reader, copy, n, err);
		free(copy);
	}
	if (rc == 0)
		rc = record_reader_end(reader, err);
	record_reader_free(reader);
	return rc;
}

static const char *const paths[] = { "", "a", "a.b", "a.b[1]", "*.b", "a.*" };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err first_err = { 0 }, err = { 0 };
	struct buf first = BUF_INIT, pieces = BUF_INIT;
	struct json_path *path = NULL;
	if (size < 2)
		return 0;
	demand(json_path_new(&path, paths[data[0] % (sizeof(paths) / sizeof(paths[0]))], &err) ==
		0);
	const struct record_options options = { .format = RECORD_XML, .path = path };
	const char *text = (const char *)data + 2;
	size -= 2;
	int rc = read_pieces(&options, text, size, size + 1, &first, &first_err);
	demand(read_pieces(&options, text, size, 1 + data[1] % 16, &pieces, &err) == rc);
	demand(first.len == pieces.len &&
		(first.len == 0 || memcmp(first.data, pieces.data, first.len) == 0));
	demand(strcmp(first_err.text, err.text) == 0);
	buf_finish(&first);
	buf_finish(&pieces);
	json_path_free(path);
	return 0;
}
