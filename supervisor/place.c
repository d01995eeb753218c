/* SPDX-License-Identifier: MIT */
#include "place.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "hand_over.h"
#include "records.h"
#include "supervisor.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PID_TEXT = 32, LEFT_OVER_MS = 5000 };

void place_program_dir(char *out, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	char *slash = strrchr(out, '/');
	if (slash)
		*slash = '\0';
}

static int make_folder(const char *path, mode_t mode, struct err *err)
{
	char part[4096];
	if (!str_copy(part, sizeof(part), path))
		return err_set(err, -ENAMETOOLONG, "the path is too long: %s", path);
	for (char *p = part + 1; *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		if (mkdir(part, 0755) == -1 && errno != EEXIST)
			return err_sys(err, -errno, "make %s", part);
		*p = '/';
	}
	if (mkdir(part, mode) == -1 && errno != EEXIST)
		return err_sys(err, -errno, "make %s", part);
	return 0;
}

/* A child of a dead droverd holds its lock until it has come to itself. */
static bool is_left_over(const char *pid)
{
	int64_t number;
	if (str_to_i64(pid, 1, INT32_MAX, &number) < 0)
		return false;
	int fd = sys_pidfd_open((pid_t)number);
	if (fd >= 0)
		sys_close(fd);
	return fd == -1 && errno == ESRCH;
}

static int take_lock(int fd, char pid[PID_TEXT])
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	for (int64_t end_ms = clock_mono_ms() + LEFT_OVER_MS;; poll(NULL, 0, 5)) {
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return -errno;
		ssize_t n = pread(fd, pid, PID_TEXT - 1, 0);
		pid[n > 0 ? n : 0] = '\0';
		pid[strcspn(pid, "\n")] = '\0';
		if (!is_left_over(pid) || clock_mono_ms() > end_ms)
			return -EBUSY;
	}
}

static bool is_lock(const struct supervisor *sv, int fd)
{
	struct stat open_one, named;
	return fstat(fd, &open_one) == 0 &&
	       fstatat(sv->runtime_fd, "lock", &named, AT_SYMLINK_NOFOLLOW) == 0 &&
	       open_one.st_ino == named.st_ino && open_one.st_dev == named.st_dev;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		sys_close(*fd);
	*fd = -1;
}

static int lock(struct supervisor *sv, struct err *err)
{
	char pid[PID_TEXT] = "";
	/* Held without a break by the droverd whose place we took. */
	sv->lock_fd = hand_over_take(sv->hand_over, HAND_OVER_LOCK, "lock");
	if (sv->lock_fd >= 0 && !is_lock(sv, sv->lock_fd))
		close_fd(&sv->lock_fd);
	if (sv->lock_fd < 0)
		sv->lock_fd = sys_openat(
			sv->runtime_fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (sv->lock_fd == -1)
		return err_sys(err, -errno, "open %s/lock", sv->runtime_dir);
	int rc = take_lock(sv->lock_fd, pid);
	if (rc == -EBUSY)
		return err_set(err, rc, "another droverd runs with %s (pid %s)", sv->runtime_dir,
			pid[0] ? pid : "unknown");
	if (rc < 0)
		return err_sys(err, rc, "lock %s/lock", sv->runtime_dir);
	int len = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(sv->lock_fd, 0) == -1 || pwrite(sv->lock_fd, pid, (size_t)len, 0) != len)
		return err_sys(err, -errno, "write %s/lock", sv->runtime_dir);
	return 0;
}

/* What children get as standard input: reads end at once, and nobody can write it. */
static int open_empty(struct supervisor *sv, struct err *err)
{
	int fd = sys_openat(
		sv->runtime_fd, "empty", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0444);
	if (fd != -1)
		sys_close(fd);
	else if (errno != EACCES)
		return err_sys(err, -errno, "make %s/empty", sv->runtime_dir);
	sv->empty_fd = sys_openat(sv->runtime_fd, "empty", O_RDONLY | O_NOFOLLOW, 0);
	return sv->empty_fd == -1 ? err_sys(err, -errno, "open %s/empty", sv->runtime_dir) : 0;
}

static void find_node(char *node)
{
	if (gethostname(node, NODE_SIZE) == -1 || !node[0])
		str_copy(node, NODE_SIZE, "local");
	node[NODE_SIZE - 1] = '\0';
	for (char *c = node; *c; c++)
		if (*c == '/')
			*c = '-';
}

/* Its records say whom we may end: nobody else may write them. */
static int check_owner(const struct supervisor *sv, struct err *err)
{
	struct stat st;
	if (fstat(sv->runtime_fd, &st) == -1)
		return err_sys(err, -errno, "look at %s", sv->runtime_dir);
	if (st.st_uid != geteuid() && st.st_uid != 0)
		return err_set(err, -EPERM, "the runtime directory %s belongs to user %u",
			sv->runtime_dir, (unsigned)st.st_uid);
	if (st.st_mode & S_IWOTH)
		return err_set(err, -EPERM, "everybody may write to the runtime directory %s",
			sv->runtime_dir);
	return 0;
}

int place_take(struct supervisor *sv, struct err *err)
{
	const struct config *config = sv->config;
	sv->runtime_dir = strdup(config->supervisor.runtime_dir);
	sv->state_dir = strdup(config->supervisor.state_dir);
	sv->log_dir = strdup(config->logs.dir);
	if (!sv->runtime_dir || !sv->state_dir || !sv->log_dir)
		return err_set(err, -ENOMEM, "out of memory");
	find_node(sv->node);
	int rc = make_folder(sv->runtime_dir, 0755, err);
	if (rc == 0)
		rc = make_folder(sv->state_dir, 0750, err);
	if (rc < 0)
		return rc;
	sv->runtime_fd = sys_open(sv->runtime_dir, O_RDONLY | O_DIRECTORY, 0);
	if (sv->runtime_fd == -1)
		return err_sys(err, -errno, "open %s", sv->runtime_dir);
	rc = check_owner(sv, err);
	if (rc == 0)
		rc = lock(sv, err);
	if (rc == 0)
		rc = open_empty(sv, err);
	if (rc < 0)
		return rc;
	sv->slots_fd = records_open(sv->runtime_fd, err);
	return sv->slots_fd < 0 ? sv->slots_fd : 0;
}

void place_leave(struct supervisor *sv)
{
	close_fd(&sv->slots_fd);
	close_fd(&sv->empty_fd);
	close_fd(&sv->lock_fd);
	close_fd(&sv->runtime_fd);
	free(sv->runtime_dir);
	free(sv->state_dir);
	free(sv->log_dir);
}
