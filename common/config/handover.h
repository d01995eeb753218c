/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The bytes of a hand-over: the structs field by field as the tables lead, numbers little-endian,
 * texts with their length, every scalar behind a byte of flags. Both sides have the same tables, or
 * the hash at its head differs.
 */
#include "base/compiler.h"
#include "config/config.h"
#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

enum { HANDOVER_MAX = 32 << 20 };

/** What `kind` may see. @return 0; -ENOMEM; -E2BIG over HANDOVER_MAX */
MUST_CHECK
int handover_encode(struct buf *out, const struct config *config, const struct worker_kind *kind,
	struct err *err);
/** @return 0; -EINVAL damaged or made by another version; -ENOMEM */
MUST_CHECK
int handover_decode(struct config **out, const void *data, size_t len,
	const struct worker_kind *const *kinds, struct err *err);
/** Of a table and all that hang from it: names, types, offsets do not count. */
uint64_t handover_hash(const struct config_field *fields);
