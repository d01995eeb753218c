/* SPDX-License-Identifier: MIT */
#pragma once
/* Prometheus text (exposition format 0.0.4): names and units as `promtool check metrics` wants
 * them. */
struct buf;
struct monitor;
void metrics_text(struct monitor *m, struct buf *out);
