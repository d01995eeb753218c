/* SPDX-License-Identifier: MIT */
/* A start that fails: at which step, and why. */
#include "base/clock.h"
#include "log/log.h"
#include "process.h"
#include "process_inner.h"
#include "process_probe.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

void process_start_failed(struct process *p, const char *step, int error)
{
	char words[PROCESS_DETAIL];
	snprintf(words, sizeof(words), "%s: %s", step, strerror(error));
	process_words(&p->start_error, words);
	process_words(&p->failed_start.step, step);
	p->failed_start.error = error;
	p->failed_start.at_ms = clock_real_ms();
	log_error(MAIN, "process_start_failed", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation), KV_STR("step", step), KV_INT("errno", error),
		KV_STR("error", strerror(error)));
	process_remember(p, "process_start_failed", step, strerror(error));
}

void process_degraded(struct process *p, const char *what, int error)
{
	log_warn(MAIN, "process_degraded", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation), KV_STR("step", what), KV_INT("errno", error),
		KV_STR("error", strerror(error)));
	process_remember(p, "process_degraded", what, strerror(error));
}

bool process_note_late(struct process *p)
{
	const char *step = p->ops->stands_at ? p->ops->stands_at(p) : NULL;
	/* The directory or the program lies on a mount that does not answer, or the like. */
	if (step) {
		process_start_failed(p, step, ETIMEDOUT);
		process_end_for(p, CAUSE_EXIT);
		return true;
	}
	if (!process_must_speak(p))
		return false;
	log_error(MAIN, "process_not_ready", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation),
		KV_INT("wait_ms", process_ready_within_ms(p)));
	process_remember(p, "process_not_ready", NULL, NULL);
	process_words(&p->start_error, "not ready in time");
	process_end_for(p, CAUSE_PROBE);
	return true;
}
