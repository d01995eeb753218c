/* SPDX-License-Identifier: MIT */
#pragma once
struct buf;
struct monitor;
/** {"limits": [...]}, of providers and their endpoints; null when the file cannot be read. */
void monitor_limits_json(const struct monitor *m, struct buf *out);
