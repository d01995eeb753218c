/* SPDX-License-Identifier: MIT */
/*
 * Any bytes are a configuration or a report of errors, each with its place. What is accepted can be
 * printed; what is printed is accepted and prints the same; each kind's hand-over is read back, and
 * what it gets of its jobs is what they were.
 */
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "config/context.h"
#include "config/handover.h"
#include "config/kind.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void demand(int holds)
{
	if (!holds)
		abort();
}

static const char *no_variable(const char *name)
{
	return str_eq(name, "A") ? "value" : NULL;
}

static struct config *load(const void *data, size_t len)
{
	const struct config_options options = {
		.file = "f", .kinds = worker_kinds, .getenv = no_variable
	};
	struct config *config = NULL;
	struct buf report = BUF_INIT;
	int rc = config_load_memory(&config, &options, "f", data, len, &report);
	demand(rc == 0 ? config && !report.len : !config && report.len);
	demand(rc == 0 || str_starts(buf_str(&report), "f:") ||
		str_starts(buf_str(&report), "drover: "));
	demand(str_is_utf8(buf_str(&report), report.len, NULL));
	for (size_t i = 0; i < report.len; i++)
		demand((unsigned char)report.data[i] >= 0x20 || report.data[i] == '\n');
	buf_finish(&report);
	return config;
}

static void judge_print(const struct config *config)
{
	struct buf first = BUF_INIT, second = BUF_INIT;
	demand(config_print(config, &first) == 0);
	if (!config->tree->secret_count) {
		struct config *again = load(buf_str(&first), first.len);
		demand(again != NULL);
		demand(config_print(again, &second) == 0);
		demand(str_eq(buf_str(&first), buf_str(&second)));
		config_free(again);
	}
	buf_finish(&first);
	buf_finish(&second);
}

static void judge_handover(const struct config *config, const struct worker_kind *kind)
{
	struct buf bytes = BUF_INIT;
	struct config *out = NULL;
	struct err err = { 0 };
	demand(handover_encode(&bytes, config, kind, &err) == 0);
	demand(handover_decode(&out, bytes.data, bytes.len, worker_kinds, &err) == 0);
	for (size_t i = 0; i < out->job_count; i++) {
		const struct config_job *job = &out->jobs[i];
		char path[80] = "jobs.";
		str_copy(path + 5, sizeof(path) - 5, job->name);
		if (job->kind == kind)
			demand(config_diff(config, out, path) == CHANGE_NONE);
	}
	config_free(out);
	buf_finish(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *config = load(data, size);
	if (config) {
		judge_print(config);
		for (size_t i = 0; worker_kinds[i]; i++)
			if (worker_kinds[i]->program)
				judge_handover(config, worker_kinds[i]);
		demand(config_diff(config, config, "supervisor") == CHANGE_NONE);
	}
	config_free(config);
	/* The same bytes as a hand-over. */
	struct config *out = NULL;
	if (handover_decode(&out, data, size, worker_kinds, NULL) == 0)
		config_free(out);
	return 0;
}
