/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The socket that a service speaks to (systemd's notify protocol): runtime_dir/notify/SLOT,
 * writable by the service's user only, heard only from processes of the slot's tree. READY=1,
 * WATCHDOG=1, WATCHDOG=trigger, STATUS=, STOPPING=1, EXTEND_TIMEOUT_USEC= and BARRIER=1 are obeyed;
 * MAINPID= is not, for the main process is the one that was started; other lines mean nothing.
 */
#include "base/compiler.h"

struct err;
struct instance_plan;
struct probe_notify;
struct process;

/**
 * Binds the slot's socket anew; what was sent to an earlier one is gone. The owner of one that an
 * earlier supervisor left stays. @return 0 or negative errno
 */
int probe_notify_open(struct probe_notify **out, struct process *p, struct err *err) MUST_CHECK;
/** Tells the child of the socket and of the watchdog, and gives it the socket. */
void probe_notify_plan(struct probe_notify *notify, struct instance_plan *plan);
/** Its socket, which stays its own. */
int probe_notify_fd(const struct probe_notify *notify);
/** Closes and removes it. NULL is fine. */
void probe_notify_free(struct probe_notify *notify);
