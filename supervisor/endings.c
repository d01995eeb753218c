/* SPDX-License-Identifier: MIT */
#include "endings.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "ending"
enum { VERSION = 1, BLOCK_MAX = 4096, FILE_MAX = 16 << 20 };
static const char magic[8] = "droverE";

/* Read and written by one machine in one boot: raw, as records are. */
struct head {
	char magic[8];
	uint32_t version, count;
	char boot_id[40];
	char mark[24];
	uint64_t checksum; /* of the head before it and all entries */
};

static uint64_t sum_of(const struct head *h, const struct ending *list)
{
	const uint64_t sums[2] = { str_hash(h, offsetof(struct head, checksum)),
		str_hash(list, h->count * sizeof(*list)) };
	return str_hash(sums, sizeof(sums));
}

static int by_name(const void *a, const void *b)
{
	const struct ending *x = a, *y = b;
	int order = strcmp(x->name, y->name);
	return order ? order
		     : (x->incarnation > y->incarnation) - (x->incarnation < y->incarnation);
}

static int append(int fd, const void *block, size_t len)
{
	struct stat st;
	if (fstat(fd, &st) == -1)
		return -errno;
	ssize_t n = pwrite(fd, block, len, st.st_size);
	if (n == (ssize_t)len)
		return 0;
	int error = n == -1 ? errno : EIO;
	/* Behind a half block no other would be found. */
	return ftruncate(fd, st.st_size) == -1 ? -errno : -error;
}

int endings_note(int runtime_fd, const char *mark, const struct ending *list, size_t count)
{
	struct head h;
	memset(&h, 0, sizeof(h));
	memcpy(h.magic, magic, sizeof(magic));
	h.version = VERSION;
	h.count = (uint32_t)count;
	str_copy(h.boot_id, sizeof(h.boot_id), clock_boot_id());
	str_copy(h.mark, sizeof(h.mark), mark);
	if (count == 0 || count > BLOCK_MAX)
		return -EINVAL;
	size_t len = sizeof(h) + count * sizeof(*list);
	CLEANUP(freep) char *block = malloc(len);
	if (!block)
		return -ENOMEM;
	CLEANUP(closep)
	int fd = sys_openat(
		runtime_fd, FILE_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd == -1)
		return -errno;
	h.checksum = sum_of(&h, list);
	memcpy(block, &h, sizeof(h));
	memcpy(block + sizeof(h), list, count * sizeof(*list));
	return append(fd, block, len);
}

/* --- reading --- */

static bool is_ours(const struct head *h, const char *mark)
{
	return memcmp(h->magic, magic, sizeof(magic)) == 0 && h->version == VERSION &&
	       h->count > 0 && h->count <= BLOCK_MAX &&
	       strncmp(h->boot_id, clock_boot_id(), sizeof(h->boot_id)) == 0 &&
	       strncmp(h->mark, mark, sizeof(h->mark)) == 0;
}

/* @return bytes of the block at `at`, 0: what is left is none */
static size_t take_block(struct endings *out, const char *text, size_t left, const char *mark)
{
	struct head h;
	if (left < sizeof(h))
		return 0;
	memcpy(&h, text, sizeof(h));
	size_t bytes = h.count * sizeof(struct ending);
	if (!is_ours(&h, mark) || left - sizeof(h) < bytes)
		return 0;
	struct ending *list = out->list + out->count;
	memcpy(list, text + sizeof(h), bytes);
	if (sum_of(&h, list) != h.checksum)
		return 0;
	for (uint32_t i = 0; i < h.count; i++)
		list[i].name[sizeof(list[i].name) - 1] = '\0';
	out->count += h.count;
	return sizeof(h) + bytes;
}

static int read_all(int fd, char *text, size_t size)
{
	size_t done = 0;
	for (ssize_t n = 1; done < size && n > 0; done += (size_t)MAX(n, (ssize_t)0))
		n = pread(fd, text + done, size - done, (off_t)done);
	return (int)done;
}

int endings_read(struct endings *out, int runtime_fd, const char *mark)
{
	struct stat st;
	*out = (struct endings) { 0 };
	CLEANUP(closep)
	int fd = sys_openat(runtime_fd, FILE_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
	if (fd == -1)
		return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : 0;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return 0;
	size_t size = (size_t)MIN(st.st_size, (off_t)FILE_MAX);
	CLEANUP(freep) char *text = malloc(size);
	struct endings found = { .list = malloc(size) };
	if (!text || !found.list) {
		free(found.list);
		return -ENOMEM;
	}
	size = (size_t)read_all(fd, text, size);
	for (size_t at = 0, n; (n = take_block(&found, text + at, size - at, mark)) > 0;)
		at += n;
	if (found.count)
		qsort(found.list, found.count, sizeof(found.list[0]), by_name);
	*out = found;
	return 0;
}

bool endings_has(const struct endings *endings, const char *name, uint64_t incarnation)
{
	struct ending key = { .incarnation = incarnation };
	str_copy(key.name, sizeof(key.name), name);
	return endings->count &&
	       bsearch(&key, endings->list, endings->count, sizeof(key), by_name) != NULL;
}

void endings_apply(const struct endings *endings, struct record *r)
{
	if ((r->state != PROCESS_STARTING && r->state != PROCESS_RUNNING) ||
		MUTANT(SHUTDOWN_LIST_UNREAD) || !endings_has(endings, r->name, r->incarnation))
		return;
	r->state = PROCESS_STOPPING;
	r->end_cause = CAUSE_SHUTDOWN;
	r->held = r->ready = false;
	r->due_ms = -1;
}

void endings_finish(struct endings *endings)
{
	free(endings->list);
	*endings = (struct endings) { 0 };
}

void endings_forget(int runtime_fd)
{
	sys_unlinkat(runtime_fd, FILE_NAME, 0);
}
