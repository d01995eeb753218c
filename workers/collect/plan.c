/* SPDX-License-Identifier: MIT */
#include "collect/plan.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/auth.h"
#include "collect/kind.h"
#include "collect/row.h"
#include "store/job_table.h"
#include "json/path.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	json_path_free(plan->records);
	row_maker_free(plan->rows);
	json_path_free(plan->cursor);
	arena_free(plan->arena);
	job_limits_finish(&plan->limits);
	free(plan);
}

static int lay_out_table(struct plan *plan, struct err *err)
{
	const struct config_array *fields = &plan->spec->fields;
	const struct config_column *columns = fields->items;
	plan->arena = arena_new(0);
	struct store_column *room =
		plan->arena ? arena_alloc(plan->arena, fields->count * sizeof(*room)) : NULL;
	if (!room || !job_table_fill(&plan->table, plan->arena, plan->job))
		return err_set(err, -ENOMEM, "out of memory");
	plan->table.columns = room;
	plan->table.column_count = fields->count;
	for (size_t i = 0; i < fields->count; i++)
		room[i] = (struct store_column) { columns[i].name, columns[i].type };
	return 0;
}

static int lay_out_records(struct plan *plan, struct err *err)
{
	static const enum record_format formats[] = {
		[FORMAT_JSON] = RECORD_JSON,
		[FORMAT_NDJSON] = RECORD_NDJSON,
		[FORMAT_CSV] = RECORD_CSV,
		[FORMAT_XML] = RECORD_XML,
	};
	const struct collect_job *spec = plan->spec;
	int rc = json_path_new(&plan->records, spec->records, err);
	if (rc < 0)
		return rc;
	plan->reader = (struct record_options) {
		.format = formats[spec->format],
		.path = plan->records,
		.csv = { .delimiter = spec->csv.delimiter ? *spec->csv.delimiter : ',',
			.quote = spec->csv.quote ? *spec->csv.quote : '"',
			.columns = &spec->csv.columns,
			.skip = spec->csv.skip },
	};
	return row_maker_new(&plan->rows, plan->job, err);
}

int plan_new(struct plan **out, const struct config_job *job, struct err *err)
{
	struct plan *plan = NEW(struct plan);
	if (!plan)
		return err_set(err, -ENOMEM, "job %s: out of memory", job->name);
	plan->job = job;
	plan->spec = job->spec;
	plan->provider = plan->spec->provider;
	int rc = plan->provider ? lay_out_records(plan, err)
				: err_set(err, -EINVAL, "its provider is not there");
	if (rc == 0 && plan->spec->incremental.cursor)
		rc = json_path_new(&plan->cursor, plan->spec->incremental.cursor, err);
	if (rc == 0)
		rc = lay_out_table(plan, err);
	if (rc == 0)
		rc = job_limits_init(&plan->limits, plan->provider, err);
	if (rc == 0)
		rc = auth_lay_out(plan, err);
	if (rc < 0) {
		plan_free(plan);
		return err_wrap(err, "job %s", job->name);
	}
	*out = plan;
	return 0;
}
