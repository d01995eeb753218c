/* SPDX-License-Identifier: MIT */
#pragma once
/* When a slot's instance is asked, and how long it has to become ready; by its present rules. */
#include <stdbool.h>
#include <stdint.h>

struct config_probe;
struct process;

/** From its running to the first question. */
int64_t process_first_probe_ms(const struct process *p);
int64_t process_probe_interval_ms(const struct process *p);
/** From its start to the word that it is ready: workers, and services that speak for themselves. */
int64_t process_ready_within_ms(const struct process *p);
void process_begin_probes(struct process *p, int64_t first_ms);
/** Asks no more; what was begun for a question ends. */
void process_end_probes(struct process *p);
/** The question itself is the same, whatever its times. */
bool process_asks_alike(const struct config_probe *a, const struct config_probe *b);
