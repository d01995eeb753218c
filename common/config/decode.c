/* SPDX-License-Identifier: MIT */
#include "config/handover.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "config/context.h"
#include "config/handover_format.h"
#include "config/kind.h"
#include "config/tables.h"

#include <errno.h>
#include <string.h>

const struct config_field *const handover_sections[HANDOVER_SECTIONS] = { supervisor_fields,
	logs_fields, store_fields, http_fields, provider_fields, job_fields };

/* The arena of a hand-over: structs take more room than their bytes. */
enum { DECODED_MAX = 4 * HANDOVER_MAX };

struct decoder {
	struct config_context *ctx;
	const unsigned char *p;
	size_t left;
	bool damaged; /* sticks; what is read afterwards is 0 and empty */
};

static void decode_fields(struct decoder *d, const struct config_field *fields, void *object);

static const unsigned char *take(struct decoder *d, size_t len)
{
	if (d->damaged || len > d->left) {
		d->damaged = true;
		return NULL;
	}
	const unsigned char *p = d->p;
	d->p += len;
	d->left -= len;
	return p;
}

static uint64_t take_u64(struct decoder *d)
{
	const unsigned char *p = take(d, 8);
	uint64_t n = 0;
	for (int i = 0; p && i < 8; i++)
		n |= (uint64_t)p[i] << (8 * i);
	return n;
}

static unsigned char take_byte(struct decoder *d)
{
	const unsigned char *p = take(d, 1);
	return p ? *p : 0;
}

static const char *take_text(struct decoder *d)
{
	uint64_t len = take_u64(d);
	const unsigned char *p = take(d, len > d->left ? d->left + 1 : (size_t)len);
	if (!p || memchr(p, 0, (size_t)len)) {
		d->damaged = true;
		return NULL;
	}
	char *text = arena_strndup(d->ctx->arena, (const char *)p, (size_t)len);
	if (!text)
		context_no_memory(d->ctx);
	d->damaged = d->damaged || !text;
	return text;
}

/* A count of things of which each takes at least one byte. */
static size_t take_count(struct decoder *d)
{
	uint64_t n = take_u64(d);
	if (n > d->left)
		d->damaged = true;
	return d->damaged ? 0 : (size_t)n;
}

static void *room(struct decoder *d, size_t count, size_t size)
{
	size_t bytes;
	void *p = __builtin_mul_overflow(count, size, &bytes) ? NULL : context_alloc(d->ctx, bytes);
	d->damaged = d->damaged || !p;
	return p;
}

/* @return true when a value follows */
static bool take_flags(struct decoder *d, const void *member)
{
	unsigned char flags = take_byte(d);
	if (flags & ~(VALUE_PRESENT | VALUE_SECRET))
		d->damaged = true;
	if (flags & VALUE_SECRET)
		context_add_secret(d->ctx, member);
	return !d->damaged && (flags & VALUE_PRESENT);
}

static void decode_number(struct decoder *d, const struct config_field *field, void *member)
{
	if (!take_flags(d, member))
		return;
	int64_t n = (int64_t)take_u64(d), names = 0;
	while (field->names && field->names[names])
		names++;
	if (field->type == CONFIG_BOOL) {
		*(bool *)member = n;
	} else if (field->type == CONFIG_ENUM) {
		d->damaged = d->damaged || n < 0 || n >= names;
		*(int *)member = d->damaged ? 0 : (int)n;
	} else if (field->type == CONFIG_SIGNAL) {
		d->damaged = d->damaged || n < 0 || n > 64 || !signal_name_of((int)n);
		*(int *)member = d->damaged ? 0 : (int)n;
	} else {
		*(int64_t *)member = n;
	}
}

static void decode_strings(struct decoder *d, struct config_strings *out, size_t count)
{
	out->items = room(d, count, sizeof(out->items[0]));
	for (size_t i = 0; i < count && !d->damaged; i++) {
		out->items[i] = take_flags(d, &out->items[i]) ? take_text(d) : "";
		out->count = i + 1;
	}
}

static void decode_pairs(struct decoder *d, struct config_pairs *out, size_t count)
{
	out->items = room(d, count, sizeof(out->items[0]));
	for (size_t i = 0; i < count && !d->damaged; i++) {
		out->items[i].name = take_text(d);
		out->items[i].value = take_flags(d, &out->items[i].value) ? take_text(d) : "";
		out->count = i + 1;
	}
}

static void decode_rates(struct decoder *d, struct config_rates *out, size_t count)
{
	out->items = room(d, count, sizeof(out->items[0]));
	for (size_t i = 0; i < count && !d->damaged; i++) {
		if (!take_flags(d, &out->items[i]))
			continue;
		out->items[i].count = (int64_t)take_u64(d);
		out->items[i].period_ms = (int64_t)take_u64(d);
		out->count = i + 1;
	}
}

static void decode_structs(
	struct decoder *d, const struct config_field *field, struct config_array *out, size_t count)
{
	out->items = room(d, count, field->element_size);
	for (size_t i = 0; i < count && !d->damaged; i++) {
		char *element = (char *)out->items + i * field->element_size;
		if (field->type == CONFIG_STRUCT_MAP)
			*(const char **)element = take_text(d);
		decode_fields(d, field->fields, element);
		out->count = i + 1;
	}
}

static void decode_list(struct decoder *d, const struct config_field *field, void *member)
{
	size_t count = take_count(d);
	switch (field->type) {
	case CONFIG_STRING_LIST: decode_strings(d, member, count); break;
	case CONFIG_STRING_MAP: decode_pairs(d, member, count); break;
	case CONFIG_RATES: decode_rates(d, member, count); break;
	default: decode_structs(d, field, member, count);
	}
}

static void decode_retry_when(struct decoder *d, struct config_retry_when *when)
{
	if (!take_flags(d, when))
		return;
	when->timeout = take_byte(d);
	when->connect = take_byte(d);
	const unsigned char *status = take(d, sizeof(when->status));
	if (status)
		memcpy(when->status, status, sizeof(when->status));
}

static void decode_fields(struct decoder *d, const struct config_field *fields, void *object)
{
	for (const struct config_field *f = fields; f->name && !d->damaged; f++) {
		void *member = (char *)object + f->offset;
		switch (f->type) {
		case CONFIG_STRUCT: decode_fields(d, f->fields, member); break;
		case CONFIG_STRING:
		case CONFIG_XPATH:
			*(const char **)member = take_flags(d, member) ? take_text(d) : NULL;
			break;
		case CONFIG_RETRY_WHEN: decode_retry_when(d, member); break;
		case CONFIG_STRING_LIST:
		case CONFIG_STRING_MAP:
		case CONFIG_RATES:
		case CONFIG_STRUCT_LIST:
		case CONFIG_STRUCT_MAP: decode_list(d, f, member); break;
		default: decode_number(d, f, member);
		}
	}
}

static const struct worker_kind *kind_named(const struct config_context *ctx, const char *name)
{
	for (size_t i = 0; name && ctx->kinds[i]; i++)
		if (str_eq(ctx->kinds[i]->name, name))
			return ctx->kinds[i];
	return NULL;
}

static void decode_worker(struct decoder *d)
{
	struct config *config = d->ctx->config;
	const struct worker_kind *kind = kind_named(d->ctx, take_text(d));
	const struct config_field *fields = kind ? worker_fields(d->ctx->arena, kind) : NULL;
	if (!fields || take_u64(d) != handover_hash(fields)) {
		d->damaged = true;
		return;
	}
	config->workers = room(d, 1, sizeof(config->workers[0]));
	if (d->damaged)
		return;
	config->worker_count = 1;
	config->workers[0].kind = kind;
	config->workers[0].processes = (int64_t)take_u64(d);
	decode_fields(d, fields, &config->workers[0]);
}

static void decode_providers(struct decoder *d)
{
	struct config *config = d->ctx->config;
	size_t count = take_count(d);
	config->providers = room(d, count, sizeof(config->providers[0]));
	for (size_t i = 0; i < count && !d->damaged; i++) {
		config->providers[i].name = take_text(d);
		decode_fields(d, provider_fields, &config->providers[i]);
		config->provider_count = i + 1;
	}
}

static void decode_spec(struct decoder *d, struct config_job *job)
{
	uint64_t hash = take_u64(d), len = take_u64(d);
	const unsigned char *bytes = take(d, len > d->left ? d->left + 1 : (size_t)len);
	job->kind = kind_named(d->ctx, job->kind_name);
	if (!bytes || !job->kind)
		return;
	if (!job->kind->job_fields || hash != handover_hash(job->kind->job_fields)) {
		d->damaged = true;
		return;
	}
	struct decoder inner = { .ctx = d->ctx, .p = bytes, .left = (size_t)len };
	job->spec = room(d, 1, job->kind->job_size);
	if (job->spec)
		decode_fields(&inner, job->kind->job_fields, job->spec);
	d->damaged = d->damaged || inner.damaged || inner.left;
}

static void decode_jobs(struct decoder *d)
{
	struct config *config = d->ctx->config;
	size_t count = take_count(d);
	config->jobs = room(d, count, sizeof(config->jobs[0]));
	for (size_t i = 0; i < count && !d->damaged; i++) {
		struct config_job *job = &config->jobs[i];
		job->name = take_text(d);
		decode_fields(d, job_fields, job);
		decode_spec(d, job);
		config->job_count = i + 1;
	}
}

static void decode_all(struct decoder *d)
{
	struct config *config = d->ctx->config;
	const unsigned char *magic = take(d, sizeof(HANDOVER_MAGIC) - 1);
	if (!magic || memcmp(magic, HANDOVER_MAGIC, sizeof(HANDOVER_MAGIC) - 1) != 0)
		d->damaged = true;
	for (size_t i = 0; i < HANDOVER_SECTIONS; i++)
		if (take_u64(d) != handover_hash(handover_sections[i]))
			d->damaged = true;
	if (d->damaged)
		return;
	decode_worker(d);
	decode_fields(d, supervisor_fields, &config->supervisor);
	decode_fields(d, logs_fields, &config->logs);
	decode_fields(d, store_fields, &config->store);
	decode_fields(d, http_fields, &config->http);
	decode_providers(d);
	decode_jobs(d);
	d->damaged = d->damaged || d->left;
}

/* Schedules and pointers are not in the bytes: they are made anew. */
static void resolve(struct config_context *ctx)
{
	for (size_t i = 0; i < ctx->config->job_count; i++) {
		struct config_job *job = &ctx->config->jobs[i];
		check_schedule(ctx, job);
		if (job->kind && job->spec)
			job->kind->check_job(ctx, ctx->config, job);
	}
	check_after(ctx);
}

int handover_decode(struct config **out, const void *data, size_t len,
	const struct worker_kind *const *kinds, struct err *err)
{
	struct config_context ctx = { .kinds = kinds, .handed_over = true };
	struct decoder d = { .ctx = &ctx, .p = data, .left = len };
	int rc = -ENOMEM;
	ctx.config = config_new(DECODED_MAX);
	if (ctx.config) {
		ctx.arena = ctx.config->arena;
		decode_all(&d);
		if (!d.damaged && !ctx.report.out_of_memory)
			resolve(&ctx);
		if (!ctx.report.out_of_memory)
			rc = d.damaged || ctx.report.count ? -EINVAL : context_keep(&ctx);
	}
	if (rc == 0)
		*out = TAKE(ctx.config);
	else if (rc == -ENOMEM)
		err_set(err, rc, "take the configuration over: no memory");
	else
		err_set(err, rc, "take the configuration over: %s",
			ctx.report.count ? ctx.report.items[0].text
					 : "it is damaged, or another version's");
	config_free(ctx.config);
	context_finish(&ctx);
	return rc;
}
