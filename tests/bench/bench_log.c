/* SPDX-License-Identifier: MIT */
/*
 * The ends of a log pump, for test_log_bench.py:
 *   bench_log write BYTES SIZE    lines of 100 bytes to standard output, SIZE bytes a write
 *   bench_log splice FILE         standard input to FILE by splice, and
 *   bench_log copy FILE           by read and write: the limits of what a pump can do, without
 *                                 lines, rotation, or anything that survives a SIGKILL
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 100, CHUNK = 65536, SIZE_MAX_ = 65500 };

static int put(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);
		if (n <= 0)
			return 1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_lines(long long bytes, size_t size)
{
	static char text[SIZE_MAX_];
	if (size == 0 || size > sizeof(text) || size % LINE)
		return 2;
	memset(text, '.', size);
	for (size_t at = LINE; at <= size; at += LINE)
		text[at - 1] = '\n';
	for (long long done = 0; done < bytes; done += (long long)size)
		if (put(STDOUT_FILENO, text, size))
			return 1;
	return 0;
}

static int pump(const char *path, int by_splice)
{
	static char text[CHUNK];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	ssize_t n;
	if (fd == -1)
		return 1;
	if (by_splice) {
		while ((n = splice(STDIN_FILENO, NULL, fd, NULL, 1 << 20, 0)) > 0)
			;
		return n != 0;
	}
	while ((n = read(STDIN_FILENO, text, sizeof(text))) > 0)
		if (put(fd, text, (size_t)n))
			return 1;
	return n != 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "write") == 0)
		return write_lines(atoll(argv[2]), (size_t)atoll(argv[3]));
	if (argc == 3 && strcmp(argv[1], "splice") == 0)
		return pump(argv[2], 1);
	if (argc == 3 && strcmp(argv[1], "copy") == 0)
		return pump(argv[2], 0);
	fprintf(stderr, "bench_log write BYTES SIZE | splice FILE | copy FILE\n");
	return 2;
}
