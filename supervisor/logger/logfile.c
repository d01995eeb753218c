/* SPDX-License-Identifier: MIT */
#include "logger/logfile.h"

#include "base/str.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_file(struct logfile *lf);
static void close_file(struct logfile *lf);
static void backup_name(char *dst, size_t size, const struct logfile *lf, unsigned n);
static unsigned first_gap(const struct logfile *lf);
static void remove_oldest(const struct logfile *lf);

bool logfile_is_name(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && len <= LOGFILE_NAME_MAX && name[0] != '.' && !strchr(name, '/');
}

void logfile_init(struct logfile *lf, int dir, const char *name)
{
	*lf = (struct logfile) { .dir = dir, .fd = -1 };
	str_copy(lf->name, sizeof(lf->name), name);
}

void logfile_finish(struct logfile *lf)
{
	close_file(lf);
}

int64_t logfile_seek_end(struct logfile *lf)
{
	struct stat st;
	int rc = lf->fd == -1 ? open_file(lf) : 0;
	if (rc < 0)
		return rc;
	if (fstat(lf->fd, &st) == -1)
		return -errno;
	if (st.st_nlink == 0) {
		/* Deleted by somebody: go on in a file that can be seen. */
		close_file(lf);
		rc = open_file(lf);
		if (rc < 0)
			return rc;
		if (fstat(lf->fd, &st) == -1)
			return -errno;
	}
	/* Not O_APPEND, which splice refuses: at the old offset a truncated file would get a hole
	 * of NULs. */
	if (st.st_size != lf->left && lseek(lf->fd, 0, SEEK_END) == -1)
		return -errno;
	lf->left = st.st_size;
	return st.st_size;
}

bool logfile_ends_line(const struct logfile *lf, int64_t size)
{
	char last = '\n';
	return size == 0 || pread(lf->fd, &last, 1, size - 1) != 1 || last == '\n';
}

int logfile_append(struct logfile *lf, const char *text, size_t len)
{
	int64_t size = logfile_seek_end(lf);
	if (size < 0)
		return (int)size;
	ssize_t n = sys_write(lf->fd, text, len);
	if (n == (ssize_t)len) {
		lf->left += n;
		return 0;
	}
	int code = n == -1 ? errno : ENOSPC;
	/* A piece of a mark is worse than none; the bytes are our own. */
	if (n > 0 && (ftruncate(lf->fd, size) == -1 || lseek(lf->fd, size, SEEK_SET) == -1))
		close_file(lf);
	return -code;
}

int logfile_rotate(struct logfile *lf)
{
	char from[LOGFILE_NAME_MAX + 16], to[LOGFILE_NAME_MAX + 16];
	unsigned gap = first_gap(lf);
	if (gap > lf->backups) {
		backup_name(from, sizeof(from), lf, lf->backups);
		if (sys_unlinkat(lf->dir, from, 0) == -1 && errno != ENOENT)
			return -errno;
		gap = lf->backups;
	}
	/* With 0 backups the line above removed the file itself. */
	for (unsigned n = gap; n > 0; n--) {
		backup_name(from, sizeof(from), lf, n - 1);
		backup_name(to, sizeof(to), lf, n);
		if (sys_renameat(lf->dir, from, lf->dir, to) == -1 && errno != ENOENT)
			return -errno;
	}
	close_file(lf);
	remove_oldest(lf);
	return 0;
}

static int open_file(struct logfile *lf)
{
	/* O_NONBLOCK, O_NOFOLLOW: whatever stands there under our name may neither stop nor mislead
	 * us. */
	int fd = sys_openat(
		lf->dir, lf->name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0640);
	struct stat st;
	if (fd == -1)
		return -errno;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		sys_close(fd);
		return -EINVAL;
	}
	lf->fd = fd;
	lf->left = 0;
	return 0;
}

static void close_file(struct logfile *lf)
{
	if (lf->fd != -1)
		sys_close(lf->fd);
	lf->fd = -1;
}

/* 0: the file itself */
static void backup_name(char *dst, size_t size, const struct logfile *lf, unsigned n)
{
	if (n == 0)
		snprintf(dst, size, "%s", lf->name);
	else
		snprintf(dst, size, "%s.%u", lf->name, n);
}

static bool size_of(const struct logfile *lf, unsigned n, int64_t *size)
{
	char name[LOGFILE_NAME_MAX + 16];
	struct stat st;
	backup_name(name, sizeof(name), lf, n);
	if (fstatat(lf->dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return false;
	*size = st.st_size;
	return true;
}

/* The youngest number that is free; more than `backups` when all are taken. */
static unsigned first_gap(const struct logfile *lf)
{
	int64_t size;
	unsigned n = 1;
	while (n <= lf->backups && size_of(lf, n, &size))
		n++;
	return n;
}

static void remove_backup(const struct logfile *lf, unsigned n)
{
	char name[LOGFILE_NAME_MAX + 16];
	backup_name(name, sizeof(name), lf, n);
	/* What cannot be removed now is tried again at the next rotation. */
	(void)sys_unlinkat(lf->dir, name, 0);
}

static void remove_oldest(const struct logfile *lf)
{
	int64_t size, held = 0, bound = (int64_t)lf->backups * lf->max_size + lf->max_line;
	for (unsigned n = 1; n <= lf->backups; n++) {
		if (!size_of(lf, n, &size))
			continue;
		if (lf->max_size > 0 && held + size > bound)
			remove_backup(lf, n);
		else
			held += size;
	}
	/* Left from a time when more were kept. */
	for (unsigned n = lf->backups + 1; size_of(lf, n, &size); n++)
		remove_backup(lf, n);
}
