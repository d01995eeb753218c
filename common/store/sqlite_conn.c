/* SPDX-License-Identifier: MIT */
/* The connection: files with the right modes, pragmas, the gate. */
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "store/sqlite_engine.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MODE = 0660, BUSY_MS = 5000 };

void sqlite_conn_init(struct sqlite_conn *c, const char *path, const char *lock_path, bool create,
	int64_t busy_ms)
{
	*c = (struct sqlite_conn) { .path = path,
		.lock_path = lock_path,
		.create = create,
		.busy_ms = busy_ms > 0 ? (int)busy_ms : BUSY_MS,
		.lock_fd = -1 };
}

static void close_all(struct sqlite_conn *c)
{
	sqlite_statements_free(c);
	sqlite_tables_doubt(c);
	if (c->db && sqlite3_close(c->db) != SQLITE_OK)
		assert(!"a statement outlived the connection");
	c->db = NULL;
	closep(&c->lock_fd);
	c->lock_fd = -1;
}

void sqlite_conn_finish(struct sqlite_conn *c)
{
	close_all(c);
	table_texts_finish(&c->texts);
}

int sqlite_fail(struct sqlite_conn *c, int rc, const char *doing)
{
	/* The code may be of another call than the connection's last. */
	const char *words = c->db && (sqlite3_errcode(c->db) & 0xff) == (rc & 0xff)
				    ? sqlite3_errmsg(c->db)
				    : sqlite3_errstr(rc);
	snprintf(c->error, sizeof(c->error), "%s: %s", doing, words);
	return rc;
}

int sqlite_run(struct sqlite_conn *c, const char *sql)
{
	int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? rc : sqlite_fail(c, rc, sql);
}

static bool cannot(struct sqlite_conn *c, const char *what, const char *path)
{
	snprintf(c->error, sizeof(c->error), "%s %s: %s", what, path, strerror(errno));
	return false;
}

/* Made ahead with the group's rights, because SQLite gives -wal and -shm the mode of the database
 * and workers may run as different users. */
static int make_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
	if (fd >= 0 && fchmod(fd, FILE_MODE) < 0) {
		int saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* Never opens a database that is there: closing it again would drop the POSIX locks that another
 * connection of this process holds. */
static bool database_exists(struct sqlite_conn *c)
{
	if (access(c->path, F_OK) == 0)
		return true;
	if (errno == ENOENT && c->create) {
		CLEANUP(closep) int fd = make_file(c->path);
		if (fd >= 0 || errno == EEXIST)
			return true;
	}
	return cannot(c, "open", c->path);
}

static bool open_lock(struct sqlite_conn *c)
{
	closep(&c->lock_fd);
	c->lock_fd = open(c->lock_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (c->lock_fd < 0 && errno == ENOENT)
		c->lock_fd = make_file(c->lock_path);
	if (c->lock_fd < 0 && errno == EEXIST)
		c->lock_fd = open(c->lock_path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return c->lock_fd >= 0 ? true : cannot(c, "open", c->lock_path);
}

bool sqlite_gate_enter(struct sqlite_conn *c)
{
	struct stat st;
	/* Someone who cleans up may have removed it; others then wait at a new one. */
	if ((fstat(c->lock_fd, &st) < 0 || st.st_nlink == 0) && !open_lock(c))
		return false;
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	while (fcntl(c->lock_fd, F_OFD_SETLKW, &all) < 0)
		if (errno != EINTR)
			return cannot(c, "lock", c->lock_path);
	return true;
}

void sqlite_gate_leave(struct sqlite_conn *c)
{
	struct flock all = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
	if (c->lock_fd >= 0)
		(void)fcntl(c->lock_fd, F_OFD_SETLK, &all);
}

/* NORMAL may lose the last commits at a power cut. With FULL the rollback journal of the change to
 * WAL may be back after one, because its removal is not synced, and undo the database and its WAL
 * with it; EXTRA syncs the folder too, and costs nothing more once it is WAL. */
static const char *durability(void)
{
	if (MUTANT(COMMIT_NOT_SYNCED))
		return "PRAGMA synchronous=NORMAL";
	return MUTANT(JOURNAL_COMES_BACK) ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=EXTRA";
}

/* Before the first statement: what the promises rest on. */
static bool open_database(struct sqlite_conn *c)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int rc = sqlite3_open_v2(c->path, &c->db, flags, NULL);
	if (rc != SQLITE_OK) {
		sqlite_fail(c, rc, c->path);
		return false;
	}
	sqlite3_busy_timeout(c->db, c->busy_ms);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	return sqlite_run(c, "PRAGMA trusted_schema=OFF") == SQLITE_OK &&
	       sqlite_run(c, "PRAGMA temp_store=MEMORY") == SQLITE_OK &&
	       sqlite_run(c, durability()) == SQLITE_OK &&
	       sqlite_run(c, "PRAGMA journal_mode=WAL") == SQLITE_OK &&
	       sqlite_run(c, "PRAGMA journal_size_limit=67108864") == SQLITE_OK &&
	       /* A page that is written again and again is copied back once for all of them. */
	       sqlite_run(c, "PRAGMA wal_autocheckpoint=4000") == SQLITE_OK &&
	       sqlite_run(c, "PRAGMA cache_size=-16384") == SQLITE_OK;
}

static bool open_all(struct sqlite_conn *c)
{
	if (!database_exists(c) || !open_lock(c) || !sqlite_gate_enter(c))
		return false;
	/* The change to WAL does not wait for others: one process at a time. */
	bool ok = open_database(c);
	sqlite_gate_leave(c);
	return ok;
}

bool sqlite_conn_ready(struct sqlite_conn *c)
{
	int moved = 0;
	/* A database that was replaced or deleted would take our rows into nowhere. */
	if (c->db &&
		(sqlite3_file_control(c->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved) != SQLITE_OK ||
			moved))
		close_all(c);
	if (c->db || open_all(c))
		return true;
	close_all(c);
	return false;
}

void sqlite_conn_doubt(struct sqlite_conn *c, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_FULL:
	case SQLITE_INTERRUPT: return;
	default: close_all(c);
	}
}
