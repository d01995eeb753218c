/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * The bodies of messages, field by field. MSG_BODY_x(F, S): F(S, type, name) for each field, S is
 * handed through. Types: U32, U64, I64, STR (NUL-terminated, never NULL), BYTES (data and len). On
 * the wire, little endian: integers as they are, STR and BYTES as u32 length and the bytes (STR
 * without its NUL).
 */
/* clang-format off */
#define MSG_BODY_empty(F, S)
#define MSG_BODY_hello(F, S) F(S, U32, version) F(S, STR, kind) F(S, U64, pid)
#define MSG_BODY_setup(F, S) F(S, STR, name) F(S, STR, owner) F(S, STR, node) F(S, U64, incarnation) F(S, U32, stats_slot) F(S, U32, log_level) F(S, STR, state_dir)
#define MSG_BODY_config(F, S) F(S, U32, generation)
#define MSG_BODY_config_result(F, S) F(S, U32, generation) F(S, U32, ok) F(S, STR, error)
#define MSG_BODY_probe(F, S) F(S, U64, seq)
#define MSG_BODY_beat(F, S) F(S, U64, seq) F(S, U64, progress) F(S, U32, working) F(S, U64, stalled_ms) F(S, U64, stall_limit_ms)
#define MSG_BODY_drain(F, S) F(S, U64, deadline_ms)
#define MSG_BODY_trim(F, S) F(S, U64, seq)
#define MSG_BODY_trimmed(F, S) F(S, U64, seq) F(S, U64, before) F(S, U64, after)
#define MSG_BODY_hold(F, S) F(S, U32, on)
#define MSG_BODY_owner_gone(F, S) F(S, STR, owner)
#define MSG_BODY_wake(F, S) F(S, STR, kind)
#define MSG_BODY_check_http(F, S) F(S, U64, id) F(S, STR, slot) F(S, U64, incarnation) F(S, STR, url) F(S, STR, status) F(S, STR, body) F(S, U64, timeout_ms)
#define MSG_BODY_check_tcp(F, S) F(S, U64, id) F(S, STR, slot) F(S, U64, incarnation) F(S, STR, address) F(S, U64, timeout_ms)
#define MSG_BODY_check_result(F, S) F(S, U64, id) F(S, STR, slot) F(S, U64, incarnation) F(S, U32, ok) F(S, U64, latency_ms) F(S, STR, detail)
#define MSG_BODY_question(F, S) F(S, U64, id) F(S, U32, uid) F(S, U32, may_change) F(S, STR, verb) F(S, BYTES, args)
#define MSG_BODY_answer(F, S) F(S, U64, id) F(S, U32, last) F(S, U32, exit_code) F(S, BYTES, json)
#define MSG_BODY_exec_start(F, S) F(S, STR, job) F(S, U64, run) F(S, U64, task) F(S, U64, fence) F(S, U64, attempt) F(S, U32, may_start)
#define MSG_BODY_exec_task(F, S) F(S, U64, task) F(S, U64, fence)
#define MSG_BODY_exec_ended(F, S) F(S, U64, task) F(S, U64, fence) F(S, U32, started) F(S, STR, reason) F(S, I64, code) F(S, I64, signal) F(S, STR, detail)
#define MSG_BODY_log_open(F, S) F(S, STR, name) F(S, STR, file) F(S, U64, max_size) F(S, U32, backups) F(S, U32, max_line) F(S, U64, max_age_ms) F(S, U32, compress) F(S, U32, half_line)
#define MSG_BODY_log_rotated(F, S) F(S, U32, rotated) F(S, U32, later)
#define MSG_BODY_log_name(F, S) F(S, STR, name)
#define MSG_BODY_request(F, S) F(S, U32, version) F(S, STR, verb) F(S, BYTES, args)
#define MSG_BODY_page(F, S) F(S, U32, last) F(S, U32, exit_code) F(S, BYTES, json)
#define MSG_BODY_summary(F, S) F(S, STR, json)

#define MSG_BODIES(B) B(empty) B(hello) B(setup) B(config) B(config_result) B(probe) B(beat) B(drain) B(trim) B(trimmed) B(hold) B(owner_gone) B(wake) B(check_http) B(check_tcp) B(check_result) B(question) B(answer) B(exec_start) B(exec_task) B(exec_ended) B(log_open) B(log_rotated) B(log_name) B(request) B(page) B(summary)
