/* SPDX-License-Identifier: MIT */
#include "config/handover.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL };

static void wipe_buf(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_finish(b);
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = sys_write(fd, data, len);
		if (n == -1 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

static int fill(int fd, const struct buf *bytes, struct err *err)
{
	int rc = write_all(fd, bytes->data, bytes->len);
	if (rc < 0)
		return err_sys(err, rc, "write a worker's configuration");
	if (fcntl(fd, F_ADD_SEALS, SEALS) == -1)
		return err_sys(err, -errno, "seal a worker's configuration");
	return 0;
}

int config_handover(const struct config *config, const struct worker_kind *kind, struct err *err)
{
	CLEANUP(wipe_buf) struct buf bytes = BUF_INIT;
	int rc = handover_encode(&bytes, config, kind, err);
	if (rc < 0)
		return rc;
	int fd = sys_memfd("drover-config", true);
	if (fd == -1)
		return err_sys(err, -errno, "memory for a worker's configuration");
	rc = fill(fd, &bytes, err);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

static int read_at(int fd, char *data, size_t len)
{
	for (size_t at = 0; at < len;) {
		ssize_t n = pread(fd, data + at, len - at, (off_t)at);
		if (n == 0 || (n == -1 && errno != EINTR))
			return n ? -errno : -EIO;
		if (n > 0)
			at += (size_t)n;
	}
	return 0;
}

int config_from_handover(
	struct config **out, int fd, const struct worker_kind *const *kinds, struct err *err)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);
	if (seals == -1 || (seals & SEALS) != SEALS)
		return err_set(
			err, -EINVAL, "take the configuration over: it is not sealed memory");
	if (fstat(fd, &st) == -1)
		return err_sys(err, -errno, "take the configuration over");
	if (st.st_size > HANDOVER_MAX)
		return err_set(
			err, -E2BIG, "take the configuration over: it is larger than 32 MiB");
	size_t len = (size_t)st.st_size;
	char *data = malloc(len + 1);
	int rc = data ? read_at(fd, data, len) : -ENOMEM;
	if (rc < 0)
		err_sys(err, rc, "take the configuration over");
	else
		rc = handover_decode(out, data, len, kinds, err);
	if (data)
		explicit_bzero(data, len);
	free(data);
	return rc;
}
