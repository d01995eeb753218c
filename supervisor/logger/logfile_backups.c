/* SPDX-License-Identifier: MIT */
#include "base/clock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "logger/logfile.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	NAME_SIZE = LOGFILE_NAME_MAX + 24,
	HOLES = 3, /* numbers missing in a row: behind them there is nothing. A kill makes one */
};
enum form { PLAIN, ZST };
static const char *const suffixes[] = { "", ".zst" };

struct backup {
	enum form form;
	struct stat st;
};

/* 0: the file itself */
static void backup_name(char *dst, const struct logfile *lf, unsigned n, enum form form)
{
	if (n == 0)
		snprintf(dst, NAME_SIZE, "%s", lf->name);
	else
		snprintf(dst, NAME_SIZE, "%s.%u%s", lf->name, n, suffixes[form]);
}

static void part_name(char *dst, const struct logfile *lf)
{
	snprintf(dst, NAME_SIZE, ".%s.zst", lf->name);
}

static bool find_form(const struct logfile *lf, unsigned n, enum form form, struct backup *out)
{
	char name[NAME_SIZE];
	backup_name(name, lf, n, form);
	out->form = form;
	return fstatat(lf->dir, name, &out->st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Where both are, the plain one is true: it is removed only after the other has its name. */
static bool find_backup(const struct logfile *lf, unsigned n, struct backup *out)
{
	return find_form(lf, n, PLAIN, out) || (n > 0 && find_form(lf, n, ZST, out));
}

static int remove_backup(const struct logfile *lf, unsigned n, enum form form)
{
	char name[NAME_SIZE];
	backup_name(name, lf, n, form);
	return sys_unlinkat(lf->dir, name, 0) == -1 && errno != ENOENT ? -errno : 0;
}

/* The next number after *n that there is, with what it is. @return false: no more */
static bool next_backup(const struct logfile *lf, unsigned *n, struct backup *out)
{
	for (unsigned end = MIN(*n + HOLES, lf->backups); *n < end;)
		if (find_backup(lf, ++*n, out))
			return true;
	return false;
}

/* The youngest number that is free; more than `backups` when all are taken. */
static unsigned first_gap(const struct logfile *lf)
{
	struct backup found;
	unsigned n = 1;
	while (n <= lf->backups && find_backup(lf, n, &found))
		n++;
	return n;
}

static int move_up(const struct logfile *lf, unsigned n)
{
	char from[NAME_SIZE], to[NAME_SIZE];
	struct backup found;
	if (!find_backup(lf, n, &found))
		return 0;
	backup_name(from, lf, n, found.form);
	backup_name(to, lf, n + 1, found.form);
	return sys_renameat(lf->dir, from, lf->dir, to) == -1 && errno != ENOENT ? -errno : 0;
}

static void remove_oldest(const struct logfile *lf)
{
	struct backup found;
	int64_t held = 0, bound = (int64_t)lf->backups * lf->max_size + lf->max_line;
	/* What cannot be removed now is tried again at the next rotation. */
	for (unsigned n = 0; next_backup(lf, &n, &found);) {
		if (lf->max_size > 0 && held + found.st.st_size > bound)
			(void)remove_backup(lf, n, found.form);
		else
			held += found.st.st_size;
	}
	/* Left from a time when more were kept. */
	for (unsigned n = lf->backups + 1; find_backup(lf, n, &found); n++)
		(void)remove_backup(lf, n, found.form);
}

int logfile_rotate(struct logfile *lf)
{
	unsigned gap = first_gap(lf);
	if (gap > lf->backups) {
		struct backup last;
		int rc = find_backup(lf, lf->backups, &last)
				 ? remove_backup(lf, lf->backups, last.form)
				 : 0;
		if (rc < 0)
			return rc;
		gap = lf->backups;
	}
	/* With 0 backups the line above removed the file itself. */
	for (unsigned n = gap; n > 0; n--) {
		int rc = move_up(lf, n - 1);
		if (rc < 0)
			return rc;
	}
	logfile_close(lf);
	remove_oldest(lf);
	return 0;
}

/* --- age --- */

static int64_t birth_of(const struct logfile *lf, const struct stat *st)
{
	for (size_t i = 0; i < lf->birth_count; i++)
		if (lf->births[i].inode == st->st_ino)
			return lf->births[i].boot_ms;
	int64_t written = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
	int64_t age = clock_real_ms() - written;
	return clock_boot_ms() - (age > 0 ? age : 0);
}

void logfile_expire(struct logfile *lf)
{
	struct backup found;
	if (lf->max_age_ms == 0 || lf->backups == 0)
		return;
	struct logfile_birth *births = calloc(lf->backups, sizeof(*births));
	unsigned *numbers = calloc(lf->backups, sizeof(*numbers));
	unsigned count = 0;
	for (unsigned n = 0; births && numbers && next_backup(lf, &n, &found);) {
		numbers[count] = n;
		births[count++] = (struct logfile_birth) { found.st.st_ino,
			birth_of(lf, &found.st) };
	}
	int64_t limit = clock_boot_ms() - lf->max_age_ms;
	/* Only from the end: a younger one is never left behind a gap. */
	for (; count > 0 && births[count - 1].boot_ms < limit; count--)
		if (find_backup(lf, numbers[count - 1], &found))
			(void)remove_backup(lf, numbers[count - 1], found.form);
	free(numbers);
	free(lf->births);
	lf->birth_count = births ? count : 0;
	if (lf->birth_count == 0)
		free(TAKE(births)); /* mostly */
	lf->births = births;
}

/* --- compression --- */

void logfile_tidy(struct logfile *lf)
{
	char part[NAME_SIZE];
	struct backup found;
	part_name(part, lf);
	(void)sys_unlinkat(lf->dir, part, 0);
	for (unsigned n = 0; next_backup(lf, &n, &found);)
		if (found.form == PLAIN && find_form(lf, n, ZST, &found))
			(void)remove_backup(lf, n, ZST);
}

static int open_backup(const struct logfile *lf, unsigned n, struct stat *st)
{
	char name[NAME_SIZE];
	backup_name(name, lf, n, PLAIN);
	int fd = sys_open_beneath(lf->dir, name, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
	if (fd == -1)
		return -errno;
	if (fstat(fd, st) == 0 && S_ISREG(st->st_mode))
		return fd;
	sys_close(fd);
	return -EINVAL;
}

int logfile_pack(struct logfile *lf, struct logfile_packing *out)
{
	char part[NAME_SIZE];
	struct backup found;
	struct stat st;
	unsigned n = 0;
	/* What is no plain file there is not ours to compress. */
	do
		if (!next_backup(lf, &n, &found))
			return -ENOENT;
	while (found.form != PLAIN || !S_ISREG(found.st.st_mode));
	int from = open_backup(lf, n, &st);
	if (from < 0)
		return from;
	part_name(part, lf);
	(void)sys_unlinkat(lf->dir, part, 0);
	int to = sys_open_beneath(lf->dir, part, O_WRONLY | O_CREAT | O_EXCL, 0640);
	if (to == -1) {
		int rc = -errno;
		sys_close(from);
		return rc;
	}
	*out = (struct logfile_packing) { .from = from, .to = to, .inode = st.st_ino };
	return 0;
}

/* The number that the backup has now; 0 when it is gone. */
static unsigned number_of(const struct logfile *lf, ino_t inode)
{
	struct backup found;
	for (unsigned n = 0; next_backup(lf, &n, &found);)
		if (found.form == PLAIN && found.st.st_ino == inode)
			return n;
	return 0;
}

static int take_place(struct logfile *lf, const struct logfile_packing *packing, const char *part)
{
	char name[NAME_SIZE];
	struct stat from, to, named;
	unsigned n = number_of(lf, packing->inode);
	if (n == 0)
		return -ESTALE;
	if (fstat(packing->from, &from) == -1 || fstat(packing->to, &to) == -1 ||
		fstatat(lf->dir, part, &named, AT_SYMLINK_NOFOLLOW) == -1)
		return -errno;
	if (named.st_ino != to.st_ino)
		return -ESTALE;
	/* Its age is that of its last line. */
	const struct timespec times[2] = { from.st_atim, from.st_mtim };
	if (futimens(packing->to, times) == -1)
		return -errno;
	backup_name(name, lf, n, ZST);
	if (sys_renameat(lf->dir, part, lf->dir, name) == -1)
		return -errno;
	int rc = remove_backup(lf, n, PLAIN);
	if (rc < 0) {
		(void)remove_backup(lf, n, ZST);
		return rc;
	}
	for (size_t i = 0; i < lf->birth_count; i++)
		if (lf->births[i].inode == packing->inode)
			lf->births[i].inode = to.st_ino;
	return 0;
}

int logfile_packed(struct logfile *lf, struct logfile_packing *packing, bool whole)
{
	char part[NAME_SIZE];
	part_name(part, lf);
	int rc = whole ? take_place(lf, packing, part) : 0;
	if (!whole || rc < 0)
		(void)sys_unlinkat(lf->dir, part, 0);
	if (packing->from != -1)
		sys_close(packing->from);
	if (packing->to != -1)
		sys_close(packing->to);
	packing->from = packing->to = -1;
	return rc;
}
