/* SPDX-License-Identifier: MIT */
#include "config/context.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void context_finish(struct config_context *ctx)
{
	free(ctx->objects);
	free(ctx->secrets);
	free(ctx->xpaths);
	report_finish(&ctx->report);
	arena_free(ctx->scratch);
}

void context_no_memory(struct config_context *ctx)
{
	ctx->report.out_of_memory = true;
}

void *context_alloc(struct config_context *ctx, size_t size)
{
	void *p = arena_alloc(ctx->arena, size);
	if (!p)
		context_no_memory(ctx);
	return p;
}

const char *context_strdup(struct config_context *ctx, const char *text)
{
	char *copy = arena_strdup(ctx->arena, text);
	if (!copy)
		context_no_memory(ctx);
	return copy;
}

void config_error(struct config_context *ctx, const struct config_mark *mark, const char *fmt, ...)
{
	/* What was handed over was checked before, whole; here secrets may be missing from it. */
	if (ctx->handed_over)
		return;
	va_list ap;
	va_start(ap, fmt);
	report_addv(&ctx->report, mark, fmt, ap);
	va_end(ap);
}

void context_add_object(struct config_context *ctx, const void *address, const struct node *node,
	const struct config_mark *owner, bool faulty)
{
	void *items = ctx->objects;
	if (mem_grow(&items, &ctx->object_cap, ctx->object_count, sizeof(ctx->objects[0])) < 0) {
		context_no_memory(ctx);
		return;
	}
	ctx->objects = items;
	ctx->objects[ctx->object_count] = (struct config_object) { .address = address,
		.node = node,
		.owner = *owner,
		.order = ctx->object_count,
		.faulty = faulty };
	ctx->object_count++;
	ctx->objects_sorted = false;
}

static int by_address(const void *a, const void *b)
{
	const struct config_object *x = a, *y = b;
	return x->address < y->address ? -1 : x->address > y->address;
}

const struct config_object *context_object(struct config_context *ctx, const void *address)
{
	if (!ctx->objects_sorted && ctx->object_count)
		qsort(ctx->objects, ctx->object_count, sizeof(ctx->objects[0]), by_address);
	ctx->objects_sorted = true;
	struct config_object wanted = { .address = address };
	return ctx->object_count ? bsearch(&wanted, ctx->objects, ctx->object_count,
					   sizeof(ctx->objects[0]), by_address)
				 : NULL;
}

/* One step of "start.0" or "schedule.cron". */
static const struct node *step(const struct node *node, const char *name)
{
	int64_t index;
	if (!node || node->kind == NODE_MAPPING)
		return node_get(node, name);
	if (node->kind == NODE_SCALAR) /* a shorthand: the text is the member */
		return node;
	if (str_to_i64(name, 0, (int64_t)node->count - 1, &index) < 0)
		return NULL;
	return node->items[index];
}

const struct node *context_node(struct config_context *ctx, const void *object, const char *path)
{
	const struct config_object *found = context_object(ctx, object);
	const struct node *node = found ? found->node : NULL;
	char name[64];
	for (const char *p = path; *p && node;) {
		size_t len = strcspn(p, ".");
		str_copy(name, MIN(len + 1, sizeof(name)), p);
		node = step(node, name);
		p += len + (p[len] == '.');
	}
	return node_is_null(node) ? NULL : node;
}

struct config_mark config_mark_of(struct config_context *ctx, const void *object, const char *path)
{
	const struct config_object *found = context_object(ctx, object);
	const struct node *node = *path ? context_node(ctx, object, path) : NULL;
	if (node)
		return node->mark;
	return found ? found->owner : (struct config_mark) { .file = "" };
}

struct config_mark config_mark_at(
	struct config_context *ctx, const void *object, const char *path, size_t byte)
{
	const struct node *node = context_node(ctx, object, path);
	if (!node || node->kind != NODE_SCALAR || strstr(node->text, "${") ||
		byte > strlen(node->text))
		return config_mark_of(ctx, object, path);
	return context_mark_in_value(ctx, node, byte, 1);
}

struct config_mark context_mark_in_value(
	struct config_context *ctx, const struct node *node, size_t offset, size_t width)
{
	struct config_mark mark = node->mark;
	const struct source *source = NULL;
	for (size_t i = 0; i < ctx->source_count; i++)
		if (ctx->sources[i].name == mark.file)
			source = &ctx->sources[i];
	if (!source)
		return mark;
	size_t len, n;
	const char *p = source_line(source, mark.line, &len);
	const char *end = p + len;
	for (size_t column = 1; column < mark.column && p < end; column++)
		p += source_char_bytes(p, (size_t)(end - p));
	size_t quote = !node->plain && p < end && (*p == '"' || *p == '\'');
	if ((size_t)(end - p) < quote + offset || memcmp(p + quote, node->text, offset) != 0)
		return mark; /* escapes, or a text of several lines */
	mark.column += quote;
	mark.width = width;
	for (size_t i = 0; i < offset; i += n, mark.column++)
		n = source_char_bytes(node->text + i, offset - i);
	return mark;
}

void context_add_secret(struct config_context *ctx, const void *member)
{
	void *items = ctx->secrets;
	if (mem_grow(&items, &ctx->secret_cap, ctx->secret_count, sizeof(ctx->secrets[0])) < 0) {
		context_no_memory(ctx);
		return;
	}
	ctx->secrets = items;
	ctx->secrets[ctx->secret_count++] = member;
}

size_t context_push(struct config_context *ctx, const char *name)
{
	size_t length = strlen(ctx->path);
	if (length && length + 1 < sizeof(ctx->path))
		str_copy(ctx->path + length, 2, ".");
	size_t at = strlen(ctx->path);
	str_copy(ctx->path + at, sizeof(ctx->path) - at, name);
	return length;
}

void context_pop(struct config_context *ctx, size_t length)
{
	ctx->path[length] = '\0';
}

static int by_pointer(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	return *x < *y ? -1 : *x > *y;
}

int context_keep(struct config_context *ctx)
{
	struct config_tree *tree = ctx->config->tree;
	tree->secrets = context_alloc(ctx, ctx->secret_count * sizeof(tree->secrets[0]));
	tree->xpaths = context_alloc(ctx, ctx->xpath_count * sizeof(tree->xpaths[0]));
	if (!tree->secrets || !tree->xpaths)
		return -ENOMEM;
	tree->secret_count = ctx->secret_count;
	tree->xpath_count = ctx->xpath_count;
	if (ctx->secret_count) {
		memcpy(tree->secrets, ctx->secrets, ctx->secret_count * sizeof(tree->secrets[0]));
		qsort(tree->secrets, tree->secret_count, sizeof(tree->secrets[0]), by_pointer);
	}
	if (ctx->xpath_count)
		memcpy(tree->xpaths, ctx->xpaths, ctx->xpath_count * sizeof(tree->xpaths[0]));
	return 0;
}

bool config_is_secret(const struct config *config, const void *member)
{
	return config->tree->secret_count &&
	       bsearch(&member, config->tree->secrets, config->tree->secret_count,
		       sizeof(config->tree->secrets[0]), by_pointer);
}

bool context_is_faulty(struct config_context *ctx, const void *object)
{
	const struct config_object *found = context_object(ctx, object);
	return found && found->faulty;
}

void context_error_at(
	struct config_context *ctx, const void *object, const char *path, const char *fmt, ...)
{
	struct config_mark mark = config_mark_of(ctx, object, path);
	va_list ap;
	va_start(ap, fmt);
	report_addv(&ctx->report, &mark, fmt, ap);
	va_end(ap);
}
