/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * One row a field: from these tables come parsing, defaults, range checks, error texts, the
 * reload's knowledge of what may change live, and later the JSON Schema and the manual. A field
 * that has no row does not exist.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_context;
struct config_mark;

enum config_type {
	CONFIG_END,
	CONFIG_BOOL,   /* bool */
	CONFIG_INT,    /* int64_t, min..max */
	CONFIG_STRING, /* const char *, NULL when absent and no default */
	CONFIG_XPATH, /* the same; its syntax is checked later, by a parser child (config_xpaths) */
	CONFIG_DURATION_MS, /* int64_t, unit demanded; at least 50 ms unless .min says otherwise */
	CONFIG_SIZE,	    /* int64_t bytes, unit demanded */
	CONFIG_ENUM,	    /* int, index into .names */
	CONFIG_SIGNAL,	    /* int: TERM, INT, HUP, QUIT, USR1, USR2, KILL */
	CONFIG_STRING_LIST, /* struct config_strings */
	CONFIG_STRING_MAP,  /* struct config_pairs: headers, query, environment */
	CONFIG_RATES,	    /* struct config_rates: "100/1m" or a list of them */
	CONFIG_RETRY_WHEN,  /* struct config_retry_when: [429, 5xx, timeout, connect] */
	CONFIG_STRUCT,	    /* an embedded struct described by .fields */
	CONFIG_STRUCT_LIST, /* struct config_array of .element_size, described by .fields */
	CONFIG_STRUCT_MAP,  /* the same, each with a name: its first member is const char *name */
};

/* What a reload does when the field changed. */
enum config_apply {
	APPLY_LIVE,	  /* the running process takes it up */
	APPLY_RESTART,	  /* the process it belongs to is restarted */
	APPLY_SUPERVISOR, /* needs a new droverd; a reload says so and keeps the old value */
};

struct config_field {
	const char *name;
	enum config_type type;
	size_t offset;
	const char *def;  /* as written in YAML; NULL: no default (0, NULL, empty) */
	int64_t min, max; /* of INT, DURATION_MS, SIZE; both 0: the type's own range. STRING_LIST,
			     STRING_MAP: at most max items; 0: as many as there are */
	bool required;
	bool unsubstituted; /* ${...} is not replaced here */
	bool secret;	    /* never shown, however it is written */
	bool scheduled;	    /* of a job: the scheduler needs the value too, so it gets it even when
			       secret */
	const char *const *names;	   /* of ENUM, ends with NULL */
	const struct config_field *fields; /* of STRUCT, STRUCT_LIST, STRUCT_MAP */
	size_t element_size;		   /* of STRUCT_LIST, STRUCT_MAP */
	const char *shorthand; /* of STRUCT and elements: a scalar, or the list that it is, stands
				  for this one field (`title: h1`) */
	bool single;	       /* of STRING_LIST: a scalar stands for a list of one */
	/*
	 * Checks one value after it was converted; reports through config_error(). `value` points
	 * at the member; of STRING_LIST it is called for each item (const char *const *), of
	 * STRING_MAP for each struct config_pair.
	 */
	void (*check)(
		struct config_context *ctx, const struct config_mark *mark, const void *value);
	/* Whether it means anything in this object, whose member it is: only then it is printed.
	 * NULL: always. */
	bool (*applies)(const void *object);
	enum config_apply apply;
	const char *doc; /* one line */
};

/* Of a duration whose row has no range of its own. */
enum { CONFIG_DURATION_MIN_MS = 50 };
#define CONFIG_DURATION_MAX_MS (INT64_C(3650) * 86400000)

enum {
	CONFIG_RATES_MAX = 7,	  /* rates of one provider */
	CONFIG_REGEX_MAX = 1000,  /* bytes of a regular expression */
	CONFIG_COLUMNS_MAX = 500, /* columns of one job */
};

struct config_strings {
	const char **items;
	size_t count;
};
struct config_pair {
	const char *name, *value;
};
struct config_pairs {
	struct config_pair *items;
	size_t count;
};
struct config_array {
	void *items;
	size_t count;
};
struct config_rate {
	int64_t count, period_ms;
};
struct config_rates {
	struct config_rate *items;
	size_t count;
};
struct config_retry_when {
	bool timeout, connect;
	uint8_t status[75]; /* bit (s - 100) of the statuses 100..699 */
};

/* Where a value stands, for messages. */
struct config_mark {
	const char *file;
	size_t line, column; /* from 1; column counts characters */
	size_t width;	     /* characters to underline */
};

/** Reports an error at a place; the load goes on, and fails at its end. */
void config_error(struct config_context *ctx, const struct config_mark *mark, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** The same for a byte of a text member: exact when the text stands in the file as it is. */
struct config_mark config_mark_at(
	struct config_context *ctx, const void *object, const char *path, size_t byte);
/** The mark of a member of the struct being checked ("schedule.cron", "start.0"), for cross-checks;
 * the struct's own when absent. Objects are elements of maps and lists of structs, jobs' specs, and
 * the sections of struct config. */
struct config_mark config_mark_of(struct config_context *ctx, const void *object, const char *path);
