/* SPDX-License-Identifier: MIT */
#include "scheduler/answers.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/kind.h"
#include "config/config.h"
#include "config/kind.h"
#include "ipc/control.h"
#include "ipc/messages.h"
#include "log/log.h"
#include "queue/queue_answers.h"
#include "schedule/due.h"
#include "scheduler/args.h"
#include "scheduler/db.h"
#include "scheduler/job_run.h"
#include "scheduler/scheduler.h"
#include "scheduler/ticker.h"
#include "store/store.h"
#include "worker/worker.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

_Static_assert((int)QUEUE_PAGE_MAX <= (int)PAGE_MAX, "the queue's pages are passed on as they are");

enum {
	EXIT_AWAY = 1,
	EXIT_REFUSED = 1,
	EXIT_USAGE = 2,
	EXIT_NO_SUCH_NAME = 4,
	EXIT_NOT_PERMITTED = 5,
	/* More clients than this at once are told to come again. */
	QUESTIONS_MAX = 64,
	NEARLY_FULL = PAGE_MAX - 1024,
};

struct answers {
	struct scheduler *scheduler;
	struct list questions;
	size_t count;
};

/* One that waits for the store. */
struct question {
	struct list node;
	struct answers *answers;
	uint64_t id;
	struct args args;
	bool of_jobs, of_unknown_job, any_row;
	struct queue_answer *in_work;
	struct db_question *of_db;
	char **seen; /* jobs: those that the store knows */
	size_t seen_count, seen_cap;
};

static void question_free(struct question *q)
{
	struct store *store = q->answers->scheduler->store;
	queue_answer_cancel(q->in_work);
	db_cancel(q->of_db);
	store_forget(store, q);
	list_remove(&q->node);
	q->answers->count--;
	args_finish(&q->args);
	for (size_t i = 0; i < q->seen_count; i++)
		free(q->seen[i]);
	free(q->seen);
	free(q);
}

struct answers *answers_new(struct scheduler *s)
{
	struct answers *a = NEW(struct answers);
	if (!a)
		return NULL;
	a->scheduler = s;
	list_init(&a->questions);
	return a;
}

void answers_free(struct answers *a)
{
	if (!a)
		return;
	LIST_FOR_EACH_SAFE (node, &a->questions)
		question_free(LIST_ENTRY(node, struct question, node));
	free(a);
}

/* ---- pages ---- */

static int send_page(
	struct answers *a, uint64_t id, const char *json, size_t len, bool last, int exit_code)
{
	struct msg_answer page = {
		.id = id, .last = last, .exit_code = (uint32_t)exit_code, .json = { json, len }
	};
	return worker_send(a->scheduler->worker, MSG_ANSWER, &page);
}

static void send_error(struct answers *a, uint64_t id, int exit_code, const char *words)
{
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct json_out j;
	json_out_init(&j, &json);
	json_open_object(&j, NULL);
	json_str(&j, "error", words);
	if (exit_code == EXIT_AWAY)
		json_bool(&j, "away", true);
	json_close_object(&j);
	send_page(a, id, buf_str(&json), json.len, true, exit_code);
}

static void send_no_such_job(struct answers *a, uint64_t id, const char *name)
{
	const struct config *config = ticker_config(a->scheduler->ticker);
	CLEANUP(buf_finish) struct buf words = BUF_INIT;
	const char **names = calloc(config->job_count + 1, sizeof(*names));
	for (size_t i = 0; names && i < config->job_count; i++)
		names[i] = config->jobs[i].name;
	const char *near = names ? str_nearest(name, names, config->job_count) : NULL;
	buf_addf(&words, "no such job: %.100s", name);
	if (near)
		buf_addf(&words, ", did you mean '%s'?", near);
	free(names);
	send_error(a, id, EXIT_NO_SUCH_NAME, buf_str(&words));
}

/* A list of objects over as many pages as it needs. */
struct pages {
	struct answers *answers;
	uint64_t id;
	const char *key;
	struct buf json;
	struct json_out out;
};

static void pages_begin(struct pages *p, struct answers *a, uint64_t id, const char *key)
{
	*p = (struct pages) { .answers = a, .id = id, .key = key };
	json_out_init(&p->out, &p->json);
	json_open_object(&p->out, NULL);
	json_open_array(&p->out, key);
}

static void pages_send(struct pages *p, bool last)
{
	json_close_array(&p->out);
	json_close_object(&p->out);
	send_page(p->answers, p->id, buf_str(&p->json), p->json.len, last, 0);
	buf_finish(&p->json);
	if (!last)
		pages_begin(p, p->answers, p->id, p->key);
}

/* Before each entry; none is longer than what NEARLY_FULL leaves. */
static struct json_out *pages_entry(struct pages *p)
{
	if (p->json.len > NEARLY_FULL)
		pages_send(p, false);
	json_open_object(&p->out, NULL);
	return &p->out;
}

/* ---- what the store answers ---- */

static void remember(struct question *q, const char *name)
{
	char *copy = name ? strdup(name) : NULL;
	if (!copy || mem_grow((void **)&q->seen, &q->seen_cap, q->seen_count, sizeof(*q->seen)) < 0)
		free(copy);
	else
		q->seen[q->seen_count++] = copy;
}

static void read_names(struct question *q, const char *text, size_t len)
{
	json_t *root = json_loadb(text, len, 0, NULL);
	size_t i;
	json_t *job;
	json_array_foreach(json_object_get(root, "jobs"), i, job)
		remember(q, json_string_value(json_object_get(job, "name")));
	json_decref(root);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Those of the configuration that the store does not know yet. */
static void add_new_jobs(struct question *q)
{
	struct scheduler *s = q->answers->scheduler;
	const struct config *config = ticker_config(s->ticker);
	struct pages pages;
	/* The store's order may be another. */
	if (q->seen_count)
		qsort(q->seen, q->seen_count, sizeof(*q->seen), compare_names);
	pages_begin(&pages, q->answers, q->id, "jobs");
	for (size_t i = 0; i < config->job_count; i++) {
		const struct config_job *job = &config->jobs[i];
		if (q->seen_count && bsearch(&job->name, q->seen, q->seen_count, sizeof(*q->seen),
					     compare_names))
			continue;
		struct json_out *j = pages_entry(&pages);
		int64_t due = ticker_next_due(s->ticker, job->name);
		json_str(j, "name", job->name);
		json_str(j, "kind", job->kind->name);
		json_str(j, "state", due ? "waiting" : "idle");
		json_time(j, "next_due_at", due);
		json_none(j, "follows");
		json_none(j, "last_run");
		json_close_object(j);
	}
	pages_send(&pages, true);
}

static void tell_failure(struct question *q, enum queue_status status, const char *json, size_t len)
{
	if (status == QUEUE_LOST || status == QUEUE_BUSY) {
		send_page(q->answers, q->id, json, len, true,
			status == QUEUE_LOST ? EXIT_NO_SUCH_NAME : EXIT_REFUSED);
		return;
	}
	send_error(q->answers, q->id, EXIT_AWAY, queue_error());
}

static void on_page(void *arg, enum queue_status status, const char *json, size_t len, bool last)
{
	struct question *q = arg;
	int sent = 0;
	if (last)
		q->in_work = NULL; /* it goes away by itself */
	if (status != QUEUE_OK) {
		tell_failure(q, status, json, len);
	} else if (q->of_unknown_job && last && !q->any_row && len < sizeof("{\"runs\":[]}")) {
		send_no_such_job(q->answers, q->id, q->args.job);
	} else {
		if (q->of_jobs)
			read_names(q, json, len);
		q->any_row = true;
		sent = send_page(q->answers, q->id, json, len, last && !q->of_jobs, 0);
		if (last && q->of_jobs)
			add_new_jobs(q);
	}
	/* Who does not take the pages gets no more of them. */
	if (last || sent < 0)
		question_free(q);
}

static int64_t next_due_of(const void *ticker, const char *job)
{
	return ticker_next_due(ticker, job);
}

static struct queue_answer *ask_jobs(struct question *q)
{
	struct scheduler *s = q->answers->scheduler;
	const struct config *config = ticker_config(s->ticker);
	const char **names = calloc(config->job_count + 1, sizeof(*names));
	if (!names)
		return NULL;
	for (size_t i = 0; i < config->job_count; i++)
		names[i] = config->jobs[i].name;
	q->of_jobs = true;
	struct queue_answer *answer = queue_answer_jobs(
		s->store, names, config->job_count, on_page, q);
	if (answer)
		queue_answer_next_due(answer, next_due_of, s->ticker);
	free(names);
	return answer;
}

static struct queue_answer *ask_runs(struct question *q)
{
	struct scheduler *s = q->answers->scheduler;
	const struct runs_question question = { .job = q->args.job,
		.id = q->args.id,
		.limit = q->args.limit,
		.before = q->args.before };
	/* One that was removed from the configuration may still have runs to show. */
	q->of_unknown_job = q->args.job && !config_job(ticker_config(s->ticker), q->args.job);
	return queue_answer_runs(s->store, &question, on_page, q);
}

static struct queue_answer *ask_dead(struct question *q, enum dead_verb verb)
{
	struct scheduler *s = q->answers->scheduler;
	const struct dead_question question = { .verb = verb,
		.job = q->args.job,
		.id = q->args.id,
		.before = q->args.before,
		.limit = q->args.limit };
	q->of_unknown_job = q->args.job && !config_job(ticker_config(s->ticker), q->args.job);
	return queue_answer_dead(s->store, &question, on_page, q);
}

/* ---- run ---- */

static void on_run_made(void *arg, const struct store_result *r)
{
	struct question *q = arg;
	struct scheduler *s = q->answers->scheduler;
	/* Whoever's it is: the id may have been used for another job. */
	const struct runs_question question = { .request_id = q->args.request_id, .one = true };
	const struct config_job *job = config_job(ticker_config(s->ticker), q->args.job);
	scheduler_store_said(s, store_result_status(r), store_result_error(r));
	if (store_result_status(r) != STORE_OK) {
		send_error(q->answers, q->id, EXIT_AWAY, store_result_error(r));
		question_free(q);
		return;
	}
	log_info(MAIN, "run_asked", KV_STR("job", q->args.job),
		KV_STR("detail", q->args.request_id));
	if (job)
		scheduler_wake(s, job->kind->name);
	q->in_work = queue_answer_runs(s->store, &question, on_page, q);
	if (!q->in_work) {
		send_error(q->answers, q->id, EXIT_AWAY, "out of memory");
		question_free(q);
	}
}

/* @return false when out of memory */
static bool make_run(struct question *q, const struct config_job *job)
{
	struct store *store = q->answers->scheduler->store;
	struct store_tx *tx = store_tx_new(store, 0);
	struct job_run run;
	if (!tx || job_run_init(&run, job, "manual") < 0) {
		store_tx_free(tx);
		return false;
	}
	run.request.request_id = q->args.request_id;
	queue_tx_run(tx, &run.request, clock_real_ms());
	job_run_finish(&run);
	store_submit(store, tx, on_run_made, q);
	return true;
}

/* ---- pause, resume ---- */

static void on_paused(void *arg, const struct store_result *r)
{
	struct question *q = arg;
	struct scheduler *s = q->answers->scheduler;
	const bool *paused = store_result_data(r);
	enum store_status status = store_result_status(r);
	scheduler_store_said(
		s, status == STORE_CONFLICT ? STORE_OK : status, store_result_error(r));
	if (status == STORE_OK) {
		log_info(MAIN, *paused ? "job_paused" : "job_resumed", KV_STR("job", q->args.job));
		ticker_set_paused(s->ticker, q->args.job, *paused);
		q->in_work = queue_answer_jobs(s->store, &q->args.job, 1, on_page, q);
		if (q->in_work)
			return;
	}
	send_error(q->answers, q->id, EXIT_AWAY,
		status == STORE_CONFLICT ? "the database does not know the job yet"
		: status == STORE_OK	 ? "out of memory"
					 : store_result_error(r));
	question_free(q);
}

/* @return false when out of memory */
static bool pause_job(struct question *q, bool paused)
{
	struct store *store = q->answers->scheduler->store;
	struct store_tx *tx = store_tx_new(store, 0);
	bool *data = tx ? store_tx_data(tx, sizeof(*data)) : NULL;
	if (!data) {
		store_tx_free(tx);
		return false;
	}
	*data = paused;
	queue_tx_pause(tx, q->args.job, paused, clock_real_ms());
	store_submit(store, tx, on_paused, q);
	return true;
}

/* ---- db ---- */

static void on_db_page(void *arg, enum db_outcome outcome, const char *json, size_t len)
{
	static const int codes[] = { [DB_AWAY] = EXIT_AWAY, [DB_REFUSED] = EXIT_AWAY };
	struct question *q = arg;
	bool last = outcome != DB_PAGE;
	/* Who does not take them gets the rest too: there are few. */
	send_page(q->answers, q->id, json, len, last, last ? codes[outcome] : 0);
	if (!last)
		return;
	q->of_db = NULL; /* it goes away by itself */
	question_free(q);
}

/* ---- next: needs no store ---- */

static void answer_next(
	struct answers *a, uint64_t id, const struct args *args, const struct config_job *job)
{
	struct pages pages;
	struct schedule s = job->schedule;
	char text[TIME_TEXT];
	int64_t at = args->from_ms == INT64_MIN ? clock_real_ms() : args->from_ms;
	int64_t known = ticker_next_due(a->scheduler->ticker, job->name);
	/* `every` counts from when the job began, and any of its due times tells that. */
	if (s.kind == SCHEDULE_EVERY && s.every_ms > 0)
		s.start_ms = known ? known % s.every_ms : at % s.every_ms;
	pages_begin(&pages, a, id, "times");
	for (int64_t i = 0; i < args->n && schedule_next(&s, at, false, &at) == 0; i++) {
		struct json_out *j = pages_entry(&pages);
		json_str(j, "local", time_format_rfc3339(text, at, s.zone));
		json_str(j, "utc", time_format_rfc3339(text, at, NULL));
		const char *mark = s.kind == SCHEDULE_CRON
					   ? cron_mark_name(cron_mark(&s.cron, s.zone, &s.dst, at))
					   : NULL;
		if (mark)
			json_str(j, "dst", mark);
		json_close_object(j);
	}
	pages_send(&pages, true);
}

/* ---- questions ---- */

static bool may_ask(const struct msg_question *m)
{
	for (size_t i = 0; i < ARRAY_SIZE(control_verbs); i++)
		if (str_eq(control_verbs[i].name, m->verb) &&
			control_verbs[i].right == CONTROL_CHANGE)
			return m->may_change != 0;
	return true;
}

/* {"type":"12"}: the payload of the task whose cursor it is. */
static bool write_partition(struct buf *out, const char *as, const char *value)
{
	struct json_out j;
	json_out_init(&j, out);
	json_open_object(&j, NULL);
	json_str(&j, as, value);
	json_close_object(&j);
	return !buf_failed(out);
}

static struct queue_answer *ask_cursors(struct question *q, bool reset)
{
	struct scheduler *s = q->answers->scheduler;
	const struct config_job *job = config_job(ticker_config(s->ticker), q->args.job);
	CLEANUP(buf_finish) struct buf partition = BUF_INIT;
	struct cursors_question question = { .job = q->args.job };
	if (job && str_eq(job->kind->name, "collect")) {
		const struct collect_job *spec = job->spec;
		question.times = spec->incremental.type == CURSOR_TIME;
		if (q->args.partition && spec->for_each.as &&
			!write_partition(&partition, spec->for_each.as, q->args.partition))
			return NULL;
	}
	/* Without for_each there is one, which has no name. */
	if (q->args.partition)
		question.partition = partition.len ? buf_str(&partition) : q->args.partition;
	return reset ? queue_answer_reset_cursors(s->store, &question, on_page, q)
		     : queue_answer_cursors(s->store, &question, on_page, q);
}

static struct queue_answer *ask_store(struct question *q, const char *verb)
{
	static const struct {
		const char *verb;
		enum dead_verb dead;
	} dead[] = {
		{ "dead", DEAD_LIST },
		{ "dead.show", DEAD_SHOW },
		{ "dead.retry", DEAD_RETRY },
		{ "dead.drop", DEAD_DROP },
	};
	for (size_t i = 0; i < ARRAY_SIZE(dead); i++)
		if (str_eq(verb, dead[i].verb))
			return ask_dead(q, dead[i].dead);
	if (str_starts(verb, "cursors"))
		return ask_cursors(q, str_eq(verb, "cursors.reset"));
	if (str_eq(verb, "jobs"))
		return ask_jobs(q);
	if (str_eq(verb, "runs"))
		return ask_runs(q);
	return queue_answer_counts(q->answers->scheduler->store, on_page, q);
}

static void ask(struct answers *a, const struct msg_question *m, struct args *args,
	const struct config_job *job)
{
	struct question *q = a->count < QUESTIONS_MAX ? NEW(struct question) : NULL;
	bool begun = false;
	if (!q) {
		send_error(a, m->id, EXIT_AWAY, "the scheduler has too many questions at once");
		return;
	}
	*q = (struct question) { .answers = a, .id = m->id, .args = *args };
	*args = (struct args) { 0 }; /* taken */
	list_add_tail(&a->questions, &q->node);
	a->count++;
	if (str_eq(m->verb, "run"))
		begun = make_run(q, job);
	else if (str_eq(m->verb, "pause") || str_eq(m->verb, "resume"))
		begun = pause_job(q, str_eq(m->verb, "pause"));
	else if (str_eq(m->verb, "db") || str_starts(m->verb, "db."))
		begun = (q->of_db = db_ask(a->scheduler->store, a->scheduler->stats, m->verb,
				 on_db_page, q)) != NULL;
	else
		begun = (q->in_work = ask_store(q, m->verb)) != NULL;
	if (begun)
		return;
	send_error(a, m->id, EXIT_AWAY, "out of memory");
	question_free(q);
}

static void send_not_ready(struct answers *a, uint64_t id)
{
	CLEANUP(buf_finish) struct buf words = BUF_INIT;
	const char *trouble = a->scheduler->trouble;
	buf_addf(&words, "the scheduler has no database yet%s%s", trouble[0] ? ": " : "", trouble);
	send_error(a, id, EXIT_AWAY, buf_str(&words));
}

void answers_ask(struct answers *a, const struct msg_question *m)
{
	struct err err = { 0 };
	struct args args;
	if (args_parse(&args, m->verb, m->args.data, m->args.len, &err) < 0) {
		send_error(a, m->id, EXIT_USAGE, err.text);
		return;
	}
	const struct config_job *job =
		args.job ? config_job(ticker_config(a->scheduler->ticker), args.job) : NULL;
	if (!may_ask(m))
		send_error(a, m->id, EXIT_NOT_PERMITTED,
			"not permitted: only root and drover's own user may change something");
	else if (args.job && !job && !str_eq(m->verb, "runs") && strncmp(m->verb, "dead", 4) != 0)
		send_no_such_job(a, m->id, args.job);
	else if (str_eq(m->verb, "next"))
		answer_next(a, m->id, &args, job);
	else if (!a->scheduler->ready)
		send_not_ready(a, m->id);
	else
		ask(a, m, &args, job);
	args_finish(&args);
}
