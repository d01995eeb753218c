/* SPDX-License-Identifier: MIT */
#include "collect/payload.h"

#include "json/path.h"
#include "json/record.h"

int payload_member(struct json_record *record, const char *path_text, int type,
	struct json_value *out, struct err *err)
{
	CLEANUP(json_path_freep) struct json_path *path = NULL;
	const struct config_column column = { .name = "task", .path = path_text, .type = type };
	int rc = json_path_new(&path, path_text, err);
	return rc < 0 ? rc : json_record_column(record, &column, path, out, err);
}
