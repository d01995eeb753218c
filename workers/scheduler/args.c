/* SPDX-License-Identifier: MIT */
#include "scheduler/args.h"

#include "base/err.h"
#include "base/str.h"
#include "schedule/due.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

enum {
	JOB = 1,
	REQUEST_ID = 2,
	ID = 4,
	N = 8,
	LIMIT = 16,
	FROM = 32,
	ALL = 64,
	BEFORE = 128,
	PARTITION = 256,
	REQUEST_ID_MAX = 128
};

/* What each verb takes, and what it cannot do without. */
static const struct verb_args {
	const char *verb;
	unsigned takes, needs;
} verbs[] = {
	{ "jobs", 0, 0 },
	{ "queue", 0, 0 },
	{ "runs", JOB | ID | LIMIT | BEFORE, 0 },
	{ "run", JOB | REQUEST_ID, JOB | REQUEST_ID },
	{ "pause", JOB, JOB },
	{ "resume", JOB, JOB },
	{ "next", JOB | N | FROM, JOB },
	{ "dead", JOB | LIMIT | BEFORE, 0 },
	{ "db", 0, 0 },
	{ "db.slow", 0, 0 },
	{ "db.reset", 0, 0 },
	{ "cursors", JOB, JOB },
	{ "cursors.reset", JOB | PARTITION, JOB },
	{ "dead.show", ID, ID },
	{ "dead.retry", ID | ALL | JOB, 0 },
	{ "dead.drop", ID | ALL | JOB, 0 },
};

static int take_int(
	const json_t *v, const char *key, int64_t min, int64_t max, int64_t *out, struct err *err)
{
	if (!json_is_integer(v) || json_integer_value(v) < min || json_integer_value(v) > max)
		return err_set(err, -EINVAL, "%s must be a whole number from %lld to %lld", key,
			(long long)min, (long long)max);
	*out = json_integer_value(v);
	return 0;
}

static int take_job(struct args *a, const json_t *v, struct err *err)
{
	/* No name of a job is like this: what follows then says that there is none such. */
	a->job = json_string_value(v);
	return a->job ? 0 : err_set(err, -EINVAL, "job must be a text");
}

static int take_request_id(struct args *a, const json_t *v, struct err *err)
{
	const char *s = json_string_value(v);
	size_t len = s ? strlen(s) : 0;
	for (size_t i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] > '~')
			len = 0;
	if (len == 0 || len > REQUEST_ID_MAX)
		return err_set(err, -EINVAL,
			"request_id must be 1 to %d printable ASCII characters", REQUEST_ID_MAX);
	a->request_id = s;
	return 0;
}

static int take_partition(struct args *a, const json_t *v, struct err *err)
{
	a->partition = json_string_value(v);
	return a->partition ? 0 : err_set(err, -EINVAL, "partition must be a text");
}

static int take_from(struct args *a, const json_t *v, struct err *err)
{
	if (!json_is_string(v))
		return err_set(err, -EINVAL, "from must be a time like 2026-12-01T00:00:00Z");
	if (time_parse_rfc3339(json_string_value(v), &a->from_ms, NULL, err) < 0)
		return err_wrap(err, "from");
	return 0;
}

static int take_all(struct args *a, const json_t *v, struct err *err)
{
	a->all = json_is_true(v);
	return a->all ? 0 : err_set(err, -EINVAL, "all must be true, or left out");
}

static unsigned key_of(const char *key)
{
	static const char *const names[] = { "job", "request_id", "id", "n", "limit", "from", "all",
		"before", "partition" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_eq(names[i], key))
			return 1u << i;
	return 0;
}

static int take(struct args *a, unsigned key, const json_t *v, struct err *err)
{
	switch (key) {
	case JOB: return take_job(a, v, err);
	case REQUEST_ID: return take_request_id(a, v, err);
	case ID: return take_int(v, "id", 1, INT64_MAX, &a->id, err);
	case N: return take_int(v, "n", 1, ARGS_TIMES_MAX, &a->n, err);
	case LIMIT: return take_int(v, "limit", 1, ARGS_RUNS_MAX, &a->limit, err);
	case FROM: return take_from(a, v, err);
	case PARTITION: return take_partition(a, v, err);
	case BEFORE: return take_int(v, "before", 1, INT64_MAX, &a->before, err);
	default: return take_all(a, v, err);
	}
}

static int take_each(struct args *a, const struct verb_args *verb, struct err *err)
{
	unsigned given = 0;
	const char *name;
	json_t *value;
	json_object_foreach(a->json, name, value)
	{
		unsigned key = key_of(name);
		if (!(key & verb->takes))
			return err_set(err, -EINVAL, "%s does not know the argument \"%.40s\"",
				verb->verb, name);
		int rc = take(a, key, value, err);
		if (rc < 0)
			return rc;
		given |= key;
	}
	if (verb->needs & ~given)
		return err_set(err, -EINVAL, "%s needs %s", verb->verb,
			verb->needs & ~given & JOB ? "the name of a job"
			: verb->needs & ID	   ? "the id of a dead letter"
						   : "a request_id");
	given &= ID | ALL | JOB;
	if (verb->takes & ALL && given != ID && given != ALL && given != JOB)
		return err_set(err, -EINVAL, "%s needs an id, a job, or all", verb->verb);
	return 0;
}

int args_parse(struct args *out, const char *verb, const char *text, size_t len, struct err *err)
{
	const struct verb_args *known = NULL;
	json_error_t bad;
	struct args a = {
		.n = ARGS_TIMES_DEFAULT,
		.limit = str_eq(verb, "dead") ? 0 : ARGS_RUNS_DEFAULT,
		.from_ms = INT64_MIN,
	};
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (str_eq(verbs[i].verb, verb))
			known = &verbs[i];
	if (!known)
		return err_set(
			err, -EINVAL, "the scheduler does not know the verb \"%.40s\"", verb);
	a.json = len ? json_loadb(text, len, JSON_REJECT_DUPLICATES, &bad) : json_object();
	int rc = !a.json ? err_set(err, -EINVAL, "the arguments are no JSON: %s",
				   len ? bad.text : "out of memory")
		 : !json_is_object((json_t *)a.json)
			 ? err_set(err, -EINVAL, "the arguments are no JSON object")
			 : take_each(&a, known, err);
	if (rc < 0)
		args_finish(&a);
	else
		*out = a;
	return rc;
}

void args_finish(struct args *a)
{
	json_decref(a->json);
	*a = (struct args) { 0 };
}
