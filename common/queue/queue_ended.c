/* SPDX-License-Identifier: MIT */
/* What is told of runs that end. */
#include "log/log.h"
#include "queue/queue_sql.h"

enum { COL_ID, COL_JOB, COL_STATE, COL_STARTED, COL_FINISHED, COL_TOTAL, COL_FAILED, COL_DEAD };

static void tell(const struct store_result *r, size_t statement)
{
	for (size_t row = 0; row < store_result_rows(r, statement); row++) {
		int64_t finished = store_result_int(r, statement, row, COL_FINISHED);
		int64_t started = store_result_int(r, statement, row, COL_STARTED);
		/* Wall clocks, perhaps of two processes, and one may have been set meanwhile. */
		int64_t took = started > 0 ? MAX(finished - started, (int64_t)0) : 0;
		log_info(PERFORMANCE, "execution_time_measured",
			KV_STR("job", store_result_text(r, statement, row, COL_JOB)),
			KV_INT("run", store_result_int(r, statement, row, COL_ID)),
			KV_STR("state", store_result_text(r, statement, row, COL_STATE)),
			KV_INT("execution_time_ms", took),
			KV_INT("tasks", store_result_int(r, statement, row, COL_TOTAL)),
			KV_INT("tasks_failed", store_result_int(r, statement, row, COL_FAILED)),
			KV_INT("tasks_dead", store_result_int(r, statement, row, COL_DEAD)));
	}
}

void queue_tx_tell_ends(struct store_tx *tx)
{
	store_tx_watch(tx, tell);
}
