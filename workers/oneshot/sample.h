/* SPDX-License-Identifier: MIT */
#pragma once
/* One run of a job that nobody but us works on, in a database that is thrown away. Private to
 * workers/oneshot. */
#include "base/buf.h"
#include "base/compiler.h"
#include "oneshot/oneshot.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch_tap;

struct sample {
	struct oneshot *o;
	const struct fetch_tap *tap; /* its arg is the sample; NULL: nobody looks */
	const char *payload;	     /* of the one task; NULL: what the job begins with */
	int64_t records;	     /* no more pages once so many are there */
	size_t tasks, tasks_of_job;
	struct loop *loop;
	struct store *store, *known; /* known: where a collect job's values and cursors are, read
					only; NULL: it has none */
	struct worker *worker;
	struct loop_timer *look, *patience;
	struct loop_signal *on_int, *on_term;
	char dir[4096], url[4200];
	const char *state_dir;
	int code, signal;
	/* for the tap */
	const char *wanted;
	bool asked;
	int64_t opens_in_ms;
	struct buf request, body, answers; /* JSON, and a body's start */
};

/** Runs until the run has ended, or something calls loop_stop(). @return s->code */
int sample_play(struct sample *s);
/** Writes what became of the run and its rows. */
void sample_gather(struct sample *s);
/** Frees all but s itself. @return the exit code, if no signal ends us */
int sample_end(struct sample *s);
/** Opens s->known if the job asks the store before its first call. @return s->code, with words said
 */
int sample_open_known(struct sample *s, const char *store_url);
/** How many tasks there are is known only when it runs: for_each reads its values. */
bool sample_reads_values(const struct sample *s);
bool sample_crawls(const struct sample *s);
struct limits *sample_limits(struct sample *s);
/** Keeps "request" and "limits" of what is about to be sent. */
void sample_keep_request(struct sample *s, const struct fetch_spec *spec);
/** Makes a page of the job's provider alone of a collect job. */
void sample_make_plain(struct oneshot *o, const char *path);
