/* SPDX-License-Identifier: MIT */
/* One connection: how it comes about, what was sent and is to be answered, how it ends. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "loop/loop.h"
#include "store/pg_engine.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { WATCHDOG_MS = 5000, TEXT_MAX = 256 };

static void on_io(void *arg, int fd, unsigned events);
static void on_timer(void *arg);
static void read_answers(struct pg_conn *c);
static void poll_connect(struct pg_conn *c);

void pg_conn_init(struct pg_conn *c, struct store_engine *e)
{
	*c = (struct pg_conn) { .engine = e };
	uint64_t id;
	if (getrandom(&id, sizeof(id), 0) != (ssize_t)sizeof(id))
		id = (uint64_t)clock_mono_us() * UINT64_C(0x9e3779b97f4a7c15);
	c->session = (int64_t)(id >> 1);
}

bool pg_conn_is_open(const struct pg_conn *c)
{
	return c->state >= PG_SETTLING;
}

/* ---- how it ends ---- */

/* libpq's words are of several lines. */
static void note_error(struct pg_conn *c, const char *words)
{
	char text[sizeof(c->error) - sizeof("PostgreSQL: ")];
	str_clean(text, sizeof(text), words && *words ? words : "the connection was lost");
	size_t len = strlen(text);
	while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '?' || text[len - 1] == '\n'))
		text[--len] = '\0';
	snprintf(c->error, sizeof(c->error), "PostgreSQL: %s", text);
}

void pg_conn_close(struct pg_conn *c)
{
	if (c->resolver)
		pg_resolve_forget(TAKE(c->resolver));
	loop_io_free(TAKE(c->io));
	if (c->timer)
		loop_timer_stop(c->timer);
	PQfinish(TAKE(c->pg));
	pg_statements_free(c);
	c->forget_statements = c->broken = c->answered = false;
	c->answer_first = c->answer_len = 0;
	c->state = PG_CLOSED;
}

void pg_conn_finish(struct pg_conn *c)
{
	pg_conn_close(c);
	loop_timer_free(c->timer);
	pg_run_clear(&c->run);
	pg_addresses_finish(&c->at);
	free(c->answers);
}

void pg_conn_lost(struct pg_conn *c)
{
	bool was_open = pg_conn_is_open(c);
	if (!c->error[0])
		note_error(c, c->pg ? PQerrorMessage(c->pg) : NULL);
	pg_conn_close(c);
	if (c->run.tx)
		pg_run_lost(c);
	pg_engine_lost(c, was_open);
}

/* ---- how it comes about ---- */

static void watch(struct pg_conn *c, unsigned events)
{
	c->io_events = events;
	if (c->engine->closing)
		return;
	if (!c->io && !(c->io = loop_io_new(c->engine->loop, PQsocket(c->pg), events, on_io, c)))
		abort();
	loop_io_set(c->io, events);
}

static void deadline(struct pg_conn *c, int64_t ms)
{
	if (!c->timer && !(c->timer = loop_timer_new(c->engine->loop, on_timer, c)))
		abort();
	loop_timer_start(c->timer, ms);
}

static void start_connecting(struct pg_conn *c)
{
	/* Those before dbname are defaults, those after it hold whatever the URL says. */
	const char *const keys[] = { "fallback_application_name", "gssencmode", "keepalives",
		"keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
		"dbname", "client_encoding", c->at.hosts ? "host" : NULL, "hostaddr",
		c->at.ports ? "port" : NULL, NULL };
	const char *const values[] = { program_invocation_short_name, "disable", "1", "10", "5",
		"3", "25000", c->engine->url, "UTF8", c->at.hosts, c->at.addresses, c->at.ports,
		NULL };
	c->pg = PQconnectStartParams(keys, values, 1);
	if (!c->pg)
		abort();
	if (PQstatus(c->pg) == CONNECTION_BAD) {
		c->broken = true;
		return;
	}
	c->state = PG_CONNECTING;
	watch(c, LOOP_WRITE);
}

static void no_notice(void *arg, const char *words)
{
	(void)arg;
	(void)words;
}

/* The hosts that the URL names, when libpq would have to look them up, and their ports. */
static void hosts_of(const char *url, char **hosts, char **ports)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	bool looked_up = false;
	for (PQconninfoOption *o = options; o && o->keyword; o++) {
		if (!o->val || !*o->val)
			continue;
		looked_up = looked_up || str_eq(o->keyword, "hostaddr");
		if (str_eq(o->keyword, "host"))
			*hosts = strdup(o->val);
		if (str_eq(o->keyword, "port"))
			*ports = strdup(o->val);
	}
	PQconninfoFree(options);
	if (looked_up)
		free(TAKE(*hosts));
}

void pg_conn_open(struct pg_conn *c)
{
	struct store_engine *e = c->engine;
	bool failed = false;
	assert(c->state == PG_CLOSED);
	c->error[0] = '\0';
	c->state = PG_RESOLVING;
	deadline(c, e->pool.connect_ms);
	pg_addresses_finish(&c->at);
	CLEANUP(freep) char *hosts = NULL;
	CLEANUP(freep) char *ports = NULL;
	hosts_of(e->url, &hosts, &ports);
	/* On each connect: the address may have moved with a failover. */
	c->resolver = hosts ? pg_resolve(c, hosts, ports, &failed) : NULL;
	if (failed)
		snprintf(c->error, sizeof(c->error), "no thread to look up the database's host");
	if (failed)
		c->broken = true;
	else if (!c->resolver)
		start_connecting(c);
	if (c->broken)
		pg_conn_lost(c);
}

void pg_conn_resolved(struct pg_conn *c)
{
	if (pg_resolve_take(
		    TAKE(c->resolver), c->engine->silent, &c->at, c->error, sizeof(c->error)))
		start_connecting(c);
	else
		c->broken = true;
	if (c->broken)
		pg_conn_lost(c);
}

/* What every session of ours has, whatever the server's own settings are. */
static void greet(struct pg_conn *c)
{
	char sql[1024];
	PQsetNoticeProcessor(c->pg, no_notice, NULL);
	if (PQsetnonblocking(c->pg, 1) != 0 || PQenterPipelineMode(c->pg) != 1) {
		c->broken = true;
		return;
	}
	c->state = PG_GREETING;
	snprintf(sql, sizeof(sql),
		"SELECT set_config('statement_timeout', '%lld', false),"
		" set_config('idle_in_transaction_session_timeout', '30000', false),"
		" set_config('DateStyle', 'ISO, YMD', false), set_config('TimeZone', 'UTC', false),"
		" set_config('bytea_output', 'hex', false), set_config('extra_float_digits', '1', "
		"false),"
		" set_config('client_min_messages', 'warning', false),"
		/* Compiles for seconds what runs for a millisecond, when it has estimated badly. */
		" set_config('jit', 'off', false),"
		" set_config('synchronous_commit', 'on', false),"
		" set_config('standard_conforming_strings', 'on', false)%s",
		(long long)c->engine->pool.statement_ms,
		/* Ends what it does for a client that is gone. */
		PQserverVersion(c->pg) >= 140000
			? ", set_config('client_connection_check_interval', '1000', false)"
			: "");
	pg_send(c, sql, PG_ANSWER_NONE);
	pg_send_sync(c);
}

static void poll_connect(struct pg_conn *c)
{
	PostgresPollingStatusType next = PQconnectPoll(c->pg);
	/* The next address has another socket, perhaps of the same number. */
	loop_io_free(TAKE(c->io));
	switch (next) {
	case PGRES_POLLING_READING: watch(c, LOOP_READ); return;
	case PGRES_POLLING_WRITING: watch(c, LOOP_WRITE); return;
	case PGRES_POLLING_OK: watch(c, LOOP_READ); break;
	default: c->broken = true; return;
	}
	const char *encoding = PQparameterStatus(c->pg, "server_encoding");
	if (encoding && !str_eq(encoding, "UTF8")) {
		snprintf(c->error, sizeof(c->error),
			"the database's encoding is %s, it must be UTF8", encoding);
		c->broken = true;
		return;
	}
	greet(c);
}

static void settle(struct pg_conn *c)
{
	/* Waits for the old backend, when that still has our row. */
	const struct store_value v[] = { STORE_VALUE_INT(c->session),
		STORE_VALUE_INT(clock_real_ms()) };
	c->state = PG_SETTLING;
	c->settled = -1;
	c->run.decided = false;
	deadline(c, c->engine->pool.statement_ms + WATCHDOG_MS);
	if (!pg_execute(c,
		    "INSERT INTO drover_commit (session, serial, at) VALUES ($1, 0, $2)"
		    " ON CONFLICT (session) DO UPDATE SET at = excluded.at RETURNING serial",
		    v, 2, (struct pg_answer) { .kind = PG_ANSWER_FIRST }))
		c->broken = true;
	pg_send_sync(c);
}

static void greeted(struct pg_conn *c)
{
	int64_t recycle = c->engine->pool.recycle_ms;
	/* Spread: connections that were made together do not end together. */
	c->recycle_ms = clock_mono_ms() + recycle - pg_random(c->engine, recycle / 5);
	if (c->run.tx) {
		settle(c);
		return;
	}
	pg_engine_connected(c);
}

/* ---- what is sent ---- */

bool pg_expect(struct pg_conn *c, struct pg_answer answer)
{
	if (c->answer_first > 0 && c->answer_first + c->answer_len == c->answer_cap) {
		memmove(c->answers, c->answers + c->answer_first,
			c->answer_len * sizeof(*c->answers));
		c->answer_first = 0;
	}
	if (mem_grow((void **)&c->answers, &c->answer_cap, c->answer_first + c->answer_len,
		    sizeof(*c->answers)) < 0) {
		c->broken = true;
		return false;
	}
	c->answers[c->answer_first + c->answer_len++] = answer;
	return true;
}

bool pg_send(struct pg_conn *c, const char *sql, enum pg_answer_kind kind)
{
	if (!c->broken && PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 0) == 1 &&
		pg_expect(c, (struct pg_answer) { .kind = kind }))
		return true;
	c->broken = true;
	return false;
}

void pg_send_sync(struct pg_conn *c)
{
	if (c->broken || PQpipelineSync(c->pg) != 1 ||
		!pg_expect(c, (struct pg_answer) { .kind = PG_ANSWER_SYNC })) {
		c->broken = true;
		return;
	}
	pg_flush(c);
}

void pg_flush(struct pg_conn *c)
{
	int left = c->broken ? -1 : PQflush(c->pg);
	if (left < 0)
		c->broken = true;
	else
		watch(c, left ? LOOP_READ | LOOP_WRITE : LOOP_READ);
}

/* ---- what is answered ---- */

static void pop(struct pg_conn *c)
{
	c->answered = false;
	c->answer_len--;
	c->answer_first = c->answer_len ? c->answer_first + 1 : 0;
}

static void step_over(struct pg_conn *c)
{
	if (c->state == PG_GREETING)
		greeted(c);
	else if (c->state == PG_SETTLING)
		pg_run_settled(c);
	else if (c->state == PG_WORKING)
		pg_run_next(c);
}

static void take_error(struct pg_conn *c, const struct pg_answer *answer, const PGresult *res)
{
	if (c->state == PG_GREETING) {
		note_error(c, PQresultErrorMessage(res));
		c->broken = true;
		return;
	}
	pg_run_error(c, answer, res);
}

static void take(struct pg_conn *c, const PGresult *res)
{
	const struct pg_answer answer = c->answers[c->answer_first];
	switch (PQresultStatus(res)) {
	case PGRES_PIPELINE_SYNC:
		assert(answer.kind == PG_ANSWER_SYNC);
		pop(c);
		step_over(c);
		return;
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		if (c->state != PG_GREETING)
			pg_run_answer(c, &answer, res);
		break;
	case PGRES_PIPELINE_ABORTED:
		if (answer.statement)
			pg_statement_failed(c, answer.statement);
		break;
	default: take_error(c, &answer, res);
	}
	c->answered = true;
}

static bool in_copy(const struct pg_conn *c)
{
	return c->state == PG_WORKING && c->run.step == PG_STEP_COPY;
}

static void read_answers(struct pg_conn *c)
{
	while (!c->broken && c->answer_len > 0 && !in_copy(c) && !PQisBusy(c->pg)) {
		PGresult *res = PQgetResult(c->pg);
		if (res) {
			take(c, res);
			PQclear(res);
		} else if (c->answered) {
			pop(c);
		} else {
			break;
		}
	}
}

void pg_conn_ready(struct pg_conn *c, unsigned events)
{
	c->error[0] = '\0';
	if (c->state == PG_CONNECTING) {
		poll_connect(c);
	} else {
		if (events & LOOP_READ) {
			c->broken = c->broken || PQconsumeInput(c->pg) != 1;
			/* An index takes the time it takes: pg_index_start() */
			bool bounded = !(c->run.tx && pg_is_index_run(c->run.tx));
			if (bounded && (c->state == PG_WORKING || c->state == PG_SETTLING))
				deadline(c, c->engine->pool.statement_ms + WATCHDOG_MS);
		}
		if (!c->broken && in_copy(c))
			pg_copy_ready(c);
		if (!c->broken)
			read_answers(c);
		if (!c->broken && c->pg && c->state != PG_CLOSED && !in_copy(c))
			pg_flush(c);
	}
	if (c->broken)
		pg_conn_lost(c);
	pg_engine_dispatch(c->engine);
}

static void on_io(void *arg, int fd, unsigned events)
{
	(void)fd;
	pg_conn_ready(arg, events);
}

int pg_conn_socket(const struct pg_conn *c, unsigned *events)
{
	if (!c->pg || c->state < PG_CONNECTING)
		return -1;
	*events = c->io_events;
	return PQsocket(c->pg);
}

/* ---- time ---- */

static void too_late(struct pg_conn *c, const char *what, int64_t ms)
{
	char text[TEXT_MAX];
	snprintf(c->error, sizeof(c->error), "PostgreSQL: %s within %s", what,
		str_duration(text, sizeof(text), ms));
	pg_conn_lost(c);
}

static void on_timer(void *arg)
{
	struct pg_conn *c = arg;
	const struct store_pool *pool = &c->engine->pool;
	switch (c->state) {
	case PG_CLOSED: return;
	case PG_RESOLVING:
	case PG_CONNECTING:
	case PG_GREETING:
		/* Time is for all addresses: one of a dead host may use it up. */
		c->engine->silent++;
		too_late(c, "no connection", pool->connect_ms);
		break;
	case PG_SETTLING:
	case PG_WORKING: too_late(c, "no answer", pool->statement_ms + WATCHDOG_MS); break;
	case PG_IDLE: pg_conn_rest(c); return;
	case PG_PAUSING:
		pg_run_restart(c);
		if (c->broken)
			pg_conn_lost(c);
		break;
	}
	pg_engine_dispatch(c->engine);
}

/* The server may keep a backend for ever, and its memory grows with what it has seen. */
void pg_conn_rest(struct pg_conn *c)
{
	struct store_engine *e = c->engine;
	int64_t now = clock_mono_ms(), idle = c->idle_since_ms + e->pool.idle_ms;
	size_t open = 0;
	for (size_t i = 0; i < e->conn_count; i++)
		open += pg_conn_is_open(&e->conns[i]);
	bool spare = (int64_t)open > e->pool.min;
	if (now >= c->recycle_ms || (spare && now >= idle)) {
		pg_conn_close(c);
		pg_engine_dispatch(e);
		return;
	}
	int64_t until = spare ? MIN(idle, c->recycle_ms) : c->recycle_ms;
	deadline(c, MAX(until - now, (int64_t)1));
}
