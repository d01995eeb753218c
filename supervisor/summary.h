/* SPDX-License-Identifier: MIT */
#pragma once
/* What the monitor is told of us: on change, and while somebody reads it. */
struct supervisor;

/** Something that it shows has changed: it is told soon. */
void summary_changed(struct supervisor *sv);
/** sv->summary_timer's. arg: the supervisor */
void summary_on_timer(void *arg);
