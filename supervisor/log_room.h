/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * All that droverd has to do with logs: it makes and holds each log's FIFO and keeps drover-log
 * alive, which moves the bytes. Both hold every FIFO, so that the death of either loses nothing,
 * and a service manager holds them too, so that the death of both and of the writer loses nothing.
 */
#include "base/compiler.h"
#include "log/log.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct config_logs;
struct contain;
struct err;
struct hand_over;
struct log_room;
struct loop;
struct msg_log_rotated;
struct service_manager;

struct log_room_place {
	int runtime_fd, slots_fd, empty_fd; /* borrowed */
	const char *program;		    /* of drover-log */
	const char *log_dir;		    /* borrowed */
	const char *mark;
	struct contain *contain;
	struct service_manager *manager; /* borrowed */
};

/**
 * Opens the FIFOs that are there (their bytes live on in us) and the categories' logs, starts
 * drover-log, ends that of an earlier supervisor and waits for its end. May block for seconds.
 */
int log_room_new(struct log_room **out, struct loop *loop, const struct log_room_place *place,
	const struct config_logs *config, struct err *err) MUST_CHECK;
void log_room_free(struct log_room *room);
/** The categories' FIFOs, for our own records and for workers. */
const int *log_room_categories(const struct log_room *room);

/** Makes the FIFO of a slot and has it pumped into NAME.log; again is fine. */
int log_room_open(struct log_room *room, const char *name, struct err *err) MUST_CHECK;
/** A description of its own of the slot's FIFO, for one child. @return fd (caller closes) or
 * negative errno */
int log_room_writer(struct log_room *room, const char *name, struct err *err) MUST_CHECK;
/** Inode of the slot's FIFO, 0 when unknown. */
uint64_t log_room_inode(const struct log_room *room, const char *name);
/** Lists the FIFOs for the droverd that takes our place. @return 0, -ENOMEM */
int log_room_give(const struct log_room *room, struct hand_over *h) MUST_CHECK;
/** The slot is no more: its log is drained and forgotten. */
void log_room_close(struct log_room *room, const char *name);
/** An instance's whole tree is gone: a half line of it is ended and marked. @param with_all  by
 * log_room_end(), which is to come: no other instance will write */
void log_room_half_line(struct log_room *room, const char *name, bool with_all);
/** A line of ours in the slot's log, whole or, when there is no room for it, not at all. Between
 * two writers: while nobody is in the midst of a line. */
void log_room_say(struct log_room *room, const char *name, const char *line);
/** The droverd before us did not come to log_room_end(). */
bool log_room_was_left(const struct log_room *room);
/**
 * Whether the next instance may write: all of the earlier one is in its log, a half line ended.
 * True too when drover-log did not answer for a quarter of a second: a disk that stands still holds
 * nobody up.
 */
bool log_room_settled(const struct log_room *room, const char *name);
/** settled(arg, name) is called when drover-log has answered. */
void log_room_watch(struct log_room *room, void (*settled)(void *arg, const char *name), void *arg);
/**
 * Rotates and reopens all, also in another directory when ours was renamed. rotated(), may be NULL,
 * is called once unless a later call takes its place; `answer` is NULL when drover-log ended before
 * it was done. @return 0; -ENOTCONN: drover-log does not run at present; negative errno
 */
int log_room_rotate(struct log_room *room,
	void (*rotated)(void *arg, const struct msg_log_rotated *answer), void *arg);
/** New sizes after a reload; the directory stays. */
void log_room_configure(struct log_room *room, const struct config_logs *config);
/** Names of logs that no slot uses; each is closed unless used() says otherwise. */
void log_room_tidy(struct log_room *room, bool (*used)(void *arg, const char *name), void *arg);
/** All who wrote are gone: drover-log ends their half lines, drains and leaves; done(arg) when it
 * has. */
void log_room_end(struct log_room *room, void (*done)(void *arg), void *arg);
pid_t log_room_pid(const struct log_room *room);
