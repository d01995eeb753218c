/* SPDX-License-Identifier: MIT */
#pragma once
/* The field tables of the sections that all kinds share. Each ends with a row whose name is NULL.
 */
#include "config/field.h"

struct arena;
struct worker_kind;

/* A section that is one struct of struct config. */
struct config_section {
	const char *name;
	const struct config_field *fields;
	size_t offset; /* in struct config */
};
extern const struct config_section config_sections[]; /* ends with a NULL name */

extern const struct config_field supervisor_fields[]; /* of struct config_supervisor */
extern const struct config_field logs_fields[];
extern const struct config_field store_fields[];
extern const struct config_field http_fields[];
extern const struct config_field service_fields[];
extern const struct config_field command_fields[]; /* of struct config_service: a job that is one */
extern const struct config_field provider_fields[];
extern const struct config_field auth_fields[]; /* of struct config_auth */
extern const struct config_field tls_fields[];
extern const struct config_field connections_fields[];
extern const struct config_field proxy_fields[]; /* of struct config_proxy */
extern const struct config_field
	job_fields[]; /* what jobs of all kinds have; of struct config_job */
/** The rows of job_fields that a job of this kind has, with its defaults. In the arena; NULL: no
 * memory. */
const struct config_field *job_fields_of(struct arena *arena, const struct worker_kind *kind);
/** workers.KIND, only what the kind has, with its defaults. In the arena; NULL: no memory. */
const struct config_field *worker_fields(struct arena *arena, const struct worker_kind *kind);
/** Rows before the end. */
size_t fields_count(const struct config_field *fields);
