/* SPDX-License-Identifier: MIT */
#include "hand_over.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define VARIABLE "DROVER_HAND_OVER"
#define FORMAT	 "drover hand-over 1"
enum { LIST_MAX = 1 << 20, ITEMS_MAX = 10000 };

struct item {
	enum hand_over_kind kind;
	char name[HAND_OVER_NAME];
	int fd; /* -1: taken */
};

struct hand_over {
	uint64_t upgrades;
	char from[HAND_OVER_VERSION];
	void *array;
	size_t count, cap;
	int list_fd;
	bool ours; /* read: what is left is closed */
};

static struct item *items(const struct hand_over *h)
{
	return h->array;
}

struct hand_over *hand_over_new(uint64_t upgrades)
{
	struct hand_over *h = NEW(struct hand_over);
	if (!h)
		return NULL;
	h->upgrades = upgrades;
	h->list_fd = -1;
	str_copy(h->from, sizeof(h->from), DROVER_VERSION);
	return h;
}

int hand_over_add(struct hand_over *h, enum hand_over_kind kind, const char *name, int fd)
{
	if (fd < 0 || h->count == ITEMS_MAX)
		return 0;
	if (mem_grow(&h->array, &h->cap, h->count, sizeof(struct item)) < 0)
		return -ENOMEM;
	struct item *item = &items(h)[h->count++];
	*item = (struct item) { .kind = kind, .fd = fd };
	str_copy(item->name, sizeof(item->name), name);
	return 0;
}

static void keep_over_exec(const struct hand_over *h, bool keep)
{
	for (size_t i = 0; i < h->count; i++)
		fcntl(items(h)[i].fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

int hand_over_open(struct hand_over *h, struct err *err)
{
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	char number[16];
	buf_addf(&text, FORMAT "\npid %d\nupgrades %llu\nfrom %s\n", (int)getpid(),
		(unsigned long long)h->upgrades, h->from);
	for (size_t i = 0; i < h->count; i++)
		buf_addf(
			&text, "fd %c %d %s\n", items(h)[i].kind, items(h)[i].fd, items(h)[i].name);
	if (buf_failed(&text))
		return err_set(err, -ENOMEM, "out of memory");
	h->list_fd = sys_memfd("hand-over", false);
	if (h->list_fd == -1)
		return err_sys(err, -errno, "make the hand-over");
	snprintf(number, sizeof(number), "%d", h->list_fd);
	if (write(h->list_fd, text.data, text.len) != (ssize_t)text.len ||
		fcntl(h->list_fd, F_SETFD, 0) == -1 || setenv(VARIABLE, number, 1) == -1) {
		int rc = errno ? -errno : -EIO;
		hand_over_close(h);
		return err_sys(err, rc, "write the hand-over");
	}
	keep_over_exec(h, true);
	return 0;
}

void hand_over_close(struct hand_over *h)
{
	unsetenv(VARIABLE);
	keep_over_exec(h, false);
	if (h->list_fd >= 0)
		sys_close(h->list_fd);
	h->list_fd = -1;
}

/* --- reading --- */

static bool is_open(int fd)
{
	return fd > STDERR_FILENO && fcntl(fd, F_GETFD) != -1;
}

static void read_line(struct hand_over *h, char *line, bool *is_for_us)
{
	char kind, name[HAND_OVER_NAME] = "";
	int fd, pid;
	unsigned long long upgrades;
	if (sscanf(line, "pid %d", &pid) == 1)
		*is_for_us = pid == (int)getpid();
	else if (sscanf(line, "upgrades %llu", &upgrades) == 1)
		h->upgrades = upgrades;
	else if (str_starts(line, "from "))
		str_copy(h->from, sizeof(h->from), line + strlen("from "));
	else if (*is_for_us && sscanf(line, "fd %c %d %127s", &kind, &fd, name) >= 2 &&
		 is_open(fd) && fd != h->list_fd) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		if (hand_over_add(h, (enum hand_over_kind)kind, name, fd) < 0)
			sys_close(fd);
	}
}

/* @return false: that is no list for this process */
static bool read_list(struct hand_over *h)
{
	CLEANUP(freep) char *text = calloc(1, LIST_MAX);
	bool is_for_us = false;
	char *rest = NULL;
	ssize_t n = text ? pread(h->list_fd, text, LIST_MAX - 1, 0) : -1;
	char *line = n > 0 ? strtok_r(text, "\n", &rest) : NULL;
	if (!line || !str_eq(line, FORMAT))
		return false;
	while ((line = strtok_r(NULL, "\n", &rest)))
		read_line(h, line, &is_for_us);
	return is_for_us;
}

struct hand_over *hand_over_read(void)
{
	const char *variable = getenv(VARIABLE);
	int64_t fd = -1;
	bool named = variable && str_to_i64(variable, STDERR_FILENO + 1, 1 << 20, &fd) == 0;
	unsetenv(VARIABLE);
	/* Only what we made can have seals asked of; anything else under that number is not ours to
	 * read. */
	if (!named || fcntl((int)fd, F_GET_SEALS) == -1)
		return NULL;
	struct hand_over *h = hand_over_new(0);
	if (!h)
		return NULL;
	h->ours = true;
	h->list_fd = (int)fd;
	h->from[0] = '\0';
	fcntl(h->list_fd, F_SETFD, FD_CLOEXEC);
	bool is_for_us = read_list(h);
	sys_close(h->list_fd);
	h->list_fd = -1;
	if (is_for_us)
		return h;
	hand_over_free(h);
	return NULL;
}

uint64_t hand_over_upgrades(const struct hand_over *h)
{
	return h ? h->upgrades : 0;
}

const char *hand_over_from(const struct hand_over *h)
{
	return h ? h->from : "";
}

static int take(struct item *item)
{
	int fd = item->fd;
	item->fd = -1;
	return fd;
}

int hand_over_next(struct hand_over *h, enum hand_over_kind kind, char *name)
{
	for (size_t i = 0; h && i < h->count; i++) {
		struct item *item = &items(h)[i];
		if (item->fd < 0 || item->kind != kind)
			continue;
		str_copy(name, HAND_OVER_NAME, item->name);
		return take(item);
	}
	return -1;
}

int hand_over_take(struct hand_over *h, enum hand_over_kind kind, const char *name)
{
	for (size_t i = 0; h && i < h->count; i++) {
		struct item *item = &items(h)[i];
		if (item->fd >= 0 && item->kind == kind && str_eq(item->name, name))
			return take(item);
	}
	return -1;
}

void hand_over_free(struct hand_over *h)
{
	if (!h)
		return;
	for (size_t i = 0; h->ours && i < h->count; i++)
		if (items(h)[i].fd >= 0)
			sys_close(items(h)[i].fd);
	if (h->list_fd >= 0)
		sys_close(h->list_fd);
	free(h->array);
	free(h);
}
