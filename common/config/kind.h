/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * What a worker kind is, as data: linked by the worker itself and by the supervisor, which starts
 * it and checks its part of the configuration. Behaviour is struct worker_ops (worker/worker.h).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct config_column;
struct config_context;
struct config_field;
struct config_job;

struct worker_kind {
	const char *name;    /* "collect": slot names, workers.NAME, jobs' kind */
	const char *summary; /* one line */
	/* "drover-collect", found beside droverd or in libexecdir/drover; NULL: the kind is one of
	 * jobs only, which no process of its own works on */
	const char *program;
	int64_t drain_ms; /* time to finish in-flight work when told to drain */
	int64_t default_processes, max_processes;
	int64_t default_concurrency; /* 0: the kind has no such field */
	int64_t default_parsers;     /* 0: the kind has no such field */
	bool needs_store;	     /* opens the database */
	bool takes_tasks;	     /* its death frees tasks, WORK wakes it */
	bool answers_questions;	     /* the command line's questions may be relayed to it */
	bool sees_providers;	     /* gets the providers that its jobs name, with their secrets */
	bool sees_all_jobs;	     /* gets the jobs of all kinds, without secrets */
	/* Its jobs are commands (spec: struct config_service): the scheduler takes their tasks and
	 * has droverd run them. */
	bool runs_commands;
	int64_t default_attempts; /* of its jobs' tasks; 0: as the table says */
	/* Jobs of this kind; NULL: there are none. */
	const struct config_field *job_fields;
	size_t job_size;
	/* Before a job's spec is filled; NULL: nothing. */
	void (*job_defaults)(const struct config *config, void *spec);
	/*
	 * The columns that a job's rows have, in the order of the table; writes at most max of
	 * them; NULL: its jobs have no `store`. Names may repeat when they come from several rules
	 * of a job. @return how many there are
	 */
	size_t (*job_columns)(const struct config_job *job, struct config_column *out, size_t max);
	/* The provider that a job's calls go to, NULL: none. */
	const char *(*job_provider)(const struct config_job *job);
	/* Cross-checks of one job, all names resolved; reports through config_error(). */
	void (*check_job)(
		struct config_context *ctx, const struct config *config, struct config_job *job);
};

/* All kinds, in the order of workers/kinds.def, ends with NULL. */
extern const struct worker_kind *const worker_kinds[];
