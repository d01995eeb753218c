/* SPDX-License-Identifier: MIT */
#pragma once
/* CPU, memory and the disk of the state folder, from /proc and statvfs. */
struct monitor;
/** Into m->machine; the CPU's share is that since the last call, unknown at the first. */
void machine_look(struct monitor *m);
