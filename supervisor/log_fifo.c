/* SPDX-License-Identifier: MIT */
#include "log_fifo.h"

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { TABLE_MIN = 16 };

void log_fifos_init(struct log_fifos *fifos)
{
	*fifos = (struct log_fifos) { 0 };
	list_init(&fifos->list);
}

void log_fifos_finish(struct log_fifos *fifos)
{
	LIST_FOR_EACH_SAFE (node, &fifos->list)
		log_fifos_remove(fifos, LIST_ENTRY(node, struct log_fifo, node));
	free(fifos->table);
	fifos->table = NULL;
	fifos->size = 0;
}

static struct log_fifo **place_of(const struct log_fifos *fifos, const char *name)
{
	return &fifos->table[str_hash(name, strlen(name)) & (fifos->size - 1)];
}

struct log_fifo *log_fifos_find(const struct log_fifos *fifos, const char *name)
{
	struct log_fifo *f = fifos->size ? *place_of(fifos, name) : NULL;
	while (f && strcmp(f->name, name) != 0)
		f = f->next;
	return f;
}

/* Without memory for a larger table the chains grow longer. */
static int make_room(struct log_fifos *fifos)
{
	if (fifos->count < fifos->size)
		return 0;
	size_t size = fifos->size ? fifos->size * 2 : TABLE_MIN;
	struct log_fifo **table = calloc(size, sizeof(*table));
	if (!table)
		return fifos->size ? 0 : -ENOMEM;
	free(fifos->table);
	fifos->table = table;
	fifos->size = size;
	LIST_FOR_EACH (node, &fifos->list) {
		struct log_fifo *f = LIST_ENTRY(node, struct log_fifo, node);
		struct log_fifo **place = place_of(fifos, f->name);
		f->next = *place;
		*place = f;
	}
	return 0;
}

int log_fifo_open(int dir, const char *name, uint64_t *inode, struct err *err)
{
	/* A restart finds it there; only the first start makes it. */
	struct stat st;
	int fd = sys_openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd == -1 && errno == ENOENT) {
		if (mkfifoat(dir, name, 0600) == -1 && errno != EEXIST)
			return err_sys(err, -errno, "make the FIFO of %s", name);
		fd = sys_openat(dir, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	}
	if (fd == -1)
		return err_sys(err, -errno, "open the FIFO of %s", name);
	if (fstat(fd, &st) == -1 || !S_ISFIFO(st.st_mode)) {
		sys_close(fd);
		return err_set(err, -EINVAL, "log/%s in the runtime directory is no FIFO", name);
	}
	/*
	 * O_RDWR: a writer never meets EPIPE and an open never waits for a reader. O_NONBLOCK only
	 * guards the open itself: it is cleared, for a child would inherit it.
	 */
	fcntl(fd, F_SETFL, O_RDWR);
	if (inode)
		*inode = st.st_ino;
	return fd;
}

struct log_fifo *log_fifos_add(struct log_fifos *fifos, int dir, const char *name, struct err *err)
{
	size_t len = strlen(name);
	size_t size = offsetof(struct log_fifo, name) + len + 1;
	struct log_fifo *f = make_room(fifos) < 0 ? NULL : calloc(1, MAX(size, sizeof(*f)));
	if (!f) {
		err_set(err, -ENOMEM, "open the log of %s", name);
		return NULL;
	}
	memcpy(f->name, name, len);
	f->fd = log_fifo_open(dir, name, &f->inode, err);
	if (f->fd < 0) {
		free(f);
		return NULL;
	}
	struct log_fifo **place = place_of(fifos, name);
	f->next = *place;
	*place = f;
	list_add_tail(&fifos->list, &f->node);
	fifos->count++;
	return f;
}

void log_fifos_remove(struct log_fifos *fifos, struct log_fifo *f)
{
	struct log_fifo **place = place_of(fifos, f->name);
	while (*place != f)
		place = &(*place)->next;
	*place = f->next;
	list_remove(&f->node);
	fifos->count--;
	sys_close(f->fd);
	free(f);
}
