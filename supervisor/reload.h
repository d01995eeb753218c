/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Old configuration and new configuration -> what has to be done to which slot. The comparison is
 * pure; carrying it out is the supervisor's.
 */
#include "base/compiler.h"
#include "process.h"
#include <stddef.h>

struct config;
struct config_service;
struct config_worker;
struct err;

/* A slot that a configuration asks for. */
struct slot {
	char name[SLOT_NAME_SIZE];
	const struct config_worker *worker; /* one of the two */
	const struct config_service *service;
};
struct slots {
	struct slot *items;
	size_t count;
};

enum reload_change { RELOAD_LIVE, RELOAD_RESTART, RELOAD_START, RELOAD_STOP, RELOAD_SUPERVISOR };
struct reload_step {
	char name[SLOT_NAME_SIZE]; /* slot, or section for RELOAD_SUPERVISOR */
	enum reload_change change;
};
struct reload_plan {
	struct reload_step *steps;
	void *array;
	size_t count, cap;
};

/** Workers in the order of kinds, NAME or NAME:N, then services likewise. @return 0, -ENOMEM,
 * -E2BIG over max */
int slots_of(
	const struct config *config, size_t max, struct slots *out, struct err *err) MUST_CHECK;
void slots_finish(struct slots *slots);
/** A slot that did not change has no step. @return 0 or negative */
int reload_plan(const struct config *old_config, const struct config *new_config, size_t max,
	struct reload_plan *out, struct err *err) MUST_CHECK;
void reload_plan_finish(struct reload_plan *plan);
/** "live" ... */
const char *reload_change_name(enum reload_change change);
