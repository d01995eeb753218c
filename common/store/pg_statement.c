/* SPDX-License-Identifier: MIT */
/*
 * Prepared statements, by their text. A parameter's type is the one of its value: what the server
 * would infer ("$2 = 0" makes an int4 of $2) may be too narrow. A null says nothing; the first
 * value that does prepares the statement anew.
 */
#include "base/mem.h"
#include "base/str.h"
#include "store/pg_engine.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <uthash.h>

enum { CACHE_MAX = 256, PARAMETERS_MAX = 65535 };

struct pg_statement {
	char *sql, name[16];
	Oid *types;
	size_t count;  /* highest $N */
	bool prepared; /* or about to be, by what was sent before */
	bool plain;    /* not worth keeping: DDL, session commands */
	UT_hash_handle hh;
};

static void statement_free(struct pg_statement *s)
{
	free(s->types);
	free(s->sql);
	free(s);
}

void pg_statements_free(struct pg_conn *c)
{
	struct pg_statement *s, *next;
	memset(c->recent, 0, sizeof(c->recent));
	HASH_ITER (hh, c->statements, s, next) {
		HASH_DEL(c->statements, s);
		statement_free(s);
	}
}

void pg_statements_bound(struct pg_conn *c)
{
	if (!c->forget_statements && HASH_COUNT(c->statements) < CACHE_MAX)
		return;
	pg_statements_free(c);
	c->forget_statements = false;
	pg_send(c, "DEALLOCATE ALL", PG_ANSWER_NONE);
}

void pg_statement_failed(struct pg_conn *c, struct pg_statement *statement)
{
	(void)c;
	statement->prepared = false;
}

/* The highest $N outside of quotes. */
static size_t count_parameters(const char *sql)
{
	size_t highest = 0;
	for (const char *at = sql; *at; at++) {
		if (*at == '\'' || *at == '"') {
			const char *end = strchr(at + 1, *at);
			if (!end)
				break;
			at = end;
		} else if (*at == '$' && isdigit((unsigned char)at[1])) {
			highest = MAX(highest, (size_t)strtoul(at + 1, NULL, 10));
		}
	}
	return highest;
}

static bool is_plain(const char *sql)
{
	static const char *const kept[] = { "SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "BEGIN",
		"COMMIT" };
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		if (strncasecmp(sql, kept[i], strlen(kept[i])) == 0)
			return false;
	return true;
}

static struct pg_statement *find(struct pg_conn *c, const char *sql)
{
	/* Mostly a literal that was here before: comparing it takes less than a hash of it. */
	struct pg_statement *s, **recent = &c->recent[(uintptr_t)sql / 8 % PG_RECENT];
	if (*recent && str_eq((*recent)->sql, sql))
		return *recent;
	HASH_FIND_STR(c->statements, sql, s);
	if ((*recent = s) != NULL)
		return s;
	s = NEW(struct pg_statement);
	if (!s)
		return NULL;
	/* Those of PREPARE belong to what it prepares. */
	s->count = str_starts(sql, "PREPARE ") ? 0 : count_parameters(sql);
	s->plain = is_plain(sql);
	s->sql = strdup(sql);
	s->types = s->count <= PARAMETERS_MAX ? calloc(s->count + 1, sizeof(*s->types)) : NULL;
	if (!s->sql || !s->types) {
		statement_free(s);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, c->statements, s->sql, strlen(s->sql), s);
	*recent = s;
	return s;
}

/* What is prepared fits; or becomes so. */
static bool prepare(struct pg_conn *c, struct pg_statement *s, const struct pg_parameter *p)
{
	bool fits = s->prepared;
	for (size_t i = 0; i < s->count; i++) {
		if (!p[i].type || p[i].type == s->types[i])
			continue;
		fits = false;
		s->types[i] = p[i].type;
	}
	if (fits || s->plain)
		return true;
	if (s->prepared) {
		char drop[40];
		snprintf(drop, sizeof(drop), "DEALLOCATE %s", s->name);
		if (!pg_send(c, drop, PG_ANSWER_NONE))
			return false;
	}
	snprintf(s->name, sizeof(s->name), "d%u", ++c->names);
	s->prepared = true;
	return PQsendPrepare(c->pg, s->name, s->sql, (int)s->count, s->types) == 1 &&
	       pg_expect(c, (struct pg_answer) { .kind = PG_ANSWER_PARSE, .statement = s });
}

static bool send(struct pg_conn *c, struct pg_statement *s, const struct pg_parameter *p)
{
	size_t n = s->count;
	const char **data = arena_alloc(c->run.scratch, (n + 1) * sizeof(*data));
	int *len = arena_alloc(c->run.scratch, (n + 1) * sizeof(*len));
	int *binary = arena_alloc(c->run.scratch, (n + 1) * sizeof(*binary));
	if (!data || !len || !binary)
		return false;
	for (size_t i = 0; i < n; i++) {
		data[i] = !p[i].type ? NULL : p[i].data ? p[i].data : p[i].number;
		len[i] = p[i].len;
		binary[i] = 1;
	}
	return (s->plain ? PQsendQueryParams(c->pg, s->sql, (int)n, s->types, data, len, binary, 0)
			 : PQsendQueryPrepared(c->pg, s->name, (int)n, data, len, binary, 0)) == 1;
}

bool pg_execute_encoded(struct pg_conn *c, const char *sql, const struct pg_parameter *values,
	size_t count, struct pg_answer answer)
{
	struct pg_statement *s = find(c, sql);
	if (!s)
		return false;
	if (s->count > count) {
		pg_run_fail(c, STORE_FAILED, "parameter $%zu has no value: %s", s->count, sql);
		return true;
	}
	return prepare(c, s, values) && send(c, s, values) && pg_expect(c, answer);
}

bool pg_execute(struct pg_conn *c, const char *sql, const struct store_value *values, size_t count,
	struct pg_answer answer)
{
	struct arena *scratch = c->run.scratch;
	struct pg_parameter *p = arena_alloc(scratch, (count + 1) * sizeof(*p));
	for (size_t i = 0; p && i < count; i++) {
		struct store_value v = values[i];
		if (v.type == STORE_TEXT && !(v.data = pg_clean_text(scratch, v.data, &v.len)))
			return false;
		pg_encode(&p[i], &v);
	}
	return p && pg_execute_encoded(c, sql, p, count, answer);
}
