/* SPDX-License-Identifier: MIT */
#include "fakes/disk.h"

#include "base/list.h"
#include "base/mem.h"
#include "base/str.h"
#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SECTOR = 512, PATH_MAX_HERE = 256 };

/* Bytes as they are on the platter. */
struct image {
	unsigned char *data;
	size_t len, cap;
	bool exists;
};

struct op {
	struct list node;
	enum { OP_WRITE, OP_TRUNCATE, OP_DELETE } kind;
	size_t at, len;
	unsigned char data[];
};

struct disk_file {
	struct list node;
	char path[PATH_MAX_HERE];
	struct image durable;
	struct list pending; /* struct op: written, not synced */
};

/* What SQLite has as its file; the file below follows it in the same block. */
struct handle {
	sqlite3_file base;
	struct disk_file *file; /* NULL: not watched */
};

static struct disk {
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	sqlite3_vfs vfs, *below;
	char folder[PATH_MAX_HERE];
	struct list files;
	uint64_t random, operations, bytes_lost;
	unsigned until_cut; /* 0: none is planned */
	void (*cut)(void *arg);
	void *cut_arg;
	bool hold, held;
} disk = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static unsigned roll(unsigned n)
{
	disk.random ^= disk.random << 13;
	disk.random ^= disk.random >> 7;
	disk.random ^= disk.random << 17;
	return (unsigned)((disk.random >> 11) % n);
}

/* ---- images ---- */

static void *allocate(void *old, size_t size)
{
	void *p = realloc(old, size);
	if (!p)
		abort();
	return p;
}

static void image_resize(struct image *image, size_t len)
{
	if (len > image->cap) {
		image->cap = MAX(len, image->cap * 2);
		image->data = allocate(image->data, image->cap);
	}
	/* A block that was never written holds whatever was there. */
	unsigned char filling = roll(2) ? 0 : (unsigned char)roll(256);
	if (len > image->len)
		memset(image->data + image->len, filling, len - image->len);
	image->len = len;
}

/* p of 100 sectors of it arrive. @return the bytes that do not */
static size_t apply(struct image *image, const struct op *op, unsigned p)
{
	size_t lost = 0;
	if (op->kind != OP_WRITE) {
		if (roll(100) >= p)
			return 0;
		image->exists = op->kind == OP_TRUNCATE;
		image_resize(image, op->at);
		return 0;
	}
	for (size_t done = 0, n; done < op->len; done += n) {
		size_t at = op->at + done;
		n = MIN(op->len - done, SECTOR - at % SECTOR);
		if (roll(100) >= p) {
			lost += n;
			continue;
		}
		image->exists = true;
		if (at + n > image->len)
			image_resize(image, at + n);
		memcpy(image->data + at, op->data + done, n);
	}
	return lost;
}

static void read_image(struct image *image, const char *path)
{
	struct stat st;
	FILE *f = fopen(path, "re");
	if (!f)
		return;
	if (fstat(fileno(f), &st) < 0)
		abort();
	image->exists = true;
	image_resize(image, (size_t)st.st_size);
	if (fread(image->data, 1, image->len, f) != image->len)
		abort();
	fclose(f);
}

/* ---- files ---- */

static bool is_watched(const char *path)
{
	size_t len = strlen(disk.folder);
	return path && len && strncmp(path, disk.folder, len) == 0 && path[len] == '/';
}

static struct disk_file *file_of(const char *path)
{
	if (!is_watched(path))
		return NULL;
	LIST_FOR_EACH (node, &disk.files) {
		struct disk_file *file = LIST_ENTRY(node, struct disk_file, node);
		if (str_eq(file->path, path))
			return file;
	}
	struct disk_file *file = NEW(struct disk_file);
	if (!file || !str_copy(file->path, sizeof(file->path), path))
		abort();
	list_init(&file->pending);
	list_add_tail(&disk.files, &file->node);
	read_image(&file->durable, path);
	return file;
}

static void drop_pending(struct disk_file *file)
{
	LIST_FOR_EACH_SAFE (node, &file->pending) {
		list_remove(node);
		free(LIST_ENTRY(node, struct op, node));
	}
}

/* With the mutex held; a planned cut comes before what is about to happen. */
static void operation(void)
{
	disk.operations++;
	if (disk.until_cut && --disk.until_cut == 0)
		disk.cut(disk.cut_arg);
}

static void add_op(struct disk_file *file, int kind, size_t at, const void *data, size_t len)
{
	struct op *op = allocate(NULL, sizeof(*op) + len);
	operation();
	op->kind = kind;
	op->at = at;
	op->len = len;
	if (len)
		memcpy(op->data, data, len);
	list_add_tail(&file->pending, &op->node);
}

static void sync_file(struct disk_file *file)
{
	operation();
	LIST_FOR_EACH (node, &file->pending)
		(void)apply(&file->durable, LIST_ENTRY(node, struct op, node), 100);
	drop_pending(file);
	file->durable.exists = true;
}

/* ---- SQLite's side ---- */

static sqlite3_file *below(sqlite3_file *f)
{
	return (sqlite3_file *)((struct handle *)f + 1);
}

#define BELOW(f, method, ...) below(f)->pMethods->method(below(f), ##__VA_ARGS__)

static int on_close(sqlite3_file *f)
{
	return BELOW(f, xClose);
}

static int on_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	return BELOW(f, xRead, to, n, at);
}

static void wait_for_release(void)
{
	disk.held = true;
	pthread_cond_broadcast(&disk.changed);
	while (disk.hold)
		pthread_cond_wait(&disk.changed, &disk.mutex);
	disk.held = false;
}

static int on_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	struct disk_file *file = ((struct handle *)f)->file;
	pthread_mutex_lock(&disk.mutex);
	if (file && disk.hold && strstr(file->path, "-wal"))
		wait_for_release();
	if (file)
		add_op(file, OP_WRITE, (size_t)at, from, (size_t)n);
	pthread_mutex_unlock(&disk.mutex);
	return BELOW(f, xWrite, from, n, at);
}

static int on_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct disk_file *file = ((struct handle *)f)->file;
	pthread_mutex_lock(&disk.mutex);
	if (file)
		add_op(file, OP_TRUNCATE, (size_t)size, NULL, 0);
	pthread_mutex_unlock(&disk.mutex);
	return BELOW(f, xTruncate, size);
}

static int on_sync(sqlite3_file *f, int flags)
{
	struct disk_file *file = ((struct handle *)f)->file;
	(void)flags;
	pthread_mutex_lock(&disk.mutex);
	if (file)
		sync_file(file);
	pthread_mutex_unlock(&disk.mutex);
	return SQLITE_OK;
}

static int on_size(sqlite3_file *f, sqlite3_int64 *size)
{
	return BELOW(f, xFileSize, size);
}

static int on_lock(sqlite3_file *f, int level)
{
	return BELOW(f, xLock, level);
}

static int on_unlock(sqlite3_file *f, int level)
{
	return BELOW(f, xUnlock, level);
}

static int on_check_lock(sqlite3_file *f, int *out)
{
	return BELOW(f, xCheckReservedLock, out);
}

static int on_control(sqlite3_file *f, int op, void *arg)
{
	return BELOW(f, xFileControl, op, arg);
}

static int on_sector_size(sqlite3_file *f)
{
	return BELOW(f, xSectorSize);
}

static int on_characteristics(sqlite3_file *f)
{
	return BELOW(f, xDeviceCharacteristics);
}

static int on_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
	return BELOW(f, xShmMap, page, size, extend, out);
}

static int on_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return BELOW(f, xShmLock, at, n, flags);
}

static void on_shm_barrier(sqlite3_file *f)
{
	BELOW(f, xShmBarrier);
}

static int on_shm_unmap(sqlite3_file *f, int remove)
{
	return BELOW(f, xShmUnmap, remove);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2, /* no mapped files: all goes through xWrite */
	.xClose = on_close,
	.xRead = on_read,
	.xWrite = on_write,
	.xTruncate = on_truncate,
	.xSync = on_sync,
	.xFileSize = on_size,
	.xLock = on_lock,
	.xUnlock = on_unlock,
	.xCheckReservedLock = on_check_lock,
	.xFileControl = on_control,
	.xSectorSize = on_sector_size,
	.xDeviceCharacteristics = on_characteristics,
	.xShmMap = on_shm_map,
	.xShmLock = on_shm_lock,
	.xShmBarrier = on_shm_barrier,
	.xShmUnmap = on_shm_unmap,
};

static int on_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *f, int flags, int *out_flags)
{
	struct handle *handle = (struct handle *)f;
	(void)vfs;
	*handle = (struct handle) { .file = NULL };
	pthread_mutex_lock(&disk.mutex);
	handle->file = file_of(path);
	pthread_mutex_unlock(&disk.mutex);
	int rc = disk.below->xOpen(disk.below, path, below(f), flags, out_flags);
	if (rc == SQLITE_OK)
		handle->base.pMethods = &methods;
	return rc;
}

static int on_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
	(void)vfs;
	pthread_mutex_lock(&disk.mutex);
	struct disk_file *file = file_of(path);
	if (file) {
		add_op(file, OP_DELETE, 0, NULL, 0);
		if (sync)
			sync_file(file);
		if (sync)
			file->durable.exists = false;
	}
	pthread_mutex_unlock(&disk.mutex);
	return disk.below->xDelete(disk.below, path, sync);
}

/* Checkpoints come often, so that cuts fall into them. */
static int on_connection(sqlite3 *db, const char **error, const void *api)
{
	(void)error;
	(void)api;
	return sqlite3_wal_autocheckpoint(db, 30);
}

void disk_install(uint64_t seed)
{
	disk.random = seed * 2 + 1;
	list_init(&disk.files);
	disk.below = sqlite3_vfs_find(NULL);
	disk.vfs = *disk.below;
	disk.vfs.pNext = NULL;
	disk.vfs.zName = "power-cut";
	disk.vfs.szOsFile = (int)sizeof(struct handle) + disk.below->szOsFile;
	disk.vfs.xOpen = on_open;
	disk.vfs.xDelete = on_delete;
	if (sqlite3_vfs_register(&disk.vfs, 1) != SQLITE_OK ||
		sqlite3_auto_extension((void (*)(void))on_connection) != SQLITE_OK)
		abort();
}

/* ---- the test's side ---- */

void disk_watch(const char *folder)
{
	pthread_mutex_lock(&disk.mutex);
	LIST_FOR_EACH_SAFE (node, &disk.files) {
		struct disk_file *file = LIST_ENTRY(node, struct disk_file, node);
		list_remove(node);
		drop_pending(file);
		free(file->durable.data);
		free(file);
	}
	if (!str_copy(disk.folder, sizeof(disk.folder), folder))
		abort();
	pthread_mutex_unlock(&disk.mutex);
}

void disk_cut_in(unsigned operations, void (*cb)(void *arg), void *arg)
{
	pthread_mutex_lock(&disk.mutex);
	disk.cut = cb;
	disk.cut_arg = arg;
	disk.until_cut = operations + 1;
	pthread_mutex_unlock(&disk.mutex);
}

static void write_image(const struct image *image, const char *path)
{
	FILE *f = fopen(path, "wxe");
	if (!f || fwrite(image->data, 1, image->len, f) != image->len || fclose(f) != 0)
		abort();
}

void disk_survivors(const char *folder)
{
	static const unsigned shares[] = { 0, 100, 50, 90, 10 };
	char path[PATH_MAX_HERE * 2];
	LIST_FOR_EACH (node, &disk.files) {
		const struct disk_file *file = LIST_ENTRY(node, struct disk_file, node);
		struct image left = { .exists = file->durable.exists };
		unsigned p = shares[roll(ARRAY_SIZE(shares))];
		image_resize(&left, file->durable.len);
		if (left.len)
			memcpy(left.data, file->durable.data, left.len);
		LIST_FOR_EACH (op, &file->pending)
			disk.bytes_lost += apply(&left, LIST_ENTRY(op, struct op, node), p);
		snprintf(path, sizeof(path), "%s%s", folder, file->path + strlen(disk.folder));
		if (left.exists)
			write_image(&left, path);
		free(left.data);
	}
}

void disk_hold(void)
{
	pthread_mutex_lock(&disk.mutex);
	disk.hold = true;
	pthread_mutex_unlock(&disk.mutex);
}

bool disk_is_held(void)
{
	struct timespec until;
	int rc = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 10;
	pthread_mutex_lock(&disk.mutex);
	while (!disk.held && rc == 0)
		rc = pthread_cond_timedwait(&disk.changed, &disk.mutex, &until);
	bool held = disk.held;
	pthread_mutex_unlock(&disk.mutex);
	return held;
}

void disk_release(void)
{
	pthread_mutex_lock(&disk.mutex);
	disk.hold = false;
	pthread_cond_broadcast(&disk.changed);
	pthread_mutex_unlock(&disk.mutex);
}

uint64_t disk_operations(void)
{
	return disk.operations;
}

uint64_t disk_bytes_lost(void)
{
	return disk.bytes_lost;
}
