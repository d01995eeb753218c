/* SPDX-License-Identifier: MIT */
#pragma once
/* The small JSON texts that a task carries: payload and checkpoint. */
#include "base/compiler.h"
#include "json/value.h"

struct buf;
struct err;
struct json_record;
struct plan;

/** One member, or with path "" the whole; type: enum column_type. Absent: JSON_VALUE_NULL. *out
 * points into the record. @return 0, -EINVAL, -ENOMEM */
int payload_member(struct json_record *record, const char *path, int type, struct json_value *out,
	struct err *err) MUST_CHECK;

/**
 * {"type":"12","@since":1767225600000,"@until":1767830400000}: for_each's value by its name, and
 * the window of an incremental job; {}: neither. Without the window it names the partition.
 */
struct task_payload {
	char *value;	      /* NULL: the job has no for_each; caller frees */
	int64_t since, until; /* POSITION_NONE: no window */
};
/** @return 0; -EINVAL: the task is of another configuration; -ENOMEM */
int payload_read(struct task_payload *out, const struct plan *plan, const char *payload,
	struct err *err) MUST_CHECK;
void payload_write(struct buf *out, const char *as, const struct task_payload *payload);
