/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One cgroup2 group for each instance of a slot, so that its whole tree is known and ended by the
 * kernel. Groups are made only inside a group that was delegated to us: the one that droverd finds
 * itself in, when it or the one above it (systemd's DelegateSubgroup=, or a droverd that is a
 * service of another) carries the mark that systemd sets with Delegate=yes, the extended attribute
 * trusted.delegate or user.delegate = 1. Variables like $INVOCATION_ID are no proof: whatever
 * somebody starts in a unit inherits them. Without the mark, without the right to write there, and
 * in the root of a hierarchy, nothing is touched.
 *
 * No controllers are enabled: systemd 252 could not start the unit's main process into its group
 * again after a crash (219/CGROUP). Groups are for ending only.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cgroups;
struct err;

/**
 * Finds the group that is ours, and in it what an earlier supervisor of the same runtime directory
 * left: by name, so it belongs to its slot. Empty left-overs are removed.
 * @param runtime_dir  part of the groups' names: two supervisors in one group do not meet
 * @return 0; -ENOENT there is none, err says why; other negative errno
 */
int cgroups_open(struct cgroups **out, const char *runtime_dir, struct err *err) MUST_CHECK;
/** Groups stay as they are. */
void cgroups_free(struct cgroups *groups);
/** The directory in which the groups are. */
const char *cgroups_path(const struct cgroups *groups);
/** Readable when a group that cgroups_living() looked at has changed. */
int cgroups_fd(const struct cgroups *groups);
/** Takes what cgroups_fd() has to tell. @param changed  called with the slot of each such group */
void cgroups_read(struct cgroups *groups, void (*changed)(void *arg, const char *slot), void *arg);

/** Makes the group of a new instance. @return its directory (the caller closes it), negative errno
 */
int cgroups_make(struct cgroups *groups, const char *slot, uint64_t incarnation, struct err *err);
/** How many live in the slot's groups; at least 1 when that cannot be told. */
int cgroups_living(struct cgroups *groups, const char *slot);
/** KILL to all that live in them, at once. */
void cgroups_kill(struct cgroups *groups, const char *slot);
/** Calls each() for the members of the slot's groups. */
void cgroups_members(
	struct cgroups *groups, const char *slot, void (*each)(void *arg, pid_t pid), void *arg);
/** Removes the slot's groups that are empty. */
void cgroups_remove(struct cgroups *groups, const char *slot);
/** Calls found() for the slot of each group in which somebody lives; one slot may come twice. */
void cgroups_found(struct cgroups *groups, void (*found)(void *arg, const char *slot), void *arg);
