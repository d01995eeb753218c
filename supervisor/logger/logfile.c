/* SPDX-License-Identifier: MIT */
#include "logger/logfile.h"

#include "base/str.h"
#include "base/sys.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_file(struct logfile *lf);

bool logfile_is_name(const char *name)
{
	size_t len = strlen(name);
	return len > 0 && len <= LOGFILE_NAME_MAX && name[0] != '.' && !strchr(name, '/');
}

void logfile_init(struct logfile *lf, int dir, const char *name)
{
	*lf = (struct logfile) { .dir = dir, .fd = -1, .name = name };
}

void logfile_close(struct logfile *lf)
{
	if (lf->fd != -1)
		sys_close(lf->fd);
	lf->fd = -1;
}

void logfile_finish(struct logfile *lf)
{
	logfile_close(lf);
	free(lf->births);
	lf->births = NULL;
	lf->birth_count = 0;
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
		logfile_close(lf);
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

bool logfile_is_there(const struct logfile *lf)
{
	struct stat st;
	return lf->fd != -1 || fstatat(lf->dir, lf->name, &st, AT_SYMLINK_NOFOLLOW) == 0 ||
	       errno != ENOENT;
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
		logfile_close(lf);
	return -code;
}

static int open_file(struct logfile *lf)
{
	/* O_NONBLOCK: whatever stands there under our name may not stop us. */
	int fd = sys_open_beneath(
		lf->dir, lf->name, O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY, 0640);
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
