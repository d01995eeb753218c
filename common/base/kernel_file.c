/* SPDX-License-Identifier: MIT */
#include "base/kernel_file.h"

#include "base/compiler.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool kernel_file_read(const char *path, char *text, size_t size)
{
	errno = 0;
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, text, size - 1);
	text[n > 0 ? n : 0] = '\0';
	return n > 0;
}
