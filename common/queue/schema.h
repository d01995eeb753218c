/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * drover's own tables. The scheduler alone migrates (queue_migrate), expanding first; others wait
 * for the version. Times are ms since 1970. Ids are never reused.
 */
enum { QUEUE_SCHEMA_VERSION = 3 };

/* drover_task.state. LEAVING is seen by nobody: it marks, inside one transaction, what becomes a
 * dead letter. CANCELLED: its run was cancelled while somebody held it, who finds out at the next
 * guard; it leaves when its holder lets go, dies, or lets the lease run out. BEHIND: its run waits
 * for the job's run before. */
enum task_state {
	TASK_READY = 0,
	TASK_CLAIMED = 1,
	TASK_LEAVING = 2,
	TASK_CANCELLED = 3,
	TASK_BEHIND = 4
};
/* drover_task.priority; claims are shared 6:3:1 */
enum task_priority { PRIORITY_HIGH = 0, PRIORITY_MEDIUM = 1, PRIORITY_LOW = 2 };

/* clang-format off */
/*
 * drover_meta   key PK, value                       schema_version
 * drover_job    name PK, kind, spec_hash, next_due_at NULL, paused, updated_at, concurrency (tasks at a
 *               time over all processes, 0: no bound of its own), resumed_at (due times until then
 *               were paused), follows NULL (for people: the jobs it runs after)
 * drover_due    job, due_at, outcome, reason, run_id NULL, decided_at, PRIMARY KEY (due_at, job)
 *               outcome: fired, coalesced, skipped, missed; kept for store.history after decided_at and due_at
 * drover_after  job, parent, run_id, ended_at, PRIMARY KEY (job, parent)
 *               of a job that runs after others: which of them have ended since it was due last
 * drover_run    id PK, job, trigger (schedule, catch_up, after, manual), request_id UNIQUE where not NULL (idempotency of manual
 *               runs), token UNIQUE (how one transaction finds the run it made), due_at NULL,
 *               created_at, started_at NULL, finished_at NULL, state (queued, running, succeeded,
 *               failed, cancelled, skipped), tasks_total = tasks_done + tasks_failed (given up) + tasks_dead
 *               (attempts used up) + tasks_cancelled + those still in drover_task, exclusive NULL (the
 *               job, when its policy forbids two open runs: UNIQUE over runs that are not finished),
 *               waiting NULL (the job, while it waits for the run before: UNIQUE over the same),
 *               followed (other jobs run after it, and are not yet told of its end; 2: it had ended before)
 *               cancelled_at NULL (told to end: it ends `cancelled` when no task is left), pages (URLs to be fetched or
 *               fetched), requests, rows, rejected, bytes, error_count, errors (JSON list, the first
 *               20 at most)
 * drover_task   id PK, run_id, job, kind, priority, state, not_before, attempt, max_attempts, fence,
 *               owner NULL, lease_until NULL (0: given up by its owner), checkpoint, payload, depth, unique_key NULL (a URL),
 *               timeout_ms, created_at, claimed_at NULL, last_error NULL
 *               hot: finished tasks are deleted in the transaction that finishes them.
 *               UNIQUE (run_id, unique_key); index ready (kind, priority, not_before, id) WHERE state = 0
 * drover_task_history
 *               id, run_id, job, kind, attempt, owner NULL, created_at, started NULL, ended, outcome
 *               (done, failed, dead, cancelled), error NULL
 *               a line for each time a task leaves drover_task; kept for store.history
 * drover_dead   the task's columns that it needs to come back, error, given_up (1: counted in
 *               tasks_failed, 0: in tasks_dead), failed_at
 * drover_url    run_id, url, depth, state (queued, fetched, skipped, failed), reason, status,
 *               task_id NULL, referrer, PRIMARY KEY (run_id, url)
 *               the frontier, and the reason for each URL not fetched
 * drover_cursor job, part (a task's payload: the partition), cursor NULL, reached NULL, updated_at, run_id,
 *               PRIMARY KEY (job, part): all before cursor is stored; the highest that was seen
 * drover_window job, part, since, run_id, PRIMARY KEY (job, part, since)
 *               windows of a partition that are not done: the cursor stays before the first
 * drover_ended_by run_id, rule, tasks, PRIMARY KEY (run_id, rule)
 *               how many tasks of a run ended by which stop rule
 * drover_owner  owner PK, kind, since               who claims: those of whom a death is told
 */
/* clang-format on */
