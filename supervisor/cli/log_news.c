/* SPDX-License-Identifier: MIT */
#include "log_news.h"

#include "base/str.h"
#include "tail.h"
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LOGS_MAX = 2048 };

struct news {
	char *name;
	struct follow follow;
	ino_t inode; /* of the file of that name, at the last look; 0: there was none */
	off_t size;
};

struct log_news {
	char *dir;
	bool (*wanted)(void *arg, const char *name);
	void *arg;
	struct news *items;
	size_t count, cap;
	bool looked;
};

/* "web:1" of "web:1.log", "web:1.log.3.zst". @return false: it is no log's */
static bool name_of(char *out, size_t size, const char *file)
{
	const char *end = NULL;
	for (const char *at = file; (at = strstr(at, ".log")); at++)
		end = at;
	if (!end || end == file || file[0] == '.' || (end[4] && end[4] != '.') ||
		(size_t)(end - file) >= size)
		return false;
	memcpy(out, file, (size_t)(end - file));
	out[end - file] = '\0';
	return true;
}

static struct news *find(const struct log_news *news, const char *name)
{
	for (size_t i = 0; i < news->count; i++)
		if (str_eq(news->items[i].name, name))
			return &news->items[i];
	return NULL;
}

static void add(struct log_news *news, const char *name)
{
	char path[PATH_MAX];
	struct news one = { .name = strdup(name) };
	int len = snprintf(path, sizeof(path), "%s/%s.log", news->dir, name);
	if (!one.name || len >= (int)sizeof(path) || news->count == LOGS_MAX ||
		mem_grow((void **)&news->items, &news->cap, news->count, sizeof(one)) < 0 ||
		follow_init(&one.follow, path, !news->looked) < 0) {
		free(one.name);
		return;
	}
	news->items[news->count++] = one;
}

static void add_all(struct log_news *news)
{
	char name[NAME_MAX + 1];
	DIR *dir = opendir(news->dir);
	if (!dir)
		return;
	for (const struct dirent *d; (d = readdir(dir));)
		if (name_of(name, sizeof(name), d->d_name) && !find(news, name) &&
			news->wanted(news->arg, name))
			add(news, name);
	closedir(dir);
}

static bool has_changed(struct news *one)
{
	struct stat st = { 0 };
	if (stat(one->follow.path, &st) == -1)
		st = (struct stat) { 0 };
	bool changed = st.st_ino != one->inode || st.st_size != one->size;
	one->inode = st.st_ino;
	one->size = st.st_size;
	return changed;
}

struct log_news *log_news_new(
	const char *dir, bool (*wanted)(void *arg, const char *name), void *arg)
{
	struct log_news *news = NEW(struct log_news);
	if (!news)
		return NULL;
	*news = (struct log_news) { .dir = strdup(dir), .wanted = wanted, .arg = arg };
	if (!news->dir) {
		free(news);
		return NULL;
	}
	(void)log_news_look(news);
	return news;
}

void log_news_free(struct log_news *news)
{
	if (!news)
		return;
	for (size_t i = 0; i < news->count; i++) {
		follow_finish(&news->items[i].follow);
		free(news->items[i].name);
	}
	free(news->items);
	free(news->dir);
	free(news);
}

bool log_news_look(struct log_news *news)
{
	bool changed = false;
	add_all(news);
	news->looked = true;
	for (size_t i = 0; i < news->count; i++)
		changed = has_changed(&news->items[i]) || changed;
	return changed;
}

bool log_news_take(struct log_news *news, const char *name, struct follow *out)
{
	struct news *one = find(news, name);
	if (!one)
		return false;
	*out = one->follow;
	free(one->name);
	*one = news->items[--news->count];
	return true;
}
