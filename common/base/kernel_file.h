/* SPDX-License-Identifier: MIT */
#pragma once
/* Files that the kernel makes while they are read: /proc, /sys. */
#include <stdbool.h>
#include <stddef.h>

/**
 * Reads the file, or as much as fits, by one read: what it says is of one instant. Does not block.
 * @param text  gets it with a NUL behind it; on failure an empty text
 * @return false, with errno: it cannot be read; with errno 0: it is empty
 */
bool kernel_file_read(const char *path, char *text, size_t size);
