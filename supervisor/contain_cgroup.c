/* SPDX-License-Identifier: MIT */
#include "contain_cgroup.h"

#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PREFIX "drover-"
enum { SLOT_SIZE = 80, PATH_SIZE = PATH_MAX + 512, DEPTH_FDS = 8 };

/* One of ours: drover-KEY-INCARNATION-SLOT. */
struct group {
	struct list node;
	char slot[SLOT_SIZE];
	int watch; /* of its cgroup.events; -1: nobody waits for its end */
	char path[];
};

struct cgroups {
	char base[PATH_MAX];
	uint64_t key; /* of the runtime directory */
	int inotify;
	struct list groups;
};

/* --- which group is ours --- */

/* "0::/system.slice/drover.service" of /proc/self/cgroup. */
static int own_path(char out[PATH_MAX], struct err *err)
{
	char line[PATH_MAX + 64];
	int rc = -ENOENT;
	FILE *f = fopen("/proc/self/cgroup", "re");
	if (!f)
		return err_sys(err, -errno, "open /proc/self/cgroup");
	while (rc < 0 && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "0::/", 4) == 0 && str_copy(out, PATH_MAX, line + 3))
			rc = 0;
	}
	fclose(f);
	return rc < 0 ? err_set(err, rc, "this kernel has no cgroup2") : 0;
}

static bool holds_us(const char *directory)
{
	char path[PATH_SIZE], line[32];
	bool found = false;
	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	FILE *f = fopen(path, "re");
	if (!f)
		return false;
	while (!found && fgets(line, sizeof(line), f))
		found = strtol(line, NULL, 10) == getpid();
	fclose(f);
	return found;
}

/* One line of /proc/self/mountinfo: "36 25 0:31 ROOT MOUNTPOINT OPTIONS ... - cgroup2 ..." */
static bool mounted_at(const char *line, const char *path, char out[PATH_MAX])
{
	char root[PATH_MAX], point[PATH_MAX];
	if (!strstr(line, " - cgroup2 ") ||
		sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) != 2)
		return false;
	size_t len = str_eq(root, "/") ? 0 : strlen(root);
	if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return false;
	/* A name with a blank is written as \040; such a mount is not looked for. */
	if (strchr(point, '\\') || snprintf(out, PATH_MAX, "%s%s", point, path + len) >= PATH_MAX)
		return false;
	return holds_us(out);
}

static int find_directory(const char *path, char out[PATH_MAX], struct err *err)
{
	char line[2 * PATH_MAX + 512];
	bool found = false;
	FILE *f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return err_sys(err, -errno, "open /proc/self/mountinfo");
	while (!found && fgets(line, sizeof(line), f))
		found = mounted_at(line, path, out);
	fclose(f);
	return found ? 0 : err_set(err, -ENOENT, "our cgroup2 group is not to be seen here");
}

static bool has_delegate_mark(const char *directory)
{
	static const char *const names[] = { "trusted.delegate", "user.delegate" };
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		char value[8];
		if (getxattr(directory, names[i], value, sizeof(value)) == 1 && value[0] == '1')
			return true;
	}
	return false;
}

/* The group above was delegated, and we are where its owner put us: what is below us is ours. */
static bool find_above(const char *directory, char above[PATH_MAX])
{
	str_copy(above, PATH_MAX, directory);
	char *slash = strrchr(above, '/');
	if (!slash || slash == above)
		return false;
	*slash = '\0';
	return has_delegate_mark(above);
}

static bool is_domain(const char *directory)
{
	char path[PATH_SIZE], type[32];
	snprintf(path, sizeof(path), "%s/cgroup.type", directory);
	CLEANUP(closep) int fd = sys_open(path, O_RDONLY, 0);
	ssize_t n = fd == -1 ? -1 : read(fd, type, sizeof(type) - 1);
	type[n > 0 ? n : 0] = '\0';
	return str_eq(type, "domain\n");
}

static bool may_use(const char *directory, const char *file, int mode)
{
	char path[PATH_SIZE];
	snprintf(path, sizeof(path), "%s/%s", directory, file);
	return faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0;
}

static int find_base(char out[PATH_MAX], struct err *err)
{
	char path[PATH_MAX], above[PATH_MAX];
	int rc = own_path(path, err);
	if (rc < 0)
		return rc;
	if (str_eq(path, "/") || strstr(path, "/.."))
		return err_set(err, -ENOENT, "we are in the root of the cgroups");
	rc = find_directory(path, out, err);
	if (rc < 0)
		return rc;
	if (!has_delegate_mark(out) && !find_above(out, above))
		return err_set(err, -ENOENT, "our cgroup was not delegated to us: %s", path);
	if (!may_use(out, ".", W_OK) || !may_use(out, "cgroup.procs", W_OK))
		return err_set(err, -ENOENT, "we may not write in our cgroup %s", path);
	if (!may_use(out, "cgroup.kill", F_OK) || !is_domain(out))
		return err_set(err, -ENOENT, "our cgroup has no cgroup.kill: %s", path);
	return 0;
}

/* --- files of a group --- */

static void file_path(const struct group *g, const char *file, char out[PATH_SIZE])
{
	snprintf(out, PATH_SIZE, "%s/%s", g->path, file);
}

/* What cannot be told is no emptiness; a group that is gone is empty. */
static bool is_populated(const struct group *g)
{
	char path[PATH_SIZE], text[256];
	file_path(g, "cgroup.events", path);
	CLEANUP(closep) int fd = sys_open(path, O_RDONLY, 0);
	if (fd == -1)
		return errno != ENOENT;
	ssize_t n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		return errno != ENODEV;
	text[n] = '\0';
	return strstr(text, "populated 0") == NULL;
}

static void each_member(const struct group *g, void (*each)(void *arg, pid_t pid), void *arg)
{
	char path[PATH_SIZE], line[32];
	file_path(g, "cgroup.procs", path);
	FILE *f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		each(arg, (pid_t)strtol(line, NULL, 10));
	fclose(f);
}

static int remove_one(
	const char *path, const struct stat *st UNUSED, int type, struct FTW *at UNUSED)
{
	return type == FTW_DP && rmdir(path) == -1 && errno != ENOENT ? -1 : 0;
}

/* With the groups that a service made in its own. */
static bool remove_group(const struct group *g)
{
	if (rmdir(g->path) == 0 || errno == ENOENT)
		return true;
	return nftw(g->path, remove_one, DEPTH_FDS, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0;
}

/* --- the list --- */

static struct group *add(struct cgroups *c, const char *path, const char *slot)
{
	struct group *g = calloc(1, sizeof(*g) + strlen(path) + 1);
	if (!g)
		return NULL;
	list_init(&g->node);
	memcpy(g->path, path, strlen(path) + 1);
	str_copy(g->slot, sizeof(g->slot), slot);
	g->watch = -1;
	list_add_tail(&c->groups, &g->node);
	return g;
}

static void forget(struct cgroups *c, struct group *g)
{
	if (g->watch >= 0)
		inotify_rm_watch(c->inotify, g->watch);
	list_remove(&g->node);
	free(g);
}

/* @return the slot's name in the name of one of our groups, else NULL */
static const char *slot_of(const struct cgroups *c, const char *name)
{
	char prefix[64];
	int len = snprintf(prefix, sizeof(prefix), PREFIX "%016" PRIx64 "-", c->key);
	if (strncmp(name, prefix, (size_t)len) != 0)
		return NULL;
	size_t digits = strspn(name + len, "0123456789");
	const char *slot = name + len + digits + 1;
	if (!digits || slot[-1] != '-' || !*slot || strlen(slot) >= SLOT_SIZE)
		return NULL;
	return slot;
}

/* Who started us from within a service of an earlier droverd put us into its group: to end that
 * would end us. */
static bool are_we_in(const struct cgroups *c, const char *path)
{
	size_t len = strlen(path);
	return strncmp(c->base, path, len) == 0 && (c->base[len] == '/' || !c->base[len]);
}

static int find_left(struct cgroups *c, const char *directory, struct err *err)
{
	DIR *dir = opendir(directory);
	int rc = 0;
	if (!dir)
		return err_sys(err, -errno, "open %s", directory);
	for (const struct dirent *d; rc == 0 && (d = readdir(dir));) {
		char path[PATH_SIZE];
		const char *slot = slot_of(c, d->d_name);
		if (!slot)
			continue;
		snprintf(path, sizeof(path), "%s/%s", directory, d->d_name);
		if (are_we_in(c, path))
			continue;
		struct group *g = add(c, path, slot);
		if (!g)
			rc = err_set(err, -ENOMEM, "out of memory");
		else if (!is_populated(g) && remove_group(g))
			forget(c, g);
	}
	closedir(dir);
	return rc;
}

/* systemd starts ExecStopPost= in a group below the unit's, in which the left-overs are. */
static int find_all_left(struct cgroups *c, struct err *err)
{
	char above[PATH_MAX];
	int rc = find_left(c, c->base, err);
	if (rc == 0 && !has_delegate_mark(c->base) && find_above(c->base, above))
		rc = find_left(c, above, err);
	return rc;
}

int cgroups_open(struct cgroups **out, const char *runtime_dir, struct err *err)
{
	struct cgroups *c = NEW(struct cgroups);
	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	list_init(&c->groups);
	c->inotify = -1;
	CLEANUP(freep) char *real = realpath(runtime_dir, NULL);
	const char *name = real ? real : runtime_dir;
	c->key = str_hash(name, strlen(name));
	int rc = find_base(c->base, err);
	if (rc == 0) {
		c->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		rc = c->inotify == -1 ? err_sys(err, -errno, "inotify_init")
				      : find_all_left(c, err);
	}
	if (rc < 0) {
		cgroups_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void cgroups_free(struct cgroups *c)
{
	if (!c)
		return;
	LIST_FOR_EACH_SAFE (node, &c->groups)
		forget(c, LIST_ENTRY(node, struct group, node));
	if (c->inotify >= 0)
		sys_close(c->inotify);
	free(c);
}

const char *cgroups_path(const struct cgroups *c)
{
	return c->base;
}

int cgroups_fd(const struct cgroups *c)
{
	return c->inotify;
}

void cgroups_read(struct cgroups *c, void (*changed)(void *arg, const char *slot), void *arg)
{
	_Alignas(struct inotify_event) char events[4096];
	ssize_t n = read(c->inotify, events, sizeof(events));
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *e = (const void *)(events + at);
		at += (ssize_t)(sizeof(*e) + e->len);
		char slot[SLOT_SIZE] = "";
		LIST_FOR_EACH (node, &c->groups) {
			struct group *g = LIST_ENTRY(node, struct group, node);
			if (g->watch != e->wd)
				continue;
			str_copy(slot, sizeof(slot), g->slot);
			if (e->mask & IN_IGNORED)
				g->watch = -1;
		}
		/* What is called may forget groups. */
		if (slot[0])
			changed(arg, slot);
	}
}

/* --- one slot --- */

int cgroups_make(struct cgroups *c, const char *slot, uint64_t incarnation, struct err *err)
{
	char path[PATH_SIZE];
	cgroups_remove(c, slot);
	snprintf(path, sizeof(path), "%s/" PREFIX "%016" PRIx64 "-%" PRIu64 "-%s", c->base, c->key,
		incarnation, slot);
	if (mkdir(path, 0755) == -1 && errno != EEXIST)
		return err_sys(err, -errno, "make the cgroup %s", path);
	const struct group *g = add(c, path, slot);
	int fd = g ? sys_open(path, O_RDONLY | O_DIRECTORY, 0) : -1;
	if (fd == -1)
		return err_sys(err, g ? -errno : -ENOMEM, "open the cgroup %s", path);
	return fd;
}

static void count_one(void *arg, pid_t pid UNUSED)
{
	++*(int *)arg;
}

int cgroups_living(struct cgroups *c, const char *slot)
{
	int living = 0;
	LIST_FOR_EACH (node, &c->groups) {
		struct group *g = LIST_ENTRY(node, struct group, node);
		int count = 0;
		if (!str_eq(g->slot, slot) || !is_populated(g))
			continue;
		if (g->watch == -1) {
			char path[PATH_SIZE];
			file_path(g, "cgroup.events", path);
			g->watch = inotify_add_watch(c->inotify, path, IN_MODIFY);
			/* It may have ended before it was watched. */
			if (!is_populated(g))
				continue;
		}
		each_member(g, count_one, &count);
		living += MAX(count, 1);
	}
	return living;
}

void cgroups_kill(struct cgroups *c, const char *slot)
{
	LIST_FOR_EACH (node, &c->groups) {
		const struct group *g = LIST_ENTRY(node, struct group, node);
		char path[PATH_SIZE];
		if (!str_eq(g->slot, slot))
			continue;
		file_path(g, "cgroup.kill", path);
		CLEANUP(closep) int fd = sys_open(path, O_WRONLY, 0);
		/* Who asks looks afterwards who lives. */
		if (fd >= 0)
			(void)!sys_write(fd, "1", 1);
	}
}

void cgroups_members(
	struct cgroups *c, const char *slot, void (*each)(void *arg, pid_t pid), void *arg)
{
	LIST_FOR_EACH (node, &c->groups) {
		const struct group *g = LIST_ENTRY(node, struct group, node);
		if (str_eq(g->slot, slot))
			each_member(g, each, arg);
	}
}

void cgroups_remove(struct cgroups *c, const char *slot)
{
	LIST_FOR_EACH_SAFE (node, &c->groups) {
		struct group *g = LIST_ENTRY(node, struct group, node);
		if (str_eq(g->slot, slot) && remove_group(g))
			forget(c, g);
	}
}

void cgroups_found(struct cgroups *c, void (*found)(void *arg, const char *slot), void *arg)
{
	LIST_FOR_EACH_SAFE (node, &c->groups) {
		const struct group *g = LIST_ENTRY(node, struct group, node);
		if (is_populated(g))
			found(arg, g->slot);
	}
}
