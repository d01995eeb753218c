/* SPDX-License-Identifier: MIT */
#include "where.h"

#include "base/err.h"
#include "base/str.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int add_socket(char out[PATH_MAX], const char *dir, const char *name, struct err *err)
{
	int n = snprintf(out, PATH_MAX, "%s%s", dir, name);
	if (n < 0 || n > SOCKET_PATH_MAX)
		return err_set(err, -ENAMETOOLONG,
			"the socket's path is %d bytes long, a Unix socket's may have %d: %s", n,
			SOCKET_PATH_MAX, out);
	return 0;
}

int where_sockets(char out[SOCKET_CANDIDATES][PATH_MAX], const char *option, struct err *err)
{
	const char *env = getenv("DROVER_SOCKET");
	const char *only = option ? option : env && *env ? env : NULL;
	if (only) {
		int rc = add_socket(out[0], only, "", err);
		return rc < 0 ? rc : 1;
	}
	int n = 0;
	/* Where an ordinary user's droverd has its runtime folder unless told otherwise
	 * (config/load.c). */
	const char *user = getenv("XDG_RUNTIME_DIR"), *home = getenv("HOME");
	bool has_user = user && *user == '/', has_home = home && *home == '/' && geteuid() != 0;
	if (has_user || has_home) {
		int rc = add_socket(out[n], has_user ? user : home,
			has_user ? "/drover/control.sock" : "/.local/state/drover/control.sock",
			err);
		if (rc < 0)
			return rc;
		n++;
	}
	snprintf(out[n++], PATH_MAX, "/run/drover/control.sock");
	return n;
}

/* NULL when only the caller (and root) can write it. */
static const char *others_can_write(const struct stat *st, bool is_folder)
{
	if (st->st_uid != geteuid() && !(is_folder && st->st_uid == 0))
		return "belongs to someone else";
	if (st->st_mode & S_IWOTH)
		return "can be written by everyone";
	/* Debian gives each user a group of his own: writable for that one is no wider. */
	if (st->st_mode & S_IWGRP && st->st_gid != getegid())
		return "can be written by a group";
	return NULL;
}

/* What droverd would read from here: the file, and conf.d, which whoever can write the folder could
 * make. */
static const char *not_safe(char *what, size_t size)
{
	static const char *const parts[] = { "drover.yaml", "conf.d", "." };
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		struct stat st;
		if (stat(parts[i], &st) == -1)
			continue;
		const char *why = others_can_write(&st, i > 0);
		if (why) {
			snprintf(what, size, "%s", i == 2 ? "this folder" : parts[i]);
			return why;
		}
	}
	return NULL;
}

int where_config(
	char out[PATH_MAX], const char *option, char *passed_over, size_t size, struct err *err)
{
	*passed_over = '\0';
	if (option) {
		if (!str_copy(out, PATH_MAX, option))
			return err_set(err, -ENAMETOOLONG, "the configuration's path is too long");
		return 0;
	}
	if (access("drover.yaml", F_OK) == 0) {
		char what[32];
		const char *why = not_safe(what, sizeof(what));
		if (!why) {
			str_copy(out, PATH_MAX, "drover.yaml");
			return 0;
		}
		snprintf(passed_over, size,
			"./drover.yaml is not taken: %s %s (name it: --config ./drover.yaml)", what,
			why);
	}
	if (access("/etc/drover/drover.yaml", F_OK) == 0) {
		str_copy(out, PATH_MAX, "/etc/drover/drover.yaml");
		return 0;
	}
	return err_set(err, -ENOENT,
		"no configuration: neither ./drover.yaml nor /etc/drover/drover.yaml is there; "
		"`drover init` "
		"writes a first one, --config FILE names another");
}

int where_program(char out[PATH_MAX], const char *name, struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return err_sys(err, -errno, "find the folder of this program");
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	static const char *const places[] = { "", "../sbin/", "../libexec/drover/" };
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		int len = snprintf(out, PATH_MAX, "%s/%s%s", self, places[i], name);
		if (len > 0 && len < PATH_MAX && access(out, X_OK) == 0)
			return 0;
	}
	return err_set(err, -ENOENT, "no program %s beside %s", name, self);
}
