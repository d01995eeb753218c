/* SPDX-License-Identifier: MIT */
#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "config/config.h"
#include "config/kind.h"
#include "log/log.h"
#include "oneshot/oneshot.h"
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { RECORDS_MAX = 10000 };

int oneshot_fail(int code, const char *fmt, ...)
{
	char words[1500], clean[1500];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(words, sizeof(words), fmt, ap);
	va_end(ap);
	str_clean(clean, sizeof(clean), words);
	fprintf(stderr, "drover: %s\n", clean);
	return code;
}

static int limit(struct oneshot *o, char **args)
{
	int64_t records = 0;
	if (str_to_i64(args[1], 1, RECORDS_MAX, &records) < 0)
		return oneshot_fail(ONESHOT_USAGE, "--limit takes a number from 1 to %d, not '%s'",
			RECORDS_MAX, args[1]);
	return oneshot_sample(o, records);
}

static int dry(struct oneshot *o, char **args UNUSED)
{
	return oneshot_dry(o);
}

static int get(struct oneshot *o, char **args)
{
	return oneshot_get(o, args[1]);
}

static int explain(struct oneshot *o, char **args)
{
	return oneshot_explain(o, args[1]);
}

static int records(struct oneshot *o, char **args UNUSED)
{
	return oneshot_records(o);
}

static int json(struct oneshot *o, char **args)
{
	return oneshot_json(o, args[0]);
}

static const struct question {
	const char *name;
	int args;
	bool of_job; /* its first argument is a job's name */
	int (*ask)(struct oneshot *o, char **args);
} questions[] = {
	{ "limit", 2, true, limit },
	{ "dry", 1, true, dry },
	{ "get", 2, true, get },
	{ "explain", 2, true, explain },
	{ "records", 1, true, records },
	{ "json", 1, false, json },
};

static const struct question *question_of(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(questions); i++)
		if (str_eq(argv[1], questions[i].name) && argc == 2 + questions[i].args)
			return &questions[i];
	return NULL;
}

static int take_config(struct oneshot *o, const char *job)
{
	struct err err = { 0 };
	if (config_from_handover(&o->config, ONESHOT_CONFIG_FD, worker_kinds, &err) < 0)
		return oneshot_fail(ONESHOT_FAILED, "%s", err.text);
	close(ONESHOT_CONFIG_FD);
	o->job = config_job(o->config, job);
	return o->job && o->job->spec ? ONESHOT_DONE
				      : oneshot_fail(ONESHOT_NO_SUCH_NAME, "no job '%s'", job);
}

static bool write_all(const char *data, size_t len)
{
	while (len) {
		ssize_t n = sys_write(STDOUT_FILENO, data, len);
		if (n <= 0)
			return false;
		data += n;
		len -= (size_t)n;
	}
	return true;
}

int main(int argc, char **argv)
{
	const struct question *q = question_of(argc, argv);
	if (!q) {
		dprintf(STDERR_FILENO, "%s is started by drover, not by hand\n", argv[0]);
		return ONESHOT_USAGE;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	log_set_text(true);
	log_set_level(LOG_ERROR); /* what else there is to tell is in the answer */
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	struct json_out out;
	json_out_init(&out, &text);
	struct oneshot o = { .out = &out };
	int code = q->of_job ? take_config(&o, argv[2]) : ONESHOT_DONE;
	json_open_object(&out, NULL);
	if (code == ONESHOT_DONE)
		code = q->ask(&o, argv + 2);
	json_close_object(&out);
	bool said = code == ONESHOT_DONE || code == ONESHOT_FAILED;
	if (said && buf_failed(&text))
		code = oneshot_fail(ONESHOT_FAILED, "out of memory");
	else if (said && !write_all(buf_str(&text), text.len))
		code = ONESHOT_FAILED;
	config_free(o.config);
	return code;
}
