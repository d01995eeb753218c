/* SPDX-License-Identifier: MIT */
#pragma once
/* Typed fields of a record. The key is a constant; new keys are listed here so that one fact has
 * one name. */
#include <stddef.h>
#include <stdint.h>

enum kv_type { KV_END, KV_TYPE_STR, KV_TYPE_INT, KV_TYPE_REAL, KV_TYPE_BOOL };
struct kv {
	const char *key;
	enum kv_type type;
	const char *str;
	int64_t i;
	double real;
};
#define KV_STR(k, v)  ((struct kv) { .key = (k), .type = KV_TYPE_STR, .str = (v) })
#define KV_INT(k, v)  ((struct kv) { .key = (k), .type = KV_TYPE_INT, .i = (int64_t)(v) })
#define KV_REAL(k, v) ((struct kv) { .key = (k), .type = KV_TYPE_REAL, .real = (v) })
#define KV_BOOL(k, v) ((struct kv) { .key = (k), .type = KV_TYPE_BOOL, .i = (v) })

/*
 * The keys in use: name (slot), kind, pid, incarnation, state, reason, code, signal, job, run,
 * task, due_at, url, provider, status, rows, rejected, requests, bytes, attempt, error, errno,
 * file, line, column, step, duration_ms, wait_ms, restart_due_at, strikes, detail, count, path,
 * owner, table, verb, uid, version, metric, value, health, critical_ms, method, process_time_ms,
 * execution_time_ms, set_ms, slept_ms, tasks, tasks_failed, tasks_dead. The writer adds: time,
 * level, category, process, event, msg, fields_cut (when not all fit).
 */
