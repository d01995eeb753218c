/* SPDX-License-Identifier: MIT */
/* The resolved configuration as YAML that could be read again, but for the secrets. */
#include "config/context.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "config/kind.h"
#include "config/tables.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

struct printer {
	const struct config *config;
	struct buf *out;
	int indent;
};

static void print_fields(struct printer *p, const struct config_field *fields, const void *object);

static void begin(struct printer *p, const char *name)
{
	buf_addf(p->out, "%*s%s:", p->indent, "", name);
}

/* Plain where nobody could read it otherwise, else quoted; `${` stays what it is. */
static void add_text(struct buf *out, const char *text)
{
	static const char safe[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./-";
	bool plain = *text && *text != '-' && *text != '.' && strspn(text, safe) == strlen(text) &&
		     !str_eq(text, "null");
	if (plain) {
		buf_add_str(out, text);
		return;
	}
	buf_add_char(out, '"');
	for (const char *c = text; *c; c++) {
		if (*c == '\n' || *c == '\t')
			buf_add_str(out, *c == '\n' ? "\\n" : "\\t");
		else if (*c == '"' || *c == '\\')
			buf_addf(out, "\\%c", *c);
		else if (c[0] == '$' && c[1] == '{')
			buf_add_str(out, "$$");
		else
			buf_add_char(out, *c);
	}
	buf_add_char(out, '"');
}

/* @return true when the member must not be shown; then it is not */
static bool masked(const struct printer *p, const void *member)
{
	bool secret = config_is_secret(p->config, member);
	if (secret)
		buf_add_str(p->out, "\"***\"");
	return secret;
}

static void add_status(
	struct buf *out, const struct config_retry_when *when, int status, const char **separator)
{
	bool whole = status % 100 == 0;
	for (int i = status; i < status + 100 && whole; i++)
		whole = when->status[(i - 100) / 8] >> ((i - 100) % 8) & 1;
	if (whole) {
		buf_addf(out, "%s%dxx", *separator, status / 100);
		*separator = ", ";
		return;
	}
	for (int i = status; i < status + 100; i++) {
		if (when->status[(i - 100) / 8] >> ((i - 100) % 8) & 1) {
			buf_addf(out, "%s%d", *separator, i);
			*separator = ", ";
		}
	}
}

static void print_retry_when(struct printer *p, const struct config_retry_when *when)
{
	const char *separator = "";
	buf_add_str(p->out, " [");
	for (int status = 100; status < 600; status += 100)
		add_status(p->out, when, status, &separator);
	if (when->timeout)
		buf_addf(p->out, "%stimeout", separator);
	if (when->connect)
		buf_addf(p->out, "%sconnect", when->timeout ? ", " : separator);
	buf_add_str(p->out, "]\n");
}

static void print_strings(struct printer *p, const struct config_strings *list)
{
	buf_add_str(p->out, " [");
	for (size_t i = 0; i < list->count; i++) {
		buf_add_str(p->out, i ? ", " : "");
		if (!masked(p, &list->items[i]))
			add_text(p->out, list->items[i]);
	}
	buf_add_str(p->out, "]\n");
}

static void print_pairs(struct printer *p, const struct config_pairs *pairs)
{
	buf_add_char(p->out, '\n');
	for (size_t i = 0; i < pairs->count; i++) {
		buf_addf(p->out, "%*s", p->indent + 2, "");
		add_text(p->out, pairs->items[i].name);
		buf_add_str(p->out, ": ");
		if (!masked(p, &pairs->items[i].value))
			add_text(p->out, pairs->items[i].value);
		buf_add_char(p->out, '\n');
	}
}

static void print_rates(struct printer *p, const struct config_rates *rates)
{
	char period[32];
	buf_add_str(p->out, " [");
	for (size_t i = 0; i < rates->count; i++) {
		buf_add_str(p->out, i ? ", " : "");
		if (!masked(p, &rates->items[i]))
			buf_addf(p->out, "%" PRId64 "/%s", rates->items[i].count,
				duration_text(period, rates->items[i].period_ms));
	}
	buf_add_str(p->out, "]\n");
}

static void print_struct_list(
	struct printer *p, const struct config_field *field, const struct config_array *array)
{
	buf_add_char(p->out, '\n');
	for (size_t i = 0; i < array->count; i++) {
		size_t at = p->out->len;
		p->indent += 4;
		print_fields(
			p, field->fields, (const char *)array->items + i * field->element_size);
		p->indent -= 4;
		/* The first line's indentation makes room for the dash. */
		if (!buf_failed(p->out) && p->out->len > at)
			p->out->data[at + (size_t)p->indent + 2] = '-';
		else
			buf_addf(p->out, "%*s- {}\n", p->indent + 2, "");
	}
}

static void print_struct_map(
	struct printer *p, const struct config_field *field, const struct config_array *array)
{
	buf_add_char(p->out, '\n');
	p->indent += 2;
	for (size_t i = 0; i < array->count; i++) {
		const char *element = (const char *)array->items + i * field->element_size;
		begin(p, *(const char *const *)element);
		buf_add_char(p->out, '\n');
		p->indent += 2;
		print_fields(p, field->fields, element);
		p->indent -= 2;
	}
	p->indent -= 2;
}

static void print_struct(struct printer *p, const struct config_field *field, const void *object)
{
	size_t start = p->out->len;
	begin(p, field->name);
	buf_add_char(p->out, '\n');
	size_t before = p->out->len;
	p->indent += 2;
	print_fields(p, field->fields, object);
	p->indent -= 2;
	if (p->out->len == before && !buf_failed(p->out)) {
		p->out->len = start; /* nothing in it: it is not there */
		p->out->data[start] = '\0';
	}
}

/* Nothing was written and nothing stands for it by default. */
static bool is_absent(const struct config_field *field, const void *member)
{
	switch (field->type) {
	case CONFIG_STRING:
	case CONFIG_XPATH: return !*(const char *const *)member;
	case CONFIG_INT:
	case CONFIG_SIZE:
	case CONFIG_DURATION_MS: return *(const int64_t *)member == 0 && field->min > 0;
	case CONFIG_STRING_LIST:
	case CONFIG_STRING_MAP:
	case CONFIG_RATES:
	case CONFIG_STRUCT_LIST:
	case CONFIG_STRUCT_MAP:
		/* All of them are a pointer and a count. */
		return ((const struct config_array *)member)->count == 0 && !field->required;
	default: return false;
	}
}

static void print_scalar(struct printer *p, const struct config_field *field, const void *member)
{
	char text[32];
	switch (field->type) {
	case CONFIG_BOOL: buf_add_str(p->out, *(const bool *)member ? "true" : "false"); break;
	case CONFIG_INT: buf_addf(p->out, "%" PRId64, *(const int64_t *)member); break;
	case CONFIG_DURATION_MS:
		buf_add_str(p->out, duration_text(text, *(const int64_t *)member));
		break;
	case CONFIG_SIZE: buf_add_str(p->out, size_text(text, *(const int64_t *)member)); break;
	case CONFIG_ENUM: buf_add_str(p->out, field->names[*(const int *)member]); break;
	case CONFIG_SIGNAL: buf_add_str(p->out, signal_name_of(*(const int *)member)); break;
	default: add_text(p->out, *(const char *const *)member);
	}
}

static void print_field(struct printer *p, const struct config_field *field, const void *member)
{
	if (field->type == CONFIG_STRUCT) {
		print_struct(p, field, member);
		return;
	}
	if (is_absent(field, member))
		return;
	begin(p, field->name);
	switch (field->type) {
	case CONFIG_STRING_LIST: print_strings(p, member); return;
	case CONFIG_STRING_MAP: print_pairs(p, member); return;
	case CONFIG_RATES: print_rates(p, member); return;
	case CONFIG_STRUCT_LIST: print_struct_list(p, field, member); return;
	case CONFIG_STRUCT_MAP: print_struct_map(p, field, member); return;
	case CONFIG_RETRY_WHEN:
		if (!config_is_secret(p->config, member)) {
			print_retry_when(p, member);
			return;
		}
		break;
	default: break;
	}
	buf_add_char(p->out, ' ');
	if (!masked(p, member))
		print_scalar(p, field, member);
	buf_add_char(p->out, '\n');
}

static void print_fields(struct printer *p, const struct config_field *fields, const void *object)
{
	for (const struct config_field *f = fields; f->name; f++)
		if (!f->applies || f->applies(object))
			print_field(p, f, (const char *)object + f->offset);
}

static void print_section(
	struct printer *p, const char *name, const struct config_field *fields, const void *object)
{
	struct config_field field = { .name = name, .type = CONFIG_STRUCT, .fields = fields };
	print_struct(p, &field, object);
}

/* The heading of a section of named things; each is then printed two deeper. */
static void open_names(struct printer *p, const char *name, size_t count)
{
	if (count)
		buf_addf(p->out, "%s:\n", name);
	p->indent = 2;
}

static void print_workers(struct printer *p)
{
	struct arena *arena = arena_new(0);
	open_names(p, "workers", p->config->worker_count);
	for (size_t i = 0; i < p->config->worker_count && arena; i++) {
		const struct config_worker *worker = &p->config->workers[i];
		const struct config_field *fields = worker_fields(arena, worker->kind);
		if (fields)
			print_section(p, worker->kind->name, fields, worker);
		else
			p->out->failed = true;
	}
	if (!arena)
		p->out->failed = true;
	arena_free(arena);
}

static void print_jobs(struct printer *p)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	open_names(p, "jobs", p->config->job_count);
	p->out->failed = p->out->failed || !arena;
	for (size_t i = 0; i < p->config->job_count && arena; i++) {
		const struct config_job *job = &p->config->jobs[i];
		begin(p, job->name);
		buf_add_char(p->out, '\n');
		p->indent += 2;
		const struct config_field *fields = job->kind ? job_fields_of(arena, job->kind)
							      : job_fields;
		if (fields)
			print_fields(p, fields, job);
		else
			p->out->failed = true;
		if (job->kind)
			print_fields(p, job->kind->job_fields, job->spec);
		p->indent -= 2;
	}
}

int config_print(const struct config *config, struct buf *out)
{
	struct printer p = { .config = config, .out = out };
	print_section(&p, "supervisor", supervisor_fields, &config->supervisor);
	print_section(&p, "logs", logs_fields, &config->logs);
	print_section(&p, "store", store_fields, &config->store);
	print_section(&p, "http", http_fields, &config->http);
	print_workers(&p);
	open_names(&p, "providers", config->provider_count);
	for (size_t i = 0; i < config->provider_count; i++)
		print_section(
			&p, config->providers[i].name, provider_fields, &config->providers[i]);
	open_names(&p, "services", config->service_count);
	for (size_t i = 0; i < config->service_count; i++)
		print_section(&p, config->services[i].name, service_fields, &config->services[i]);
	print_jobs(&p);
	return buf_failed(out) ? -ENOMEM : 0;
}
