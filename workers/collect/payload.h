/* SPDX-License-Identifier: MIT */
#pragma once
/* The small JSON texts that a task carries: payload and checkpoint. */
#include "base/compiler.h"
#include "json/value.h"

struct err;
struct json_record;

/** One member, or with path "" the whole; type: enum column_type. Absent: JSON_VALUE_NULL. *out
 * points into the record. @return 0, -EINVAL, -ENOMEM */
int payload_member(struct json_record *record, const char *path, int type, struct json_value *out,
	struct err *err) MUST_CHECK;
