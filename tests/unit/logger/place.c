/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "logger/place.h"

#include "base/buf.h"
#include "base/compiler.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int place_dir = -1;

static char path[64];
static char *texts[1024];
static size_t text_count;

int place_setup(void **state UNUSED)
{
	snprintf(path, sizeof(path), "/tmp/drover-test-XXXXXX");
	if (!mkdtemp(path))
		return -1;
	place_dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return place_dir == -1 ? -1 : 0;
}

int place_teardown(void **state UNUSED)
{
	DIR *dir = opendir(path);
	for (const struct dirent *d; dir && (d = readdir(dir));)
		unlinkat(place_dir, d->d_name, 0);
	closedir(dir);
	close(place_dir);
	while (text_count > 0)
		free(texts[--text_count]);
	return rmdir(path);
}

static void add_file(struct buf *b, const char *name)
{
	int fd = openat(place_dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n = 0;
	for (char *at; fd != -1 && (at = buf_reserve(b, 65536)) && (n = read(fd, at, 65536)) > 0;)
		b->len += (size_t)n;
	if (fd != -1)
		close(fd);
}

static const char *keep(struct buf *b)
{
	buf_add_char(b, '\0');
	assert_true(text_count < ARRAY_SIZE(texts));
	assert_false(buf_failed(b));
	return texts[text_count++] = buf_detach(b);
}

const char *place_read(const char *name)
{
	struct buf b = BUF_INIT;
	add_file(&b, name);
	return keep(&b);
}

const char *place_read_all(const char *name, unsigned n)
{
	struct buf b = BUF_INIT;
	char backup[256];
	for (; n > 0; n--) {
		snprintf(backup, sizeof(backup), "%s.%u", name, n);
		add_file(&b, backup);
	}
	add_file(&b, name);
	return keep(&b);
}

int64_t place_size(const char *name)
{
	struct stat st;
	return fstatat(place_dir, name, &st, 0) == -1 ? -1 : st.st_size;
}

void place_append(const char *name, const char *text)
{
	int fd = openat(place_dir, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}
