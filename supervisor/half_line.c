/* SPDX-License-Identifier: MIT */
#include "half_line.h"

#include "base/sys.h"
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { CHUNK = 4096 };

/* Of `len` bytes in the pipe, which is empty then; '\n' when they cannot be read. */
static char last_byte(int pipe, ssize_t len)
{
	char bytes[CHUNK];
	char last = '\n';
	while (len > 0) {
		ssize_t n = sys_read(pipe, bytes, sizeof(bytes));
		if (n <= 0)
			break;
		last = bytes[n - 1];
		len -= n;
	}
	return last;
}

/* As many buffers as the FIFO, so that tee finds room for all. */
static void match_size(int fifo, int pipe)
{
	int size = fcntl(fifo, F_GETPIPE_SZ);
	if (size > fcntl(pipe, F_GETPIPE_SZ))
		fcntl(pipe, F_SETPIPE_SZ, size);
}

/* By way of the other pipe: the FIFO's own description blocks. */
bool half_line_put(int fifo, const int aux[2], const char *text, size_t len)
{
	if (sys_write(aux[1], text, len) != (ssize_t)len)
		return false;
	if (sys_splice(aux[0], fifo, len, SPLICE_F_NONBLOCK) == (ssize_t)len)
		return true;
	last_byte(aux[0], (ssize_t)len);
	return false;
}

enum half_line half_line_end(int fifo, const int aux[2])
{
	static const char mark[] = " [drover: line not ended]\n";
	int waiting = 0;
	if (ioctl(fifo, FIONREAD, &waiting) == 0 && waiting == 0)
		return HALF_LINE_IN_FILE;
	match_size(fifo, aux[1]);
	ssize_t n = sys_tee(fifo, aux[1], INT_MAX, SPLICE_F_NONBLOCK);
	if (n <= 0)
		return HALF_LINE_IN_FILE;
	if (last_byte(aux[0], n) == '\n')
		return HALF_LINE_NONE;
	return half_line_put(fifo, aux, mark, sizeof(mark) - 1) ? HALF_LINE_NONE
								: HALF_LINE_NO_ROOM;
}
