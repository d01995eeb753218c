/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Finds and ends the whole tree of a slot. With a delegated cgroup (contain_cgroup.h) the kernel
 * knows it; the sweep then only meets who climbed out of the group. Without one the sweep does it:
 * by ancestry, by session, and by two marks that are inherited: one in the environment, which tells
 * the slot's name, and one in a resource limit that Linux does not use, which outlives a wiped
 * environment. One look at /proc serves all slots. Signals go through pidfds only, whose process
 * was checked by its start time, so that a number used again is never hit.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Many, for a supervisor that dies before it has ended what it found leaves it to the next one. */
enum { CONTAIN_EPOCH_SIZE = 17, CONTAIN_EPOCHS = 1024 };

/* Environment of everything that droverd starts: slot and "epoch:incarnation". */
#define MARK_SLOT	"DROVER_SLOT"
#define MARK_INSTANCE	"DROVER_INSTANCE"

/* RLIMIT_LOCKS has had no meaning since Linux 2.4.25; /proc shows it of every process to everyone.
 */
#define MARK_LIMIT	RLIMIT_LOCKS
#define MARK_LIMIT_LINE "Max file locks"

struct cgroups;
struct contain;
struct err;
struct reserve;

struct contain_target {
	const char *slot;
	pid_t main_pid;	     /* leader of the session; 0: none known */
	uint64_t main_start; /* its start time in clock ticks since boot; 0: unknown */
	uint64_t log_inode;  /* inode of its log's FIFO, 0: none */
};

/** The main process only and its process group, or everything. */
enum contain_reach { CONTAIN_GROUP, CONTAIN_TREE };

/** @return 0; -EINVAL /proc is not that of our processes; -ENOMEM */
int contain_new(struct contain **out, struct err *err) MUST_CHECK;
/** Groups for what is started from now on, and those an earlier supervisor left; takes them. */
void contain_use_groups(struct contain *contain, struct cgroups *groups);
/** The descriptors that looks and others who may not fail share; lives as long as this. */
struct reserve *contain_reserve(struct contain *contain);
/** "cgroup" or "sweep" */
const char *contain_mode(const struct contain *contain);
/**
 * The group for a new instance.
 * @return its directory (the caller closes it); -ENOENT without groups; negative errno, err says
 *         what failed
 */
int contain_make_group(
	struct contain *contain, const char *slot, uint64_t incarnation, struct err *err);
/** Nothing lives in the slot any more, or nothing was started: its groups can go. */
void contain_remove_group(struct contain *contain, const char *slot);
void contain_free(struct contain *contain);
/** The soft limit that marks what a supervisor starts in a slot; never 0. */
uint64_t contain_limit_mark(const char *epoch, const char *slot);
/** Supervisors of this runtime directory whose marks count, at most CONTAIN_EPOCHS. */
void contain_add_epoch(struct contain *contain, const char *epoch);
/** Children of ours that are no slot's: never members (drover-log). */
void contain_set_exempt(struct contain *contain, pid_t pid);

/** Something was started: what was seen before does not count any more. */
void contain_started(struct contain *contain);
/** Living members of the tree now; zombies are dead. */
int contain_count(struct contain *contain, const struct contain_target *target);
/** As the last look found, this one has both marks of another slot, so it and what it has started
 * is no member of this one. */
bool contain_is_anothers(struct contain *contain, pid_t pid, const char *slot);
/** Is this process, which may be dying, of the tree? Looks at it and its ancestors only. */
bool contain_has(struct contain *contain, const struct contain_target *target, pid_t pid);
/** Calls each() for the living members. */
void contain_each(struct contain *contain, const struct contain_target *target,
	void (*each)(void *arg, pid_t pid), void *arg);
/** Is the standard output or error of pid the log of the slot? Asks no file system: never blocks.
 */
bool contain_holds_log(pid_t pid, const struct contain_target *target);
/** Signals the members. @return how many were signalled */
int contain_signal(struct contain *contain, const struct contain_target *target, int signo,
	enum contain_reach reach);
/**
 * Slots whose marks or groups are found on living processes.
 * @param found  called with each slot's name, at times twice
 */
void contain_marked(struct contain *contain, void (*found)(void *arg, const char *slot), void *arg);
/** KILL to every descendant of ours but `spare`: the end of droverd. @return how many live */
int contain_kill_descendants(struct contain *contain, pid_t spare);

/** Start time from /proc/PID/stat in clock ticks; 0 when there is none or it is a zombie. */
uint64_t contain_start_time(pid_t pid);
/** A pidfd of pid if it (still) is the process that started at start_time. @return fd, or -1 */
int contain_open(pid_t pid, uint64_t start_time);
/**
 * The same, also for a zombie that is our child: how it ended can still be asked.
 * @return fd; -ESRCH it is gone; -EMFILE, -ENFILE, -ENOMEM: that cannot be known
 */
int contain_open_own(pid_t pid, uint64_t start_time);
/** Is it, dead or alive, a child of ours? */
bool contain_is_child(pid_t pid);
