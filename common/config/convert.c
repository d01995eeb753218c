/* SPDX-License-Identifier: MIT */
#include "config/context.h"

#include "base/str.h"
#include "config/check.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

const char *const column_types[] = { "text", "integer", "real", "boolean", "timestamp", "json",
	"bytes", NULL };
const char *const signal_names[] = { "TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL", NULL };
static const int signal_numbers[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGKILL };

struct unit {
	const char *name;
	int64_t factor;
};

static char *with_largest_unit(char *dst, int64_t n, const struct unit *units)
{
	while (units->factor > 1 && (n == 0 || n % units->factor))
		units++;
	snprintf(dst, 32, "%" PRId64 "%s", n / units->factor, units->name);
	return dst;
}

char *duration_text(char *dst, int64_t ms)
{
	static const struct unit units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 },
		{ "s", 1000 }, { "ms", 1 } };
	if (ms == 0)
		return memcpy(dst, "0s", 3);
	return with_largest_unit(dst, ms, units);
}

char *size_text(char *dst, int64_t bytes)
{
	static const struct unit units[] = { { "GiB", 1 << 30 }, { "GB", 1000000000 },
		{ "MiB", 1 << 20 }, { "MB", 1000000 }, { "KiB", 1 << 10 }, { "KB", 1000 },
		{ "B", 1 } };
	return with_largest_unit(dst, bytes, units);
}

int signal_of_name(const char *name)
{
	for (size_t i = 0; signal_names[i]; i++)
		if (str_eq(signal_names[i], name))
			return signal_numbers[i];
	return 0;
}

const char *signal_name_of(int signal_number)
{
	for (size_t i = 0; signal_names[i]; i++)
		if (signal_numbers[i] == signal_number)
			return signal_names[i];
	return NULL;
}

static bool in_range(struct config_context *ctx, const struct config_scalar *s, int64_t value,
	int64_t min, int64_t max, char *(*text)(char *dst, int64_t n))
{
	char low[32], high[32];
	if (value >= min && value <= max)
		return true;
	text(low, min);
	text(high, max);
	if (value < min)
		config_error(
			ctx, &s->mark, "%s must be at least %s, not %s", ctx->path, low, s->shown);
	else
		config_error(
			ctx, &s->mark, "%s must be at most %s, not %s", ctx->path, high, s->shown);
	return false;
}

static char *int_text(char *dst, int64_t n)
{
	snprintf(dst, 32, "%" PRId64, n);
	return dst;
}

static bool convert_int(struct config_context *ctx, const struct config_field *field,
	const struct config_scalar *s, int64_t *out)
{
	bool free_range = !field->min && !field->max;
	int64_t value;
	int rc = str_to_i64(s->text, INT64_MIN, INT64_MAX, &value);
	if (rc < 0) {
		config_error(ctx, &s->mark,
			rc == -ERANGE ? "\"%s\" is too large a number"
				      : "\"%s\" is not a whole number",
			s->shown);
		return false;
	}
	if (!free_range && !in_range(ctx, s, value, field->min, field->max, int_text))
		return false;
	*out = value;
	return true;
}

static bool convert_duration(struct config_context *ctx, const struct config_field *field,
	const struct config_scalar *s, int64_t *out)
{
	bool free_range = !field->min && !field->max;
	int64_t value;
	int rc = str_to_duration_ms(s->text, &value);
	if (rc == -EDOM) {
		config_error(ctx, &s->mark, "a duration needs a unit: write %ss or %sm", s->shown,
			s->shown);
		return false;
	}
	if (rc < 0) {
		config_error(ctx, &s->mark,
			rc == -ERANGE ? "%s is too long a duration"
				      : "\"%s\" is not a duration: write 500ms, 10s, 5m, 6h or 30d",
			s->shown);
		return false;
	}
	if (!in_range(ctx, s, value, free_range ? CONFIG_DURATION_MIN_MS : field->min,
		    free_range ? CONFIG_DURATION_MAX_MS : field->max, duration_text))
		return false;
	*out = value;
	return true;
}

static bool convert_size(struct config_context *ctx, const struct config_field *field,
	const struct config_scalar *s, int64_t *out)
{
	bool free_range = !field->min && !field->max;
	int64_t value;
	int rc = str_to_size(s->text, &value);
	/* Nothing is nothing in every unit. */
	if (rc == -EDOM && str_eq(s->text, "0") && !field->min) {
		*out = 0;
		return true;
	}
	if (rc == -EDOM) {
		config_error(ctx, &s->mark, "a size needs a unit: write %sB or %sKB", s->shown,
			s->shown);
		return false;
	}
	if (rc < 0) {
		config_error(ctx, &s->mark,
			rc == -ERANGE ? "%s is too large a size"
				      : "\"%s\" is not a size: write 512B, 10KB, 100MB, 1GB, or "
					"KiB, MiB, GiB",
			s->shown);
		return false;
	}
	if (!free_range && !in_range(ctx, s, value, field->min, field->max, size_text))
		return false;
	*out = value;
	return true;
}

/* "one of a, b, c; did you mean "b"?"; names that are not for writing ("~") are left out. */
static void report_choice(
	struct config_context *ctx, const struct config_scalar *s, const char *const *names)
{
	char list[256] = "";
	const char *known[64];
	size_t count = 0;
	for (size_t i = 0; names[i] && count < 64; i++) {
		if (str_eq(names[i], "~"))
			continue;
		size_t at = strlen(list);
		snprintf(list + at, sizeof(list) - at, "%s%s", count ? ", " : "", names[i]);
		known[count++] = names[i];
	}
	const char *near = s->secret ? NULL : str_nearest(s->text, known, count);
	if (near)
		config_error(ctx, &s->mark, "\"%s\" is none of %s; did you mean \"%s\"?", s->shown,
			list, near);
	else
		config_error(ctx, &s->mark, "\"%s\" is none of %s", s->shown, list);
}

static bool convert_enum(struct config_context *ctx, const struct config_field *field,
	const struct config_scalar *s, int *out)
{
	for (int i = 0; field->names[i]; i++) {
		if (str_eq(field->names[i], s->text) && !str_eq(s->text, "~")) {
			*out = i;
			return true;
		}
	}
	report_choice(ctx, s, field->names);
	return false;
}

static bool convert_signal(struct config_context *ctx, const struct config_scalar *s, int *out)
{
	int number = signal_of_name(s->text);
	if (!number) {
		report_choice(ctx, s, signal_names);
		return false;
	}
	*out = number;
	return true;
}

static bool convert_bool(struct config_context *ctx, const struct config_scalar *s, bool *out)
{
	static const char *const yes[] = { "true", "yes", "on" }, *const no[] = { "false", "no",
		"off" };
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (str_eq(s->text, yes[i]) || str_eq(s->text, no[i])) {
			*out = str_eq(s->text, yes[i]);
			return true;
		}
	}
	config_error(ctx, &s->mark, "%s is true or false, not \"%s\"", ctx->path, s->shown);
	return false;
}

bool convert_scalar(struct config_context *ctx, const struct config_field *field,
	const struct config_scalar *scalar, void *out)
{
	switch (field->type) {
	case CONFIG_BOOL: return convert_bool(ctx, scalar, out);
	case CONFIG_INT: return convert_int(ctx, field, scalar, out);
	case CONFIG_DURATION_MS: return convert_duration(ctx, field, scalar, out);
	case CONFIG_SIZE: return convert_size(ctx, field, scalar, out);
	case CONFIG_ENUM: return convert_enum(ctx, field, scalar, out);
	case CONFIG_SIGNAL: return convert_signal(ctx, scalar, out);
	default:
		*(const char **)out = context_strdup(ctx, scalar->text);
		return *(const char **)out;
	}
}

bool convert_rate(struct config_context *ctx, const struct config_field *field,
	const struct config_scalar *s, struct config_rate *out)
{
	static const struct config_field period = { .type = CONFIG_DURATION_MS };
	const char *slash = strchr(s->text, '/');
	char count[24];
	bool fits = slash && (size_t)(slash - s->text) < sizeof(count);
	if (fits)
		str_copy(count, (size_t)(slash - s->text) + 1, s->text);
	if (!fits || str_to_i64(count, field->min, field->max, &out->count) < 0) {
		config_error(ctx, &s->mark,
			"\"%s\" is not a rate: write 100/1m (%" PRId64 " to %" PRId64
			" calls in a time)",
			s->shown, field->min, field->max);
		return false;
	}
	struct config_scalar rest = *s;
	rest.text = slash + 1;
	rest.shown = s->secret ? s->shown : rest.text;
	return convert_duration(ctx, &period, &rest, &out->period_ms);
}

static void set_status(struct config_retry_when *when, int64_t first, int64_t last)
{
	for (int64_t status = first; status <= last; status++)
		when->status[(status - 100) / 8] |= (uint8_t)(1u << ((status - 100) % 8));
}

bool convert_retry_when(
	struct config_context *ctx, const struct config_scalar *s, struct config_retry_when *out)
{
	static const char *const words[] = { "timeout", "connect" };
	const char *p = s->text;
	int64_t status;
	if (str_eq(p, "timeout")) {
		out->timeout = true;
	} else if (str_eq(p, "connect")) {
		out->connect = true;
	} else if (p[0] >= '1' && p[0] <= '5' && str_eq(p + 1, "xx")) {
		set_status(out, (p[0] - '0') * 100, (p[0] - '0') * 100 + 99);
	} else if (str_to_i64(p, 100, 599, &status) == 0) {
		set_status(out, status, status);
	} else {
		const char *near = s->secret ? NULL : str_nearest(p, words, ARRAY_SIZE(words));
		config_error(ctx, &s->mark,
			"\"%s\" is none of a status (429), a class (5xx), timeout, connect%s%s%s",
			s->shown, near ? "; did you mean \"" : "", near ? near : "",
			near ? "\"?" : "");
		return false;
	}
	return true;
}
