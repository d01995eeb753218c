/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The Unix socket that the command line talks to: rights by who connects, bounded clients, one
 * question at a time each. Its verbs are in ipc/control.def.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct buf;
struct client;
struct control;
struct err;
struct hand_over;
struct process;
struct supervisor;

/** Makes runtime_dir/control.sock. @return 0; -ENAMETOOLONG over 107 bytes; negative errno */
int control_new(struct control **out, struct supervisor *sv, struct err *err) MUST_CHECK;
void control_free(struct control *control);
/** Lists the socket for the droverd that takes our place: who connects meanwhile waits for it.
 * @return 0, -ENOMEM */
int control_give(const struct control *control, struct hand_over *h) MUST_CHECK;
/** Sends one page of JSON to a client. */
void control_page(struct client *client, const char *json, size_t len, bool last, int exit_code);
/** A slot changed: commands that wait for it may be settled. p NULL: any. */
void control_settle(struct control *control);
/** Is a command under way that its client waits for? */
bool control_waits(const struct control *control);
/** An upgrade is refused (exit_code not 0), or follows at once. */
void control_upgraded(struct control *control, struct buf *json, int exit_code);
/** A reload that this client asked for is over. */
void control_reloaded(struct control *control, bool ok, const char *errors, const char *steps_json);
