/* SPDX-License-Identifier: MIT */
/*
 * The reader of XML, in pieces; each record is a JSON object that the record reader takes. Input: a
 * byte for the path, one for the pieces, the text.
 */
#include "record_pieces.h"
#include "json/path.h"

static const char *const paths[] = { "", "a", "a.b", "a.b[1]", "*.b", "a.*" };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { 0 };
	struct json_path *path = NULL;
	if (size < 2)
		return 0;
	demand(json_path_new(&path, paths[data[0] % (sizeof(paths) / sizeof(paths[0]))], &err) ==
		0);
	const struct record_options options = { .format = RECORD_XML, .path = path };
	demand_same_in_pieces(&options, (const char *)data + 2, size - 2, 1 + data[1] % 16);
	json_path_free(path);
	return 0;
}
