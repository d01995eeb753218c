/* SPDX-License-Identifier: MIT */
#include "limit/limit_file.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Locks lie far behind the data: the lock of the file, then one byte a holder. */
#define LOCK_BYTE   ((off_t)1 << 40)
#define HOLDER_BYTE (LOCK_BYTE + 1)
#define RINGS_AT    ((sizeof(struct limit_file_header) + 63) / 64 * 64)
#define FILE_MIN    (RINGS_AT + 65536)

static const char magic[8] = "drvlim2";

static uint64_t layout(void)
{
	return sizeof(struct limit_file_header) << 16 | sizeof(struct entry) << 6 |
	       sizeof(struct place);
}

enum { SHORT_TRIES = 40, LONG_TRIES = 4000 }; /* some 20 ms, 2.5 s */

static int ofd_lock(int fd, int cmd, short type, off_t at, struct flock *out)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1 };
	int rc;
	do
		rc = fcntl(fd, cmd, &lock);
	while (rc == -1 && errno == EINTR);
	if (out)
		*out = lock;
	return rc == -1 ? -errno : 0;
}

/* Whoever holds the lock holds it for microseconds, unless it was stopped: never wait for ever. */
static int lock_file(int fd, int tries)
{
	int rc = ofd_lock(fd, F_OFD_SETLK, F_WRLCK, LOCK_BYTE, NULL);
	for (int i = 0; i < tries && (rc == -EAGAIN || rc == -EACCES); i++) {
		nanosleep(&(struct timespec) { .tv_nsec = i < 10 ? 50000 : 600000 }, NULL);
		rc = ofd_lock(fd, F_OFD_SETLK, F_WRLCK, LOCK_BYTE, NULL);
	}
	return rc == -EACCES ? -EAGAIN : rc;
}

/* What another process sees after our death must be in the order in which we wrote it. */
static void store_word(uint64_t *to, uint64_t value)
{
	__atomic_store_n(to, value, __ATOMIC_SEQ_CST);
}

static int map_file(struct limit_file *f, size_t size)
{
	if (f->map && f->map_size == size)
		return 0;
	if (f->map)
		munmap(f->map, f->map_size);
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
	f->map = map == MAP_FAILED ? NULL : map;
	f->map_size = f->map ? size : 0;
	return f->map ? 0 : -errno;
}

/* Room is allocated, not only promised: a hole on a full disk would be a SIGBUS later. */
static int resize(struct limit_file *f, size_t size)
{
	int rc = posix_fallocate(f->fd, 0, (off_t)size);
	return rc ? -rc : map_file(f, size);
}

static int format(struct limit_file *f, bool used_up)
{
	size_t size = MAX(f->map_size, FILE_MIN);
	int rc = resize(f, size);
	if (rc < 0)
		return rc;
	struct limit_file_header *h = f->map;
	uint32_t generation[LIMIT_HOLDERS];
	/* Generations live on: a holder of the old file must not look like one of the new. */
	memcpy(generation, h->generation, sizeof(generation));
	memset(h, 0, sizeof(*h));
	memcpy(h->generation, generation, sizeof(generation));
	h->layout = layout();
	memcpy(h->boot_id, clock_boot_id(), strlen(clock_boot_id()));
	h->used_up_us = used_up ? MAX(clock_boot_us(), 1) : 0;
	h->top = RINGS_AT;
	for (size_t i = 0; i < LIMIT_KEYS; i++)
		for (size_t w = 0; w < LIMIT_WINDOWS; w++)
			h->entries[i].windows[w].period_us = -1;
	uint64_t word;
	memcpy(&word, magic, sizeof(word));
	uint64_t *to = (uint64_t *)(void *)h->magic;
	store_word(to, word);
	return 0;
}

static bool ring_fits(const struct limit_file *f, uint64_t ring)
{
	uint64_t at = ring >> 8, class = ring & 0xff;
	if (ring == 0)
		return true;
	return class < LIMIT_CLASSES && at >= RINGS_AT && at % 8 == 0 && at <= f->map->top &&
	       (sizeof(struct place) << class) <= f->map->top - at;
}

/* Cheap enough for each operation: what would make us read or write outside the file. */
static bool header_sound(const struct limit_file *f)
{
	const struct limit_file_header *h = f->map;
	return memcmp(h->magic, magic, sizeof(magic)) == 0 && h->layout == layout() &&
	       h->top >= RINGS_AT && h->top <= f->map_size;
}

bool limit_file_window_sound(const struct limit_file *f, const struct window *w)
{
	return ring_fits(f, w->ring) && w->span <= limit_ring_places(w) &&
	       (!w->ring || w->next < limit_ring_places(w));
}

static bool sound(const struct limit_file *f)
{
	if (!header_sound(f))
		return false;
	for (size_t c = 0; c < LIMIT_CLASSES; c++)
		if (f->map->free_rings[c] && !ring_fits(f, f->map->free_rings[c] << 8 | c))
			return false;
	for (size_t i = 0; i < LIMIT_KEYS; i++)
		for (size_t w = 0; w < LIMIT_WINDOWS; w++)
			if (!limit_file_window_sound(f, &f->map->entries[i].windows[w]))
				return false;
	return true;
}

static bool same_boot(const struct limit_file *f)
{
	return strncmp(f->map->boot_id, clock_boot_id(), sizeof(f->map->boot_id)) == 0;
}

static int take_slot(struct limit_file *f)
{
	(void)ofd_lock(f->fd, F_OFD_SETLK, F_UNLCK, HOLDER_BYTE + f->slot, NULL);
	for (uint32_t i = 0; i < LIMIT_HOLDERS; i++) {
		if (ofd_lock(f->fd, F_OFD_SETLK, F_WRLCK, HOLDER_BYTE + i, NULL) < 0)
			continue;
		f->slot = i;
		f->generation = ++f->map->generation[i] & 0xffff;
		return 0;
	}
	return -EUSERS;
}

static int open_fd(struct limit_file *f)
{
	f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (f->fd == -1)
		return -errno;
	struct stat st;
	if (fstat(f->fd, &st) == -1)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	/* The umask of whoever came first must not shut workers of other users out. */
	if (st.st_size == 0 && st.st_uid == geteuid() && fchmod(f->fd, 0660) == -1)
		return -errno;
	return 0;
}

/* With the lock held: maps what is there, replaces what is not ours or damaged. */
static int load(struct limit_file *f, bool replaced)
{
	struct stat st;
	if (fstat(f->fd, &st) == -1)
		return -errno;
	bool fresh = st.st_size == 0;
	if ((size_t)st.st_size < FILE_MIN || st.st_size > LIMIT_FILE_MAX)
		return ftruncate(f->fd, 0) == -1 ? -errno : format(f, !fresh || replaced);
	int rc = map_file(f, (size_t)st.st_size);
	if (rc < 0)
		return rc;
	if (!sound(f) || !same_boot(f))
		return format(f, true);
	if (replaced)
		f->map->used_up_us = MAX(clock_boot_us(), 1);
	return 0;
}

int limit_file_open(struct limit_file *f, const char *path, struct err *err)
{
	*f = (struct limit_file) { .fd = -1, .path = strdup(path) };
	if (!f->path)
		return err_set(err, -ENOMEM, "open limits %s", path);
	int rc = open_fd(f);
	if (rc == 0)
		rc = lock_file(f->fd, LONG_TRIES);
	if (rc == 0)
		rc = load(f, false);
	if (rc == 0)
		rc = take_slot(f);
	if (rc < 0) {
		limit_file_close(f);
		return err_sys(err, rc, "open limits %s", path);
	}
	limit_file_unlock(f);
	return 0;
}

void limit_file_close(struct limit_file *f)
{
	if (f->map)
		munmap(f->map, f->map_size);
	if (f->fd != -1)
		close(f->fd);
	free(f->path);
	*f = (struct limit_file) { .fd = -1 };
}

/*
 * Someone removed or replaced the file below us: go over to the one that has the name now. Nobody
 * knows what was called meanwhile, so it counts as used up.
 */
static int reopen(struct limit_file *f)
{
	if (f->map)
		munmap(f->map, f->map_size);
	f->map = NULL;
	f->map_size = 0;
	close(f->fd);
	int rc = open_fd(f);
	if (rc == 0)
		rc = lock_file(f->fd, LONG_TRIES);
	if (rc == 0)
		rc = load(f, true);
	return rc < 0 ? rc : take_slot(f);
}

static int refresh(struct limit_file *f)
{
	struct stat st;
	if (f->fd == -1 || fstat(f->fd, &st) == -1 || st.st_nlink == 0)
		return reopen(f);
	int rc = 0;
	if ((size_t)st.st_size != f->map_size || !header_sound(f))
		rc = load(f, (size_t)st.st_size < f->map_size);
	if (rc == 0 && (f->map->generation[f->slot] & 0xffff) != f->generation)
		rc = take_slot(f);
	return rc;
}

int limit_file_lock(struct limit_file *f, bool wait)
{
	int rc = f->fd == -1 ? 0 : lock_file(f->fd, wait ? LONG_TRIES : SHORT_TRIES);
	if (rc < 0)
		return rc;
	rc = refresh(f);
	if (rc < 0)
		limit_file_unlock(f);
	memset(f->known, 0, sizeof(f->known));
	return rc;
}

void limit_file_unlock(struct limit_file *f)
{
	if (f->fd != -1)
		(void)ofd_lock(f->fd, F_OFD_SETLK, F_UNLCK, LOCK_BYTE, NULL);
}

struct place *limit_file_ring(struct limit_file *f, const struct window *w)
{
	return (struct place *)(void *)((char *)f->map + (w->ring >> 8));
}

static int alloc_ring(struct limit_file *f, unsigned class, uint64_t *ring)
{
	struct limit_file_header *h = f->map;
	size_t bytes = sizeof(struct place) << class;
	uint64_t at = h->free_rings[class];
	if (at && ring_fits(f, at << 8 | class)) {
		const struct place *first = (const void *)((char *)h + at);
		store_word(&h->free_rings[class], (uint64_t)first->start_us);
	} else {
		at = h->top;
		uint64_t top = (at + bytes + 63) / 64 * 64;
		if (top > (uint64_t)LIMIT_FILE_MAX)
			return -ENOSPC;
		if (top > f->map_size) {
			size_t more = MAX((size_t)top, f->map_size + f->map_size / 2);
			int rc = resize(f, MIN(more, (size_t)LIMIT_FILE_MAX));
			if (rc < 0)
				return rc;
			h = f->map;
		}
		store_word(&h->top, top);
	}
	memset((char *)h + at, 0, bytes);
	*ring = at << 8 | class;
	return 0;
}

int limit_file_grow(struct limit_file *f, size_t entry, size_t window, size_t count)
{
	unsigned class = 0;
	while (((size_t)1 << class) < count)
		class ++;
	uint64_t ring = 0;
	int rc = alloc_ring(f, class, &ring);
	if (rc < 0)
		return rc;
	struct window *w = &f->map->entries[entry].windows[window];
	struct window old = *w;
	if (old.ring) {
		const struct window fresh = { .ring = ring };
		memcpy(limit_file_ring(f, &fresh), limit_file_ring(f, &old),
			sizeof(struct place) * limit_ring_places(&old));
	}
	store_word(&w->ring, ring);
	limit_file_drop_ring(f, &old);
	return 0;
}

void limit_file_drop_ring(struct limit_file *f, struct window *w)
{
	uint64_t ring = w->ring;
	if (!ring)
		return;
	w->span = w->next = 0;
	store_word(&w->ring, 0);
	struct limit_file_header *h = f->map;
	struct place *first = (void *)((char *)h + (ring >> 8));
	first->start_us = (int64_t)h->free_rings[ring & 0xff];
	store_word(&h->free_rings[ring & 0xff], ring >> 8);
}

bool limit_file_alive(struct limit_file *f, uint64_t holder)
{
	uint32_t slot = (uint32_t)(holder >> 48), generation = (uint32_t)(holder >> 32) & 0xffff;
	if (slot >= LIMIT_HOLDERS || (f->map->generation[slot] & 0xffff) != generation)
		return false;
	if (slot == f->slot)
		return true;
	uint8_t bit = (uint8_t)(1u << slot % 8);
	if (!(f->known[slot / 8] & bit)) {
		struct flock found;
		int rc = ofd_lock(f->fd, F_OFD_GETLK, F_WRLCK, HOLDER_BYTE + slot, &found);
		/* When in doubt it lives: its place stays taken. */
		bool alive = rc < 0 || found.l_type != F_UNLCK;
		f->known[slot / 8] |= bit;
		f->alive[slot / 8] = (uint8_t)(alive ? f->alive[slot / 8] | bit
						     : f->alive[slot / 8] & ~bit);
	}
	return f->alive[slot / 8] & bit;
}

void limit_file_reformat(struct limit_file *f)
{
	if (format(f, true) == 0)
		(void)take_slot(f);
}
