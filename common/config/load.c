/* SPDX-License-Identifier: MIT */
/* Files -> one tree -> a configuration, or a report of all that is wrong. */
#include "config/context.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"
#include "config/source.h"
#include "schedule/zone.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FILES_MAX = 257, /* the main file and conf.d */
	SCRATCH_MAX = 128 << 20,
	CONFIG_MAX = 64 << 20,
};

/* What conf.d may add to. */
static const char *const shared_sections[] = { "providers", "jobs", "services" };
static const char *const main_sections[] = { "supervisor", "logs", "store", "http", "workers",
	"providers", "jobs", "services" };

struct loader {
	struct config_context ctx;
	struct source *sources;
	struct node **roots; /* NULL: an empty file */
	size_t count;
	size_t budget;
	bool unread; /* a file could not be read to its end: cross-checks would mislead */
};

static const char *real_getenv(const char *name)
{
	return getenv(name);
}

static void add_tree(struct loader *l, bool readable)
{
	struct source *source = &l->sources[l->count];
	struct node **root = &l->roots[l->count];
	l->count++;
	l->ctx.source_count = l->count;
	if (!readable || !tree_read(root, l->ctx.scratch, source, &l->budget, &l->ctx.report)) {
		l->unread = true;
	} else if (*root && (*root)->kind != NODE_MAPPING && !node_is_null(*root)) {
		report_add(&l->ctx.report, &(*root)->mark,
			"a configuration must be a mapping, not %s", node_kind_name(*root));
		*root = NULL;
		l->unread = true;
	}
}

static int wanted(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);
	return entry->d_name[0] != '.' && len > 5 && str_eq(entry->d_name + len - 5, ".yaml");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_file(struct loader *l, const char *path)
{
	if (!path) {
		context_no_memory(&l->ctx);
		return;
	}
	add_tree(l, source_read(&l->sources[l->count], l->ctx.scratch, path, &l->ctx.report));
}

static void refuse_empty(struct loader *l, const char *path)
{
	struct config_mark mark = { .file = path };
	report_add(&l->ctx.report, &mark,
		"is empty, as if it was being written; a comment in it says that it is meant");
	l->unread = true;
}

static void add_folder(struct loader *l, const char *main_file)
{
	const char *slash = strrchr(main_file, '/');
	int dir_len = slash ? (int)(slash - main_file) + 1 : 0;
	const char *dir = arena_printf(l->ctx.scratch, "%.*sconf.d", dir_len, main_file);
	struct dirent **entries = NULL;
	struct config_mark mark = { .file = dir };
	if (!dir) {
		context_no_memory(&l->ctx);
		return;
	}
	int n = scandir(dir, &entries, wanted, by_name);
	if (n < 0 && errno != ENOENT && errno != ENOTDIR) {
		report_add(&l->ctx.report, &mark, "cannot be read: %s", strerror(errno));
		l->unread = true;
	}
	if (n > FILES_MAX - 1) {
		report_add(&l->ctx.report, &mark, "more than %d files", FILES_MAX - 1);
		l->unread = true;
	}
	for (int i = 0; i < n; i++) {
		if (n <= FILES_MAX - 1)
			add_file(l, arena_printf(l->ctx.scratch, "%s/%s", dir, entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
}

/* ---- many files, one tree ---- */

static bool is_shared(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(shared_sections); i++)
		if (str_eq(shared_sections[i], name))
			return true;
	return false;
}

static void refuse_sections(struct loader *l)
{
	for (size_t f = 0; f < l->count; f++) {
		const struct node *root = l->roots[f];
		for (size_t i = 0; root && i < root->count; i++) {
			struct node *key = root->pairs[i].key;
			bool known = false;
			if (str_starts(key->text, "x-") || is_shared(key->text))
				continue;
			for (size_t s = 0; s < ARRAY_SIZE(main_sections); s++)
				known = known || str_eq(main_sections[s], key->text);
			if (!known)
				report_unknown_key(
					&l->ctx, key, main_sections, ARRAY_SIZE(main_sections));
			else if (f > 0)
				report_add(&l->ctx.report, &key->mark,
					"\"%s\" belongs into the main file", key->text);
		}
	}
}

struct named {
	struct node_pair pair;
	size_t order;
};

static int by_key(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	int order = strcmp(x->pair.key->text, y->pair.key->text);
	return order ? order : x->order < y->order ? -1 : 1;
}

/* Within a file the reader has seen to it; here are the names of several files. */
static void refuse_duplicates(struct loader *l, const struct node *section)
{
	struct named *list = arena_alloc(l->ctx.scratch, section->count * sizeof(*list));
	if (!list) {
		context_no_memory(&l->ctx);
		return;
	}
	for (size_t i = 0; i < section->count; i++)
		list[i] = (struct named) { section->pairs[i], i };
	if (section->count)
		qsort(list, section->count, sizeof(*list), by_key);
	for (size_t i = 1; i < section->count; i++) {
		const struct node *key = list[i].pair.key, *first = list[i - 1].pair.key;
		if (str_eq(key->text, first->text))
			report_add(&l->ctx.report, &key->mark,
				"\"%s\" is defined twice, first at %s:%zu:%zu", key->text,
				first->mark.file, first->mark.line, first->mark.column);
	}
}

/* All entries of one section, in the order of the files. */
static struct node *join_section(struct loader *l, const char *name)
{
	struct node *out = arena_alloc(l->ctx.scratch, sizeof(*out));
	size_t count = 0;
	for (size_t f = 0; f < l->count; f++) {
		const struct node *section = node_get(l->roots[f], name);
		count += section && section->kind == NODE_MAPPING ? section->count : 0;
	}
	struct node_pair *pairs = arena_alloc(l->ctx.scratch, count * sizeof(*pairs));
	if (!out || !pairs) {
		context_no_memory(&l->ctx);
		return NULL;
	}
	*out = (struct node) { .kind = NODE_MAPPING, .text = "", .mark = { .file = "" } };
	out->pairs = pairs;
	for (size_t f = 0; f < l->count; f++) {
		const struct node *section = node_get(l->roots[f], name);
		if (node_is_null(section))
			continue;
		if (section->kind != NODE_MAPPING)
			report_add(&l->ctx.report, &section->mark, "%s must be a mapping, not %s",
				name, node_kind_name(section));
		for (size_t i = 0; section->kind == NODE_MAPPING && i < section->count; i++)
			out->pairs[out->count++] = section->pairs[i];
	}
	refuse_duplicates(l, out);
	return out;
}

static struct node *join(struct loader *l)
{
	size_t count = ARRAY_SIZE(main_sections);
	struct node *nodes = arena_alloc(l->ctx.scratch, (count + 1) * sizeof(*nodes));
	struct node_pair *pairs = arena_alloc(l->ctx.scratch, count * sizeof(*pairs));
	if (!nodes || !pairs) {
		context_no_memory(&l->ctx);
		return NULL;
	}
	struct node *root = &nodes[count];
	*root = (struct node) { .kind = NODE_MAPPING, .text = "" };
	root->mark = (struct config_mark) {
		.file = l->sources[0].name, .line = 1, .column = 1, .width = 1
	};
	root->pairs = pairs;
	for (size_t i = 0; i < count; i++) {
		const struct node_pair *pair = node_get_pair(l->roots[0], main_sections[i]);
		if (is_shared(main_sections[i])) {
			nodes[i] = (struct node) { .text = main_sections[i], .mark = root->mark };
			pairs[root->count++] = (struct node_pair) { &nodes[i],
				join_section(l, main_sections[i]) };
		} else if (pair) {
			pairs[root->count++] = *pair;
		}
	}
	return root;
}

/* ---- folders ---- */

/* What systemd made for the unit, else what the operator's account has, else the system's. */
static const char *default_dir(struct config_context *ctx, const char *systemd_name,
	const char *xdg_name, const char *below, const char *system)
{
	const char *unit = ctx->getenv(systemd_name), *xdg = ctx->getenv(xdg_name),
		   *home = ctx->getenv("HOME");
	const char *path = NULL;
	if (unit && *unit == '/')
		path = arena_printf(ctx->arena, "%.*s", (int)strcspn(unit, ":"), unit);
	else if (geteuid() == 0)
		path = system;
	else if (xdg && *xdg == '/')
		path = arena_printf(ctx->arena, "%s/%s", xdg, below);
	else if (home && *home == '/')
		path = arena_printf(ctx->arena, "%s/.local/state/%s", home, below);
	else
		path = system;
	if (!path)
		context_no_memory(ctx);
	return path;
}

static void set_dir(
	struct config_context *ctx, const char **dir, const char *option, const char *fallback)
{
	if (option)
		*dir = context_strdup(ctx, option);
	else if (!*dir)
		*dir = fallback;
}

static void set_dirs(struct config_context *ctx, const struct config_options *options)
{
	struct config *config = ctx->config;
	set_dir(ctx, &config->supervisor.state_dir, options->state_dir,
		default_dir(ctx, "STATE_DIRECTORY", "XDG_STATE_HOME", "drover", "/var/lib/drover"));
	set_dir(ctx, &config->supervisor.runtime_dir, options->runtime_dir,
		default_dir(ctx, "RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR", "drover", "/run/drover"));
	set_dir(ctx, &config->logs.dir, options->log_dir,
		default_dir(
			ctx, "LOGS_DIRECTORY", "XDG_STATE_HOME", "drover/log", "/var/log/drover"));
}

/* ---- the whole ---- */

static bool start(struct loader *l, const struct config_options *options)
{
	struct config_context *ctx = &l->ctx;
	ctx->kinds = options->kinds;
	ctx->getenv = options->getenv ? options->getenv : real_getenv;
	ctx->scratch = arena_new(SCRATCH_MAX);
	ctx->config = config_new(CONFIG_MAX);
	if (!ctx->scratch || !ctx->config)
		return false;
	ctx->arena = ctx->config->arena;
	l->budget = TREE_MAX_NODES;
	l->sources = arena_alloc(ctx->scratch, FILES_MAX * sizeof(l->sources[0]));
	l->roots = arena_alloc(ctx->scratch, FILES_MAX * sizeof(struct node *));
	ctx->sources = l->sources;
	return l->sources && l->roots;
}

static void build(struct loader *l, const struct config_options *options)
{
	struct config_context *ctx = &l->ctx;
	refuse_sections(l);
	struct node *root = join(l);
	if (!root)
		return;
	build_config(ctx, root);
	set_dirs(ctx, options);
	if (!l->unread && !ctx->report.out_of_memory)
		check_config(ctx);
}

static void keep_lines(struct config_context *ctx)
{
	for (size_t i = 0; i < ctx->xpath_count; i++) {
		const struct config_mark *mark = &ctx->xpaths[i].mark;
		for (size_t s = 0; s < ctx->source_count; s++) {
			size_t len;
			if (ctx->sources[s].name != mark->file)
				continue;
			const char *line = source_line(&ctx->sources[s], mark->line, &len);
			ctx->xpaths[i].line = arena_strndup(ctx->arena, line, len);
		}
		/* The name lives as long as the sources only. */
		ctx->xpaths[i].mark.file = context_strdup(ctx, mark->file);
		if (!ctx->xpaths[i].line)
			context_no_memory(ctx);
	}
}

static int finish(struct config **out, struct loader *l, const struct config_options *options,
	const char *name, struct buf *report)
{
	struct config_context *ctx = &l->ctx;
	int rc = 0;
	if (ctx->config && !report_failed(&ctx->report)) {
		ctx->config->file = context_strdup(ctx, name);
		keep_lines(ctx);
		context_keep(ctx);
	} else if (!ctx->config) {
		context_no_memory(ctx);
	}
	if (report_failed(&ctx->report)) {
		rc = ctx->report.count ? -EINVAL : -ENOMEM;
		report_write(&ctx->report, l->sources, l->count, options->color, report);
	} else {
		*out = TAKE(ctx->config);
	}
	config_free(ctx->config);
	context_finish(ctx);
	return rc;
}

int config_load(struct config **out, const struct config_options *options, struct buf *report)
{
	struct loader l = { 0 };
	if (start(&l, options)) {
		add_file(&l, options->file);
		if (options->refuse_empty && !l.unread && !l.sources[0].len)
			refuse_empty(&l, options->file);
		add_folder(&l, options->file);
		build(&l, options);
	} else {
		context_no_memory(&l.ctx);
	}
	return finish(out, &l, options, options->file, report);
}

int config_load_memory(struct config **out, const struct config_options *options, const char *name,
	const void *data, size_t len, struct buf *report)
{
	struct loader l = { 0 };
	if (start(&l, options)) {
		add_tree(&l, source_from_memory(&l.sources[0], name, data, len, &l.ctx.report));
		build(&l, options);
	} else {
		context_no_memory(&l.ctx);
	}
	return finish(out, &l, options, name, report);
}
