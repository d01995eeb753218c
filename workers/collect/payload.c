/* SPDX-License-Identifier: MIT */
#include "collect/payload.h"

#include "base/err.h"
#include "base/json_out.h"
#include "collect/kind.h"
#include "collect/plan.h"
#include "collect/position.h"
#include "collect/values.h"
#include "json/path.h"
#include "json/record.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* No value of for_each is named so: it would be no name. */
#define SINCE "@since"
#define UNTIL "@until"

int payload_member(struct json_record *record, const char *path_text, int type,
	struct json_value *out, struct err *err)
{
	CLEANUP(json_path_freep) struct json_path *path = NULL;
	const struct config_column column = { .name = "task", .path = path_text, .type = type };
	int rc = json_path_new(&path, path_text, err);
	return rc < 0 ? rc : json_record_column(record, &column, path, out, err);
}

static int read_time(int64_t *out, struct json_record *record, const char *name, struct err *err)
{
	struct json_value value = { 0 };
	int rc = payload_member(record, name, COLUMN_INTEGER, &value, err);
	*out = rc == 0 && value.type == JSON_VALUE_INT && value.i >= 0 ? value.i : POSITION_NONE;
	return rc;
}

int payload_read(
	struct task_payload *out, const struct plan *plan, const char *payload, struct err *err)
{
	CLEANUP(json_record_freep) struct json_record *record = NULL;
	const char *as = plan->spec->for_each.as;
	struct task_payload read = { 0 };
	struct json_value value = { 0 };
	int rc = json_record_new(&record, payload, strlen(payload), err);
	if (rc == 0 && !json_record_is_object(record))
		rc = err_set(err, -EINVAL, "the task's payload is not one of ours");
	if (rc == 0)
		rc = read_time(&read.since, record, SINCE, err);
	if (rc == 0)
		rc = read_time(&read.until, record, UNTIL, err);
	if (rc == 0 && as)
		rc = payload_member(record, as, COLUMN_TEXT, &value, err);
	if (rc == -ENOMEM)
		return rc;
	/* Without one it is the task that makes the others. */
	bool none = as && value.type != JSON_VALUE_TEXT;
	if (rc < 0 || (none && !(payload[1] == '}' && values_are_read(&plan->spec->for_each))))
		return err_set(err, -EINVAL, "the task has no value of {{%s}}", as ? as : "");
	if (as && !none) {
		read.value = strndup(value.text, value.len);
		if (!read.value)
			return err_set(err, -ENOMEM, "out of memory");
	} else if (!as && payload[1] != '}' && read.since == POSITION_NONE) {
		return err_set(err, -EINVAL, "job %s has no for_each any more", plan->job->name);
	}
	*out = read;
	return 0;
}

void payload_write(struct buf *out, const char *as, const struct task_payload *payload)
{
	struct json_out j;
	json_out_init(&j, out);
	json_open_object(&j, NULL);
	if (payload->value)
		json_str(&j, as, payload->value);
	if (payload->since != POSITION_NONE) {
		json_int(&j, SINCE, payload->since);
		json_int(&j, UNTIL, payload->until);
	}
	json_close_object(&j);
}
