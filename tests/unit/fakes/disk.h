/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * A disk that can lose power: a layer under SQLite (a VFS) that knows of each file in one folder
 * what was synced and what was only written. disk_survivors() puts into another folder what a power
 * cut at this instant could leave: what was synced, and of the rest any part, in any order, sector
 * by sector; a file that was never synced may be missing, one whose removal was not synced may be
 * back. The shared memory of a WAL dies. Nothing is really synced: tests need not wait for a disk.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Becomes SQLite's default; the same seed and the same calls leave the same. Once a process. */
void disk_install(uint64_t seed);
/** Watches the files of this folder from now on, no other's. What lies in it is durable. No file of
 * it is open. */
void disk_watch(const char *folder);
/** Calls cb(arg) once, on the thread that does it, before the write, truncation or sync that comes
 * after so many of them. */
void disk_cut_in(unsigned operations, void (*cb)(void *arg), void *arg);
/** Writes what could be left into the folder, which is there and empty. From within cb, or while
 * nobody writes. */
void disk_survivors(const char *folder);
/** The next write to a WAL waits for disk_release(): what is submitted meanwhile becomes one group.
 */
void disk_hold(void);
/** Waits until something is held. @return false after 10 s */
bool disk_is_held(void);
void disk_release(void);
/** Writes, truncations and syncs in watched files so far, and how many bytes of the first two were
 * lost in cuts. */
uint64_t disk_operations(void);
uint64_t disk_bytes_lost(void);
