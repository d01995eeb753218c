/* SPDX-License-Identifier: MIT */
#include "worker/pressure.h"

#include "base/clock.h"
#include "base/kernel_file.h"
#include "base/mem.h"
#include "log/log.h"
#include "stats/stats.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 250, PATH_LONG = 4096, TEXT = 8192 };

/* The number behind a key at a line's beginning; -1: none. */
static int64_t number_of(const char *text, const char *key)
{
	size_t len = strlen(key);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, len) == 0)
			return (int64_t)strtoll(line + len, NULL, 10);
	}
	return -1;
}

static bool read_machine(const char *root, struct memory_use *out)
{
	char path[PATH_LONG], text[TEXT];
	snprintf(path, sizeof(path), "%s/proc/meminfo", root);
	if (!kernel_file_read(path, text, sizeof(text)))
		return false;
	int64_t total = number_of(text, "MemTotal:"), left = number_of(text, "MemAvailable:");
	if (total <= 0 || left < 0)
		return false;
	*out = (struct memory_use) { .used = (total - left) * 1024, .limit = total * 1024 };
	return true;
}

static bool is_fuller(const struct memory_use *a, const struct memory_use *b)
{
	return (double)a->used / (double)a->limit > (double)b->used / (double)b->limit;
}

/* What the kernel takes back before it refuses memory: the cache of files and of names. */
static int64_t reclaimable(const char *text)
{
	int64_t sum = 0;
	static const char *const keys[] = { "inactive_file ", "active_file ", "slab_reclaimable " };
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		sum += MAX(number_of(text, keys[i]), (int64_t)0);
	return sum;
}

static bool read_number(const char *folder, const char *name, int64_t *out)
{
	char path[PATH_LONG + 32], text[64], *end;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (!kernel_file_read(path, text, sizeof(text)))
		return false;
	*out = (int64_t)strtoll(text, &end, 10); /* "max": no number */
	return end != text;
}

static void look_at_group(const char *folder, struct memory_use *fullest)
{
	char path[PATH_LONG + 32], text[TEXT];
	struct memory_use use = { 0 };
	if (!read_number(folder, "memory.max", &use.limit) || use.limit <= 0 ||
		!read_number(folder, "memory.current", &use.used))
		return;
	snprintf(path, sizeof(path), "%s/memory.stat", folder);
	if (kernel_file_read(path, text, sizeof(text)))
		use.used = MAX(use.used - reclaimable(text), (int64_t)0);
	if (is_fuller(&use, fullest))
		*fullest = use;
}

/* From our own group up to the root that we see, which in a container is the container's. */
static void look_at_groups(const char *root, struct memory_use *fullest)
{
	char folder[PATH_LONG], text[TEXT];
	snprintf(folder, sizeof(folder), "%s/proc/self/cgroup", root);
	if (!kernel_file_read(folder, text, sizeof(text)))
		return;
	char *own = strstr(text, "0::/");
	if (!own || (own != text && own[-1] != '\n'))
		return;
	own += strlen("0::");
	own[strcspn(own, "\n")] = '\0';
	int base = snprintf(folder, sizeof(folder), "%s/sys/fs/cgroup", root);
	int len = snprintf(folder, sizeof(folder), "%s/sys/fs/cgroup%s", root, own);
	if (len < 0 || (size_t)len >= sizeof(folder))
		return;
	for (;;) {
		look_at_group(folder, fullest);
		char *slash = strrchr(folder, '/');
		if (slash < folder + base)
			return;
		*slash = '\0';
	}
}

bool memory_use_read(const char *root, struct memory_use *out)
{
	struct memory_use use;
	if (!read_machine(root, &use))
		return false;
	look_at_groups(root, &use);
	*out = use;
	return true;
}

static bool is_above(const struct memory_use *use, int percent)
{
	return use->used / 100.0 > use->limit / 10000.0 * percent;
}

bool pressure_judge(struct pressure *p, const struct memory_use *use, int64_t now_ms)
{
	bool before = p->high;
	if (is_above(use, PRESSURE_HIGH)) {
		p->high = true;
		p->calm_ms = 0;
	} else if (p->high) {
		p->calm_ms = p->calm_ms ? p->calm_ms : now_ms;
		p->high = is_above(use, PRESSURE_LOW) && now_ms - p->calm_ms < PRESSURE_CALM_MS;
	}
	return p->high != before;
}

static void tell(const struct pressure *p, const struct memory_use *use, const char *name)
{
	if (p->high)
		log_warn(MEMORY, "tasks_held", KV_STR("name", name),
			KV_STR("reason", "machine memory"), KV_INT("bytes", use->used),
			KV_INT("limit", use->limit));
	else
		log_info(MEMORY, "tasks_taken", KV_STR("name", name), KV_INT("bytes", use->used),
			KV_INT("limit", use->limit));
}

/* Tests have another machine than the one they run on. */
static const char *machine_root(void)
{
#ifdef DROVER_MUTANTS
	const char *root = getenv("DROVER_MACHINE");
	return root ? root : "";
#else
	return "";
#endif
}

bool pressure_allows(struct pressure *p, const char *name, struct stats_slot *slot)
{
	int64_t now_ms = clock_mono_ms();
	struct memory_use use;
	if (p->looked_ms && now_ms - p->looked_ms < LOOK_MS)
		return !p->high;
	p->looked_ms = now_ms;
	if (memory_use_read(machine_root(), &use) && pressure_judge(p, &use, now_ms))
		tell(p, &use, name);
	stats_set(slot, STAT_tasks_paused, p->high);
	return !p->high;
}
