/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Asks one instance again and again whether it is well, and gives each question one verdict. Knows
 * time and sequence numbers; knows nothing of who is asked or of what follows from the verdict.
 */
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;

enum probe_verdict {
	PROBE_OK,
	PROBE_FAILED,
	PROBE_UNKNOWN, /* nobody could be asked, or we were asleep ourselves: counts for nothing */
};

struct probe_ops {
	/** Sends question `seq`. @return false when nobody can be asked now */
	bool (*send)(void *arg, uint64_t seq);
	void (*verdict)(
		void *arg, enum probe_verdict verdict, int64_t latency_ms, const char *detail);
};

struct probe {
	struct loop *loop;
	struct loop_timer *timer;
	const struct probe_ops *ops;
	void *arg;
	int64_t interval_ms, timeout_ms;
	uint64_t seq;	    /* grows over all instances, so that a late answer never fits */
	bool silence_fails; /* no answer in time: failed (beats); else unknown (the monitor was
			       asked) */
	bool awaiting, grace;
	bool asked; /* since it began */
	enum {
		PROBE_SILENT,
		PROBE_HEARD_WELL,
		PROBE_HEARD_ILL
	} heard; /* since the last question */
	int64_t begun_ms, first_ms, sent_ms, due_ms;
	int64_t spread_ms; /* after a stall of ours, for then all are due at once */
};

/** @return 0, -ENOMEM */
int probe_init(struct probe *probe, struct loop *loop, const struct probe_ops *ops, void *arg);
void probe_finish(struct probe *probe);
/** The first question goes out after first_ms, the others interval_ms apart. */
void probe_begin(struct probe *probe, int64_t first_ms, int64_t interval_ms, int64_t timeout_ms,
	bool silence_fails);
/** New times, counted from the same beginnings: what they do not change is not armed again. A
 * question that is out keeps its timeout. */
void probe_adjust(struct probe *probe, int64_t first_ms, int64_t interval_ms, int64_t timeout_ms);
/** Asks no more; an answer on its way is stale. */
/** The question that is under way, if any, is unknown: its answer says nothing any more. */
void probe_drop(struct probe *probe, const char *detail);
void probe_end(struct probe *probe);
/**
 * Word came unasked (notify): it answers the question that is out, else the next one, before it is
 * asked. One success and one failure count between two questions.
 */
void probe_hear(struct probe *probe, bool well, const char *detail);
/** An answer came. @return false when it is stale and was dropped */
bool probe_answer(
	struct probe *probe, uint64_t seq, bool ok, int64_t latency_ms, const char *detail);
