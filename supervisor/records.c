/* SPDX-License-Identifier: MIT */
#include "records.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_VERSION = 1 };
static const char magic[8] = "droverS";

/* Read and written by one machine in one boot: raw. The checksum covers all before it. */
struct stored {
	char magic[8];
	uint32_t version, length;
	char boot_id[40];
	char name[RECORD_NAME_SIZE];
	char epoch[24];
	uint64_t incarnation;
	int64_t pid;
	uint64_t start_time;
	int64_t last_start_ms, last_automatic_ms, strikes;
	uint32_t wanted, closed;
	uint64_t checksum;
};

int records_open(int runtime_fd, struct err *err)
{
	if (mkdirat(runtime_fd, "slots", 0700) == -1 && errno != EEXIST)
		return err_sys(err, -errno, "make slots in the runtime directory");
	int fd = sys_openat(runtime_fd, "slots", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return fd == -1 ? err_sys(err, -errno, "open slots in the runtime directory") : fd;
}

int record_open(int slots_fd, const char *name, struct err *err)
{
	int fd = sys_openat(slots_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
	return fd == -1 ? err_sys(err, -errno, "open the slot record of %s", name) : fd;
}

int record_write(int fd, const struct record *r)
{
	struct stored s;
	memset(&s, 0, sizeof(s)); /* padding is checksummed too */
	memcpy(s.magic, magic, sizeof(magic));
	s.version = RECORD_VERSION;
	s.length = sizeof(s);
	str_copy(s.boot_id, sizeof(s.boot_id), clock_boot_id());
	str_copy(s.name, sizeof(s.name), r->name);
	str_copy(s.epoch, sizeof(s.epoch), r->epoch);
	s.incarnation = r->incarnation;
	s.pid = r->pid;
	s.start_time = r->start_time;
	s.last_start_ms = r->last_start_ms;
	s.last_automatic_ms = r->last_automatic_ms;
	s.strikes = r->strikes;
	s.wanted = r->wanted;
	s.closed = r->closed;
	s.checksum = str_hash(&s, offsetof(struct stored, checksum));
	/* One call: a death of the writer leaves the old or the new record, never half of one. */
	ssize_t n = pwrite(fd, &s, sizeof(s), 0);
	if (n == -1)
		return -errno;
	return n == (ssize_t)sizeof(s) ? 0 : -EIO;
}

static bool terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

int record_read(int fd, struct record *out)
{
	struct stored s;
	struct stat st;
	if (fstat(fd, &st) == -1 || st.st_size != (off_t)sizeof(s) ||
		pread(fd, &s, sizeof(s), 0) != (ssize_t)sizeof(s))
		return -EBADMSG;
	if (memcmp(s.magic, magic, sizeof(magic)) != 0 || s.version != RECORD_VERSION ||
		s.length != sizeof(s) ||
		s.checksum != str_hash(&s, offsetof(struct stored, checksum)))
		return -EBADMSG;
	if (!terminated(s.boot_id, sizeof(s.boot_id)) || !terminated(s.name, sizeof(s.name)) ||
		!terminated(s.epoch, sizeof(s.epoch)) || strcmp(s.boot_id, clock_boot_id()) != 0)
		return -EBADMSG;
	*out = (struct record) { .incarnation = s.incarnation,
		.pid = s.pid,
		.start_time = s.start_time,
		.last_start_ms = s.last_start_ms,
		.last_automatic_ms = s.last_automatic_ms,
		.strikes = s.strikes,
		.wanted = s.wanted != 0,
		.closed = s.closed != 0 };
	str_copy(out->name, sizeof(out->name), s.name);
	str_copy(out->epoch, sizeof(out->epoch), s.epoch);
	return 0;
}

void record_remove(int slots_fd, const char *name)
{
	sys_unlinkat(slots_fd, name, 0);
}

void records_read(int slots_fd, void (*found)(void *arg, const struct record *record), void *arg)
{
	int copy = sys_openat(slots_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = copy == -1 ? NULL : fdopendir(copy);
	if (!dir) {
		if (copy != -1)
			sys_close(copy);
		return;
	}
	for (const struct dirent *d; (d = readdir(dir));) {
		struct record r;
		if (d->d_name[0] == '.')
			continue;
		CLEANUP(closep)
		int fd = sys_openat(slots_fd, d->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
		if (fd != -1 && record_read(fd, &r) == 0 && strcmp(r.name, d->d_name) == 0)
			found(arg, &r);
		else
			record_remove(slots_fd, d->d_name);
	}
	closedir(dir);
}
