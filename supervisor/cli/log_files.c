/* SPDX-License-Identifier: MIT */
#include "log_files.h"

#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

enum { HOLES = 3, NUMBER_MAX = 100000, CHUNK = 65536 };

/* A decompressor skips this frame; drover-compress writes it. */
struct __attribute__((packed)) head {
	uint32_t magic, size;
	char word[8];
	uint64_t inode;
	int64_t born_ns;
};

void log_file_close(struct log_file *f)
{
	if (f->fd != -1)
		close(f->fd);
	f->fd = -1;
}

bool log_file_is_younger(const struct log_file *f, const struct timespec *than)
{
	return f->written.tv_sec != than->tv_sec ? f->written.tv_sec > than->tv_sec
						 : f->written.tv_nsec > than->tv_nsec;
}

static int identify(int dir, const char *path, int flags, struct log_id *out)
{
	struct statx stx;
	if (statx(dir, path, flags, STATX_INO | STATX_BTIME, &stx) == -1)
		return -errno;
	bool known = stx.stx_mask & STATX_BTIME;
	*out = (struct log_id) { .inode = stx.stx_ino,
		.born_ns = known ? stx.stx_btime.tv_sec * 1000000000LL + stx.stx_btime.tv_nsec
				 : 0 };
	return 0;
}

int log_file_named(struct log_id *out, const char *path)
{
	return identify(AT_FDCWD, path, 0, out);
}

/* One that somebody else compressed is known by its own. */
static void take_former(int fd, struct log_id *id)
{
	struct head head;
	if (pread(fd, &head, sizeof(head), 0) == (ssize_t)sizeof(head) &&
		head.magic == ZSTD_MAGIC_SKIPPABLE_START &&
		!memcmp(head.word, "drover\0", sizeof(head.word)))
		*id = (struct log_id) { .inode = (ino_t)head.inode, .born_ns = head.born_ns };
}

static int open_one(struct log_file *out, const char *path, unsigned n, bool packed)
{
	char name[PATH_MAX];
	struct stat st;
	int len = n ? snprintf(name, sizeof(name), "%s.%u%s", path, n, packed ? ".zst" : "")
		    : snprintf(name, sizeof(name), "%s", path);
	if (len >= (int)sizeof(name))
		return -ENAMETOOLONG;
	int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd == -1)
		return -errno;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -EINVAL;
	}
	*out = (struct log_file) { .fd = fd, .number = n, .packed = packed, .written = st.st_mtim };
	int rc = identify(fd, "", AT_EMPTY_PATH, &out->id);
	if (rc < 0)
		log_file_close(out);
	else if (packed)
		take_former(fd, &out->id);
	return rc;
}

void log_walk_init(struct log_walk *walk, const char *path)
{
	*walk = (struct log_walk) { .path = path };
	(void)!log_file_named(&walk->first, path);
}

void log_walk_finish(struct log_walk *walk)
{
	free(walk->seen);
	walk->seen = NULL;
}

static bool is_new(struct log_walk *walk, const struct log_id *id)
{
	for (size_t i = 0; i < walk->count; i++)
		if (log_id_eq(&walk->seen[i], id))
			return false;
	if (mem_grow((void **)&walk->seen, &walk->cap, walk->count, sizeof(*id)) == 0)
		walk->seen[walk->count++] = *id;
	return true;
}

/* By both times, for a file that was compressed or copied by hand is younger than what is in it;
 * and only when it was rotated since we began. */
static bool came_since(const struct log_walk *walk, const struct log_file *f)
{
	struct log_id now = { 0 };
	bool known = f->id.born_ns && walk->last.born_ns;
	if (!walk->any || (known && f->id.born_ns <= walk->last.born_ns) ||
		!log_file_is_younger(f, &walk->last_written))
		return false;
	return log_file_named(&now, walk->path) < 0 || !log_id_eq(&now, &walk->first);
}

bool log_walk_next(struct log_walk *walk, struct log_file *out)
{
	for (int holes = 0; holes < HOLES && walk->next < NUMBER_MAX;) {
		unsigned n = walk->next++;
		/* The plain one first: where both are, it is the true one. */
		int rc = open_one(out, walk->path, n, false);
		if (rc < 0 && n > 0)
			rc = open_one(out, walk->path, n, true);
		if (rc < 0 && n == 0 && rc != -ENOENT)
			walk->error = -rc;
		holes = rc < 0 ? holes + 1 : 0;
		if (rc == 0 && !came_since(walk, out) && is_new(walk, &out->id)) {
			walk->last = out->id;
			walk->last_written = out->written;
			walk->any = true;
			return true;
		}
		if (rc == 0)
			log_file_close(out);
	}
	out->fd = -1;
	return false;
}

/* --- compressed files --- */

static int put(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* @param rest  0 at the end of a frame */
static int unpack_chunk(ZSTD_DCtx *ctx, ZSTD_inBuffer *in, int to, size_t *rest)
{
	char bytes[CHUNK];
	while (in->pos < in->size) {
		ZSTD_outBuffer out = { bytes, sizeof(bytes), 0 };
		*rest = ZSTD_decompressStream(ctx, &out, in);
		if (ZSTD_isError(*rest))
			return -EBADMSG;
		int rc = put(to, bytes, out.pos);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Memory is bounded by the window that the format allows, the disk by the room there is. */
static int unpack(int from, int to)
{
	char bytes[CHUNK];
	off_t at = 0;
	ssize_t n;
	size_t rest = 0;
	int rc = 0;
	ZSTD_DCtx *ctx = ZSTD_createDCtx();
	if (!ctx)
		return -ENOMEM;
	while (rc == 0 && (n = pread(from, bytes, sizeof(bytes), at)) > 0) {
		ZSTD_inBuffer in = { bytes, (size_t)n, 0 };
		at += n;
		rc = unpack_chunk(ctx, &in, to, &rest);
	}
	ZSTD_freeDCtx(ctx);
	if (rc == 0 && n == -1)
		return -EIO;
	return rc == 0 && rest > 0 ? -EBADMSG : rc;
}

int log_file_unpack(struct log_file *f)
{
	if (!f->packed)
		return 0;
	FILE *file = tmpfile();
	int fd = file ? fcntl(fileno(file), F_DUPFD_CLOEXEC, 3) : -1;
	int rc = fd == -1 ? -errno : unpack(f->fd, fd);
	if (file)
		fclose(file);
	if (rc < 0) {
		if (fd != -1)
			close(fd);
		return rc;
	}
	log_file_close(f);
	f->fd = fd;
	f->packed = false;
	f->unpacked = true;
	return 0;
}
