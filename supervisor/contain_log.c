/* SPDX-License-Identifier: MIT */
/* Whose output a process writes to, without asking a file system. */
#include "base/mem.h"
#include "base/str.h"
#include "contain.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Its link and fdinfo tell it: stat() would ask the file system, and a dead mount never answers. */
static bool is_log(pid_t pid, int fd, const struct contain_target *t)
{
	char path[64], text[4096];
	unsigned long long inode = 0;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	ssize_t n = readlink(path, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	const char *name = strrchr(text, '/');
	/* When somebody removed it " (deleted)" follows. */
	if (!name || !str_starts(name + 1, t->slot))
		return false;
	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)pid, fd);
	CLEANUP(closep) int info = open(path, O_RDONLY | O_CLOEXEC);
	n = info == -1 ? -1 : read(info, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	const char *line = strstr(text, "\nino:");
	return line && sscanf(line, "\nino: %llu", &inode) == 1 && inode == t->log_inode;
}

bool contain_holds_log(pid_t pid, const struct contain_target *t)
{
	return is_log(pid, STDOUT_FILENO, t) || is_log(pid, STDERR_FILENO, t);
}
