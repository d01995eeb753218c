/* SPDX-License-Identifier: MIT */
#include "config/handover.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "config/context.h"
#include "config/handover_format.h"
#include "config/kind.h"
#include "config/tables.h"

#include <errno.h>
#include <string.h>

struct encoder {
	const struct config *config;
	struct buf *out;
	bool reveal; /* secrets go along */
};

static void encode_fields(struct encoder *e, const struct config_field *fields, const void *object);

uint64_t handover_hash(const struct config_field *fields)
{
	uint64_t hash = 17;
	for (const struct config_field *f = fields; f && f->name; f++) {
		uint64_t parts[] = { hash, str_hash(f->name, strlen(f->name)), (uint64_t)f->type,
			f->fields ? handover_hash(f->fields) : 0 };
		hash = str_hash(parts, sizeof(parts));
	}
	return hash;
}

static void put_u64(struct buf *out, uint64_t n)
{
	unsigned char bytes[8];
	for (int i = 0; i < 8; i++)
		bytes[i] = (unsigned char)(n >> (8 * i));
	buf_add(out, bytes, sizeof(bytes));
}

static void put_bytes(struct buf *out, const void *data, size_t len)
{
	put_u64(out, len);
	buf_add(out, data, len);
}

static void put_text(struct buf *out, const char *text)
{
	put_bytes(out, text, strlen(text));
}

/* The flags of a value. @return false: it is absent or withheld, nothing follows */
static bool put_flags(
	struct encoder *e, const struct config_field *field, const void *member, bool present)
{
	bool secret = config_is_secret(e->config, member);
	bool withheld = secret && !e->reveal && !field->scheduled;
	buf_add_char(e->out,
		(char)((present && !withheld ? VALUE_PRESENT : 0) | (secret ? VALUE_SECRET : 0)));
	return present && !withheld;
}

static void encode_text(
	struct encoder *e, const struct config_field *field, const char *const *member)
{
	if (put_flags(e, field, member, *member))
		put_text(e->out, *member);
}

static void encode_number(struct encoder *e, const struct config_field *field, const void *member)
{
	if (!put_flags(e, field, member, true))
		return;
	if (field->type == CONFIG_BOOL)
		put_u64(e->out, *(const bool *)member);
	else if (field->type == CONFIG_ENUM || field->type == CONFIG_SIGNAL)
		put_u64(e->out, (uint64_t)(int64_t) * (const int *)member);
	else
		put_u64(e->out, (uint64_t) * (const int64_t *)member);
}

static void encode_list(struct encoder *e, const struct config_field *field, const void *member)
{
	const struct config_array *array = member; /* a pointer and a count, as they all are */
	put_u64(e->out, array->count);
	for (size_t i = 0; i < array->count; i++) {
		if (field->type == CONFIG_STRING_LIST) {
			encode_text(e, field, &((const struct config_strings *)member)->items[i]);
		} else if (field->type == CONFIG_STRING_MAP) {
			const struct config_pair *pair =
				&((const struct config_pairs *)member)->items[i];
			put_text(e->out, pair->name);
			encode_text(e, field, &pair->value);
		} else if (field->type == CONFIG_RATES) {
			const struct config_rate *rate =
				&((const struct config_rates *)member)->items[i];
			if (put_flags(e, field, rate, true)) {
				put_u64(e->out, (uint64_t)rate->count);
				put_u64(e->out, (uint64_t)rate->period_ms);
			}
		} else {
			const char *element = (const char *)array->items + i * field->element_size;
			if (field->type == CONFIG_STRUCT_MAP)
				put_text(e->out, *(const char *const *)element);
			encode_fields(e, field->fields, element);
		}
	}
}

static void encode_retry_when(
	struct encoder *e, const struct config_field *field, const struct config_retry_when *when)
{
	if (!put_flags(e, field, when, true))
		return;
	buf_add_char(e->out, when->timeout);
	buf_add_char(e->out, when->connect);
	buf_add(e->out, when->status, sizeof(when->status));
}

static void encode_fields(struct encoder *e, const struct config_field *fields, const void *object)
{
	for (const struct config_field *f = fields; f->name; f++) {
		const void *member = (const char *)object + f->offset;
		switch (f->type) {
		case CONFIG_STRUCT: encode_fields(e, f->fields, member); break;
		case CONFIG_STRING:
		case CONFIG_XPATH: encode_text(e, f, member); break;
		case CONFIG_RETRY_WHEN: encode_retry_when(e, f, member); break;
		case CONFIG_STRING_LIST:
		case CONFIG_STRING_MAP:
		case CONFIG_RATES:
		case CONFIG_STRUCT_LIST:
		case CONFIG_STRUCT_MAP: encode_list(e, f, member); break;
		default: encode_number(e, f, member);
		}
	}
}

static bool sees_job(const struct worker_kind *kind, const struct config_job *job)
{
	return job->kind == kind || kind->sees_all_jobs;
}

static bool sees_provider(const struct config *config, const struct worker_kind *kind,
	const struct config_provider *provider)
{
	for (size_t i = 0; kind->sees_providers && i < config->job_count; i++) {
		const struct config_job *job = &config->jobs[i];
		const char *name = job->kind == kind && kind->job_provider ? kind->job_provider(job)
									   : NULL;
		if (name && str_eq(name, provider->name))
			return true;
	}
	return false;
}

static void encode_providers(struct encoder *e, const struct worker_kind *kind)
{
	uint64_t count = 0;
	for (size_t i = 0; i < e->config->provider_count; i++)
		count += sees_provider(e->config, kind, &e->config->providers[i]);
	put_u64(e->out, count);
	for (size_t i = 0; i < e->config->provider_count; i++) {
		const struct config_provider *provider = &e->config->providers[i];
		if (!sees_provider(e->config, kind, provider))
			continue;
		put_text(e->out, provider->name);
		encode_fields(e, provider_fields, provider);
	}
}

/* What only the kind itself takes apart stands behind its length, so that others can skip it. */
static void encode_spec(struct encoder *e, const struct config_job *job, bool reveal)
{
	struct buf spec = { .max = HANDOVER_MAX };
	struct encoder inner = { .config = e->config, .out = &spec, .reveal = reveal };
	encode_fields(&inner, job->kind->job_fields, job->spec);
	put_u64(e->out, handover_hash(job->kind->job_fields));
	put_bytes(e->out, buf_str(&spec), spec.len);
	if (buf_failed(&spec))
		e->out->failed = true;
	buf_finish(&spec);
}

static void encode_jobs(struct encoder *e, const struct worker_kind *kind)
{
	uint64_t count = 0;
	for (size_t i = 0; i < e->config->job_count; i++)
		count += sees_job(kind, &e->config->jobs[i]);
	put_u64(e->out, count);
	for (size_t i = 0; i < e->config->job_count; i++) {
		const struct config_job *job = &e->config->jobs[i];
		if (!sees_job(kind, job))
			continue;
		put_text(e->out, job->name);
		encode_fields(e, job_fields, job);
		encode_spec(e, job, job->kind == kind);
	}
}

static bool encode_worker(struct encoder *e, const struct worker_kind *kind)
{
	CLEANUP(arena_freep) struct arena *arena = arena_new(0);
	const struct config_worker *worker = config_worker(e->config, kind->name);
	const struct config_field *fields = arena ? worker_fields(arena, kind) : NULL;
	if (!fields || !worker)
		return false;
	put_text(e->out, kind->name);
	put_u64(e->out, handover_hash(fields));
	put_u64(e->out, (uint64_t)worker->processes);
	encode_fields(e, fields, worker);
	return true;
}

int handover_encode(struct buf *out, const struct config *config, const struct worker_kind *kind,
	struct err *err)
{
	struct encoder e = { .config = config, .out = out, .reveal = true };
	size_t most = out->max;
	out->max = HANDOVER_MAX;
	buf_add(out, HANDOVER_MAGIC, sizeof(HANDOVER_MAGIC) - 1);
	for (size_t i = 0; i < HANDOVER_SECTIONS; i++)
		put_u64(out, handover_hash(handover_sections[i]));
	bool ok = encode_worker(&e, kind);
	encode_fields(&e, supervisor_fields, &config->supervisor);
	encode_fields(&e, logs_fields, &config->logs);
	e.reveal = kind->needs_store;
	encode_fields(&e, store_fields, &config->store);
	e.reveal = true;
	encode_fields(&e, http_fields, &config->http);
	encode_providers(&e, kind);
	encode_jobs(&e, kind);
	bool big = out->len > HANDOVER_MAX - 65536;
	out->max = most;
	if (!ok || buf_failed(out))
		return err_set(err, big ? -E2BIG : -ENOMEM, "hand the configuration over to %s: %s",
			kind->name, big ? "it is larger than 32 MiB" : "no memory");
	return 0;
}
