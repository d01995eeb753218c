/* SPDX-License-Identifier: MIT */
/* Nodes -> structs, led by the field tables. */
#include "config/context.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/forget.h"
#include "config/kind.h"
#include "config/tables.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* What a field is built from. */
struct source_value {
	struct node *node;	  /* NULL: absent */
	struct config_mark owner; /* of the mapping's own key */
	struct config_mark key;
	bool present; /* the mapping is there: what it must hold is demanded */
};

static bool build_field(struct config_context *ctx, const struct config_field *field, void *object,
	const struct source_value *value);

static size_t errors(const struct config_context *ctx)
{
	return ctx->report.count + ctx->report.dropped + ctx->report.out_of_memory;
}

/* ---- scalars ---- */

/* A text that is cut to a length fit for a message, at a character's end. */
static const char *shown(struct config_context *ctx, const char *text, bool secret)
{
	size_t len = strlen(text), cut = 60;
	if (secret)
		return "***";
	if (len <= cut)
		return text;
	while (cut && ((unsigned char)text[cut] & 0xc0) == 0x80)
		cut--;
	const char *copy = arena_printf(ctx->scratch, "%.*s...", (int)cut, text);
	return copy ? copy : "...";
}

/* @return false: reported */
static bool scalar_of(struct config_context *ctx, const struct config_field *field,
	struct node *node, struct config_scalar *out)
{
	if (node->reported)
		return false;
	if (node->kind != NODE_SCALAR) {
		config_error(ctx, &node->mark, "%s must be a single value, not %s", ctx->path,
			node_kind_name(node));
		node->reported = true;
		return false;
	}
	*out = (struct config_scalar) { .text = node->text, .mark = node->mark };
	if (!field->unsubstituted && !substitute(ctx, node, &out->text, &out->secret)) {
		node->reported = true;
		return false;
	}
	out->secret |= field->secret;
	out->shown = shown(ctx, out->text, out->secret);
	return true;
}

static bool build_scalar(struct config_context *ctx, const struct config_field *field,
	struct node *node, void *member)
{
	struct config_scalar scalar;
	if (!scalar_of(ctx, field, node, &scalar))
		return false;
	if (!convert_scalar(ctx, field, &scalar, member)) {
		node->reported = true;
		return false;
	}
	if (scalar.secret)
		context_add_secret(ctx, member);
	return true;
}

static void remember_xpath(struct config_context *ctx, const struct node *node, const char *text)
{
	void *items = ctx->xpaths;
	if (mem_grow(&items, &ctx->xpath_cap, ctx->xpath_count, sizeof(ctx->xpaths[0])) < 0) {
		context_no_memory(ctx);
		return;
	}
	ctx->xpaths = items;
	ctx->xpaths[ctx->xpath_count++] = (struct config_xpath) { .text = text,
		.mark = node->mark };
}

/* ---- lists of scalars ---- */

static bool is_list(struct config_context *ctx, struct node *node)
{
	if (node->kind == NODE_SEQUENCE)
		return true;
	if (!node->reported)
		config_error(ctx, &node->mark, "%s must be a list, not %s", ctx->path,
			node_kind_name(node));
	node->reported = true;
	return false;
}

static bool is_few(struct config_context *ctx, const struct config_field *field,
	const struct node *node, size_t count)
{
	bool few = !field->max || count <= (size_t)field->max;
	if (!few)
		config_error(ctx, &node->mark, "%s has %zu items, at most %lld are possible",
			ctx->path, count, (long long)field->max);
	return few;
}

static bool build_strings(struct config_context *ctx, const struct config_field *field,
	struct node *node, struct config_strings *out)
{
	bool single = field->single && node->kind == NODE_SCALAR;
	if (!single && !is_list(ctx, node))
		return false;
	size_t count = single ? 1 : node->count;
	if (!is_few(ctx, field, node, count))
		return false;
	const char **items = context_alloc(ctx, count * sizeof(items[0]));
	bool ok = items;
	for (size_t i = 0; items && i < count; i++) {
		struct node *item = single ? node : node->items[i];
		if (node_is_null(item)) {
			config_error(ctx, &item->mark, "an item of %s is empty", ctx->path);
			ok = false;
		} else if (build_scalar(ctx, field, item, &items[i])) {
			if (field->check)
				field->check(ctx, &item->mark, &items[i]);
		} else {
			ok = false;
		}
	}
	if (ok)
		*out = (struct config_strings) { items, count };
	return ok;
}

static bool build_pairs(struct config_context *ctx, const struct config_field *field,
	struct node *node, struct config_pairs *out)
{
	if (node->kind != NODE_MAPPING) {
		if (!node->reported)
			config_error(ctx, &node->mark,
				"%s must be a mapping of names to values, not %s", ctx->path,
				node_kind_name(node));
		node->reported = true;
		return false;
	}
	if (!is_few(ctx, field, node, node->count))
		return false;
	struct config_pair *items = context_alloc(ctx, node->count * sizeof(items[0]));
	bool ok = items;
	for (size_t i = 0; items && i < node->count; i++) {
		struct node *key = node->pairs[i].key, *value = node->pairs[i].value;
		items[i].name = context_strdup(ctx, key->text);
		if (node_is_null(value) && !value->reported) {
			config_error(ctx, &key->mark,
				"\"%.60s\" has no value: write \"\" for an empty one", key->text);
			ok = false;
		} else if (!build_scalar(ctx, field, value, &items[i].value) || !items[i].name) {
			ok = false;
		} else if (field->check) {
			field->check(ctx, &key->mark, &items[i]);
		}
	}
	if (ok)
		*out = (struct config_pairs) { items, node->count };
	return ok;
}

static bool build_rates(struct config_context *ctx, const struct config_field *field,
	struct node *node, struct config_rates *out)
{
	bool single = node->kind != NODE_SEQUENCE;
	size_t count = single ? 1 : node->count;
	/* One of limit/'s eight windows is the concurrency's. */
	if (count > CONFIG_RATES_MAX) {
		config_error(ctx, &node->mark, "%s: at most %d rates", ctx->path, CONFIG_RATES_MAX);
		return false;
	}
	struct config_rate *items = context_alloc(ctx, count * sizeof(items[0]));
	bool ok = items;
	for (size_t i = 0; items && i < count; i++) {
		struct node *item = single ? node : node->items[i];
		struct config_scalar scalar;
		if (!scalar_of(ctx, field, item, &scalar)) {
			ok = false;
		} else if (!convert_rate(ctx, field, &scalar, &items[i])) {
			item->reported = true;
			ok = false;
		} else if (scalar.secret) {
			context_add_secret(ctx, &items[i]);
		}
	}
	if (ok)
		*out = (struct config_rates) { items, count };
	return ok;
}

static bool build_retry_when(struct config_context *ctx, const struct config_field *field,
	struct node *node, struct config_retry_when *out)
{
	struct config_retry_when when = { 0 };
	bool ok = is_list(ctx, node);
	for (size_t i = 0; node->kind == NODE_SEQUENCE && i < node->count; i++) {
		struct config_scalar scalar;
		if (!scalar_of(ctx, field, node->items[i], &scalar)) {
			ok = false;
		} else if (!convert_retry_when(ctx, &scalar, &when)) {
			node->items[i]->reported = true;
			ok = false;
		} else if (scalar.secret) {
			context_add_secret(ctx, out);
		}
	}
	if (ok)
		*out = when;
	return ok;
}

/* ---- structs ---- */

/* "; did you mean "x"?", or what there is. */
static const char *suggestion(
	struct config_context *ctx, const char *word, const char *const *known, size_t count)
{
	const char *near = str_nearest(word, known, count);
	char list[300] = "";
	if (near) {
		const char *text = arena_printf(ctx->scratch, "; did you mean \"%s\"?", near);
		return text ? text : "";
	}
	for (size_t i = 0; i < count; i++) {
		size_t at = strlen(list);
		snprintf(list + at, sizeof(list) - at, "%s%s", i ? ", " : "; there are ", known[i]);
	}
	const char *text = arena_strdup(ctx->scratch, list);
	return text ? text : "";
}

void report_unknown_key(
	struct config_context *ctx, struct node *key, const char *const *known, size_t count)
{
	if (key->reported)
		return;
	key->reported = true;
	config_error(ctx, &key->mark, "unknown key \"%s\"%s%s%s", shown(ctx, key->text, false),
		*ctx->path ? " in " : "", ctx->path, suggestion(ctx, key->text, known, count));
}

static bool known_field(const struct build_part *parts, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		for (const struct config_field *f = parts[i].fields; f->name; f++)
			if (str_eq(f->name, name))
				return true;
	return false;
}

static void refuse_unknown_keys(struct config_context *ctx, const struct node *map,
	const struct build_part *parts, size_t count)
{
	const char *known[64];
	size_t n = 0;
	for (size_t i = 0; i < count; i++)
		for (const struct config_field *f = parts[i].fields;
			f->name && n < ARRAY_SIZE(known); f++)
			known[n++] = f->name;
	for (size_t i = 0; i < map->count; i++)
		if (!known_field(parts, count, map->pairs[i].key->text))
			report_unknown_key(ctx, map->pairs[i].key, known, n);
}

bool build_parts(struct config_context *ctx, const struct node *map,
	const struct config_mark *owner, struct build_part *parts, size_t count)
{
	size_t before = errors(ctx);
	if (map)
		refuse_unknown_keys(ctx, map, parts, count);
	bool unknown = errors(ctx) != before;
	for (size_t i = 0; i < count; i++) {
		size_t before_part = errors(ctx);
		for (const struct config_field *f = parts[i].fields; f->name; f++) {
			const struct node_pair *pair = node_get_pair(map, f->name);
			struct source_value value = {
				.owner = *owner, .key = *owner, .present = map
			};
			if (pair) {
				value.node = pair->value;
				value.key = pair->key->mark;
			}
			size_t length = context_push(ctx, f->name);
			build_field(ctx, f, parts[i].object, &value);
			context_pop(ctx, length);
		}
		parts[i].faulty = unknown || errors(ctx) != before_part;
	}
	return errors(ctx) == before;
}

static bool is_shorthand(const struct config_field *field, const struct node *node)
{
	const struct config_field *f = field->fields;
	if (!field->shorthand || node->kind == NODE_MAPPING)
		return false;
	while (!str_eq(f->name, field->shorthand))
		f++;
	return node->kind == NODE_SCALAR || f->type == CONFIG_STRING_LIST;
}

/* A struct's own node: a mapping, or by shorthand the value of one field. */
static bool build_struct(struct config_context *ctx, const struct config_field *field,
	struct node *node, const struct config_mark *owner, void *object)
{
	struct build_part part = { field->fields, object, false };
	if (!node || node->kind == NODE_MAPPING)
		return build_parts(ctx, node, owner, &part, 1);
	if (!is_shorthand(field, node)) {
		if (!node->reported)
			config_error(ctx, &node->mark, "%s must be a mapping, not %s", ctx->path,
				node_kind_name(node));
		node->reported = true;
		return false;
	}
	size_t before = errors(ctx);
	for (const struct config_field *f = field->fields; f->name; f++) {
		bool this_one = str_eq(f->name, field->shorthand);
		struct source_value value = {
			.node = this_one ? node : NULL, .owner = *owner, .key = *owner
		};
		build_field(ctx, f, object, &value);
	}
	return errors(ctx) == before;
}

static bool build_struct_list(struct config_context *ctx, const struct config_field *field,
	struct node *node, struct config_array *out)
{
	if (!is_list(ctx, node))
		return false;
	char *items = context_alloc(ctx, node->count * field->element_size);
	bool ok = items;
	for (size_t i = 0; items && i < node->count; i++) {
		char index[24];
		snprintf(index, sizeof(index), "%zu", i);
		size_t length = context_push(ctx, index);
		void *element = items + i * field->element_size;
		bool good = build_struct(
			ctx, field, node->items[i], &node->items[i]->mark, element);
		context_add_object(ctx, element, node->items[i], &node->items[i]->mark, !good);
		if (good && field->check)
			field->check(ctx, &node->items[i]->mark, element);
		ok = ok && good;
		context_pop(ctx, length);
	}
	if (items)
		*out = (struct config_array) { items, node->count };
	return ok;
}

static bool build_struct_map(struct config_context *ctx, const struct config_field *field,
	struct node *node, struct config_array *out)
{
	if (node->kind != NODE_MAPPING) {
		if (!node->reported)
			config_error(ctx, &node->mark, "%s must be a mapping, not %s", ctx->path,
				node_kind_name(node));
		node->reported = true;
		return false;
	}
	char *items = context_alloc(ctx, node->count * field->element_size);
	bool ok = items;
	for (size_t i = 0; items && i < node->count; i++) {
		struct node *key = node->pairs[i].key, *value = node->pairs[i].value;
		void *element = items + i * field->element_size;
		size_t length = context_push(ctx, key->text);
		*(const char **)element = context_strdup(ctx, key->text);
		/* Nothing at all is a mapping with nothing in it: what is required is missed. */
		static struct node nothing = { .kind = NODE_MAPPING, .height = 1, .weight = 1 };
		bool good = build_struct(
			ctx, field, node_is_null(value) ? &nothing : value, &key->mark, element);
		context_add_object(ctx, element, value, &key->mark, !good);
		if (field->check)
			field->check(ctx, &key->mark, element);
		ok = ok && good;
		context_pop(ctx, length);
	}
	if (items)
		*out = (struct config_array) { items, node->count };
	return ok;
}

/* ---- one field ---- */

/* "[429, 5xx]" of a table: the node that YAML would give. */
static struct node *default_node(
	struct config_context *ctx, const char *def, const struct config_mark *mark)
{
	bool list = *def == '[';
	struct node *nodes = arena_alloc(ctx->scratch, 17 * sizeof(*nodes));
	struct node **items = arena_alloc(ctx->scratch, 16 * sizeof(struct node *));
	char *text = arena_strdup(ctx->scratch, list ? def + 1 : def), *save = NULL;
	if (!nodes || !items || !text) {
		context_no_memory(ctx);
		return NULL;
	}
	nodes[0] = (struct node) {
		.kind = list ? NODE_SEQUENCE : NODE_SCALAR, .mark = *mark, .text = text
	};
	nodes[0].items = items;
	for (char *word = list ? strtok_r(text, ", ]", &save) : NULL; word;
		word = strtok_r(NULL, ", ]", &save)) {
		size_t i = nodes[0].count++;
		assert(i < 16);
		nodes[i + 1] = (struct node) { .kind = NODE_SCALAR, .mark = *mark, .text = word };
		items[i] = &nodes[i + 1];
	}
	return &nodes[0];
}

static bool build_value(struct config_context *ctx, const struct config_field *field,
	struct node *node, const struct source_value *value, void *member)
{
	switch (field->type) {
	case CONFIG_STRING_LIST: return build_strings(ctx, field, node, member);
	case CONFIG_STRING_MAP: return build_pairs(ctx, field, node, member);
	case CONFIG_RATES: return build_rates(ctx, field, node, member);
	case CONFIG_RETRY_WHEN: return build_retry_when(ctx, field, node, member);
	case CONFIG_STRUCT: return build_struct(ctx, field, node, &value->key, member);
	case CONFIG_STRUCT_LIST: return build_struct_list(ctx, field, node, member);
	case CONFIG_STRUCT_MAP: return build_struct_map(ctx, field, node, member);
	default: return build_scalar(ctx, field, node, member);
	}
}

static void set_default(struct config_context *ctx, const struct config_field *field,
	const struct source_value *value, void *member)
{
	struct node *node = field->def ? default_node(ctx, field->def, &value->owner) : NULL;
	if (field->type == CONFIG_STRUCT)
		build_struct(ctx, field, NULL, &value->key, member);
	else if (node && !build_value(ctx, field, node, value, member))
		assert(report_failed(
			&ctx->report)); /* a table's default must be good, tests see to it */
}

static bool checked_as_a_whole(enum config_type type)
{
	return type != CONFIG_STRING_LIST && type != CONFIG_STRING_MAP &&
	       type != CONFIG_STRUCT_LIST && type != CONFIG_STRUCT_MAP;
}

static bool build_field(struct config_context *ctx, const struct config_field *field, void *object,
	const struct source_value *written)
{
	char *member = (char *)object + field->offset;
	const struct source_value absent = {
		.owner = written->owner, .key = written->key, .present = written->present
	};
	const struct source_value *value = written->node && FIELD_FORGOTTEN(ctx->path, field->name)
						   ? &absent
						   : written;
	if (node_is_null(value->node)) {
		bool said = value->node && value->node->reported;
		if (field->required && value->present && !said)
			config_error(ctx, &value->owner, "\"%s\" is missing: %s is required",
				field->name, ctx->path);
		set_default(ctx, field, value, member);
		return !(field->required && value->present);
	}
	if (!build_value(ctx, field, value->node, value, member)) {
		bool tried = field->type == CONFIG_STRUCT &&
			     (value->node->kind == NODE_MAPPING || field->shorthand);
		if (!tried)
			set_default(ctx, field, value, member);
		return false;
	}
	if (field->type == CONFIG_XPATH)
		remember_xpath(ctx, value->node, *(const char **)member);
	if (field->check && checked_as_a_whole(field->type))
		field->check(ctx, &value->node->mark, member);
	return true;
}

/* ---- sections ---- */

static bool build_section(struct config_context *ctx, const struct node *root, const char *name,
	const struct config_field *fields, void *object)
{
	const struct node_pair *pair = node_get_pair(root, name);
	struct config_mark owner = pair	  ? pair->key->mark
				   : root ? root->mark
					  : (struct config_mark) { 0 };
	struct config_field field = { .name = name, .type = CONFIG_STRUCT, .fields = fields };
	struct node *node = pair && !node_is_null(pair->value) ? pair->value : NULL;
	size_t length = context_push(ctx, name);
	bool ok = build_struct(ctx, &field, node, &owner, object);
	context_add_object(ctx, object, node, &owner, !ok);
	context_pop(ctx, length);
	return ok;
}

void build_named(struct config_context *ctx, const char *section, const struct node *map,
	const struct build_elements *how, struct config_array *out)
{
	size_t count = map ? map->count : 0;
	char *items = context_alloc(ctx, count * how->size);
	size_t top = context_push(ctx, section);
	for (size_t i = 0; items && i < count; i++) {
		struct node *key = map->pairs[i].key;
		const struct node *value = map->pairs[i].value;
		void *element = items + i * how->size;
		if (!str_is_name(key->text)) {
			config_error(ctx, &key->mark,
				"\"%s\" is no name of a %s: 1 to 64 of letters, digits, _ . -, not "
				"beginning with . or -",
				shown(ctx, key->text, false), how->what);
		}
		size_t length = context_push(ctx, shown(ctx, key->text, false));
		*(const char **)element = context_strdup(ctx, key->text);
		if (!node_is_null(value) && value->kind != NODE_MAPPING) {
			config_error(ctx, &value->mark, "%s must be a mapping, not %s", ctx->path,
				node_kind_name(value));
			value = NULL;
		}
		bool good = how->build(ctx, element, value, &key->mark);
		context_add_object(ctx, element, value, &key->mark, !good);
		context_pop(ctx, length);
	}
	context_pop(ctx, top);
	*out = (struct config_array) { items, items ? count : 0 };
}

/* A name with nothing behind it is a mapping with nothing in it. */
static const struct node *or_empty(const struct node *node)
{
	static const struct node empty = { .kind = NODE_MAPPING, .height = 1, .weight = 1 };
	return node_is_null(node) ? &empty : node;
}

static bool build_provider(struct config_context *ctx, void *element, const struct node *node,
	const struct config_mark *owner)
{
	struct build_part part = { provider_fields, element, false };
	return build_parts(ctx, or_empty(node), owner, &part, 1);
}

static bool build_service(struct config_context *ctx, void *element, const struct node *node,
	const struct config_mark *owner)
{
	struct config_service *service = element;
	struct build_part part = { service_fields, service, false };
	service->supervision = ctx->config->supervisor.supervision;
	bool ok = build_parts(ctx, or_empty(node), owner, &part, 1);
	if (service->supervision.restart.when_held == HELD_DEFAULT)
		service->supervision.restart.when_held = HELD_KEEP;
	return ok;
}

static const struct worker_kind *job_kind(struct config_context *ctx, const char *name)
{
	for (size_t i = 0; name && ctx->kinds[i]; i++)
		if (ctx->kinds[i]->job_fields && str_eq(ctx->kinds[i]->name, name))
			return ctx->kinds[i];
	return NULL;
}

static void report_kind(struct config_context *ctx, struct node *node)
{
	const char *known[32];
	char list[256] = "";
	size_t n = 0;
	for (size_t i = 0; n < ARRAY_SIZE(known) && ctx->kinds[i]; i++) {
		size_t at = strlen(list);
		if (!ctx->kinds[i]->job_fields)
			continue;
		snprintf(list + at, sizeof(list) - at, "%s%s", n ? ", " : "", ctx->kinds[i]->name);
		known[n++] = ctx->kinds[i]->name;
	}
	const char *near = str_nearest(node->text, known, n);
	if (!node->reported)
		config_error(ctx, &node->mark, "no kind of job \"%s\" (there are %s)%s%s%s",
			shown(ctx, node->text, false), list, near ? "; did you mean \"" : "",
			near ? near : "", near ? "\"?" : "");
	node->reported = true;
}

/* The kind is not known, so its keys are not either: those of all kinds pass. */
static bool build_job_of_no_kind(struct config_context *ctx, struct config_job *job,
	const struct node *node, const struct config_mark *owner)
{
	struct node *kind = node_get(node, "kind");
	struct node known = { .kind = NODE_MAPPING, .mark = node->mark };
	struct build_part part = { job_fields, job, false };
	known.pairs = arena_alloc(ctx->scratch, node->count * sizeof(known.pairs[0]));
	if (!known.pairs) {
		context_no_memory(ctx);
		return false;
	}
	for (size_t i = 0; i < node->count; i++) {
		bool of_a_kind = false;
		for (size_t k = 0; ctx->kinds[k]; k++) {
			struct build_part fields = { ctx->kinds[k]->job_fields, NULL, false };
			of_a_kind = of_a_kind ||
				    (fields.fields &&
					    known_field(&fields, 1, node->pairs[i].key->text));
		}
		if (!of_a_kind)
			known.pairs[known.count++] = node->pairs[i];
	}
	build_parts(ctx, &known, owner, &part, 1);
	if (!node_is_null(kind) && kind->kind == NODE_SCALAR)
		report_kind(ctx, kind);
	return false;
}

static bool build_job(struct config_context *ctx, void *element, const struct node *node,
	const struct config_mark *owner)
{
	struct config_job *job = element;
	const struct node *map = or_empty(node), *kind = node_get(map, "kind");
	job->kind = job_kind(ctx, kind && kind->kind == NODE_SCALAR ? kind->text : NULL);
	if (!job->kind)
		return build_job_of_no_kind(ctx, job, map, owner);
	job->spec = context_alloc(ctx, job->kind->job_size);
	const struct config_field *fields = job_fields_of(ctx->scratch, job->kind);
	if (!job->spec || !fields) {
		context_no_memory(ctx);
		return false;
	}
	if (job->kind->job_defaults)
		job->kind->job_defaults(ctx->config, job->spec);
	struct build_part parts[] = { { fields, job, false },
		{ job->kind->job_fields, job->spec, false } };
	bool ok = build_parts(ctx, map, owner, parts, 2);
	context_add_object(ctx, job->spec, node, owner, parts[1].faulty);
	return ok;
}

static void build_worker(struct config_context *ctx, struct config_worker *worker,
	const struct node *workers, const struct worker_kind *kind)
{
	const struct config_field *fields = worker_fields(ctx->scratch, kind);
	worker->kind = kind;
	worker->processes = 1;
	worker->supervision = ctx->config->supervisor.supervision;
	if (!fields) {
		context_no_memory(ctx);
		return;
	}
	build_section(ctx, workers, kind->name, fields, worker);
	if (worker->supervision.restart.when_held == HELD_DEFAULT)
		worker->supervision.restart.when_held = HELD_STOP;
}

static void build_workers(struct config_context *ctx, struct node *node)
{
	const struct worker_kind *kinds[32];
	const char *known[ARRAY_SIZE(kinds)];
	size_t count = 0;
	for (size_t i = 0; count < ARRAY_SIZE(known) && ctx->kinds[i]; i++) {
		if (!ctx->kinds[i]->program)
			continue;
		kinds[count] = ctx->kinds[i];
		known[count++] = ctx->kinds[i]->name;
	}
	struct config *config = ctx->config;
	config->workers = context_alloc(ctx, count * sizeof(config->workers[0]));
	if (!config->workers)
		return;
	config->worker_count = count;
	size_t length = context_push(ctx, "workers");
	if (node && node->kind != NODE_MAPPING) {
		config_error(ctx, &node->mark, "workers must be a mapping, not %s",
			node_kind_name(node));
		node = NULL;
	}
	for (size_t i = 0; node && i < node->count; i++) {
		bool is_kind = false;
		for (size_t k = 0; k < count; k++)
			is_kind = is_kind || str_eq(known[k], node->pairs[i].key->text);
		if (!is_kind)
			report_unknown_key(ctx, node->pairs[i].key, known, count);
	}
	for (size_t i = 0; i < count; i++)
		build_worker(ctx, &config->workers[i], node, kinds[i]);
	context_pop(ctx, length);
}

static const struct node *section(const struct node *root, const char *name)
{
	const struct node *node = node_get(root, name);
	return node_is_null(node) ? NULL : node;
}

void build_config(struct config_context *ctx, const struct node *root)
{
	static const struct build_elements providers = { sizeof(struct config_provider),
		build_provider, "provider" };
	static const struct build_elements services = { sizeof(struct config_service),
		build_service, "service" };
	static const struct build_elements jobs = { sizeof(struct config_job), build_job, "job" };
	struct config *config = ctx->config;
	struct config_array array;
	for (const struct config_section *s = config_sections; s->name; s++)
		build_section(ctx, root, s->name, s->fields, (char *)config + s->offset);
	build_workers(ctx, (struct node *)section(root, "workers"));
	build_named(ctx, "providers", section(root, "providers"), &providers, &array);
	config->providers = array.items;
	config->provider_count = array.count;
	build_named(ctx, "services", section(root, "services"), &services, &array);
	config->services = array.items;
	config->service_count = array.count;
	build_named(ctx, "jobs", section(root, "jobs"), &jobs, &array);
	config->jobs = array.items;
	config->job_count = array.count;
}
