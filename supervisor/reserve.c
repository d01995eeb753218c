/* SPDX-License-Identifier: MIT */
#include "reserve.h"

#include "base/compiler.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { ROOM_MAX = 8 };

static int open_one(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd == -1 ? -errno : fd;
}

void reserve_init(struct reserve *r)
{
	for (int i = 0; i < RESERVE_FDS; i++)
		r->fds[i] = -1;
	reserve_take(r);
}

void reserve_finish(struct reserve *r)
{
	reserve_give(r, RESERVE_FDS);
}

int reserve_take(struct reserve *r)
{
	for (int i = 0; i < RESERVE_FDS; i++) {
		int fd = r->fds[i] == -1 ? open_one() : r->fds[i];
		if (fd < 0)
			return fd;
		r->fds[i] = fd;
	}
	return 0;
}

/* From the end, as reserve_take() fills from the beginning. */
void reserve_give(struct reserve *r, int count)
{
	for (int i = RESERVE_FDS - 1; i >= 0 && count > 0; i--) {
		if (r->fds[i] == -1)
			continue;
		close(r->fds[i]);
		r->fds[i] = -1;
		count--;
	}
}

bool reserve_lend(struct reserve *r)
{
	int have = 0;
	reserve_take(r);
	for (int i = 0; i < RESERVE_FDS; i++)
		have += r->fds[i] != -1;
	if (have <= RESERVE_KEPT)
		return false;
	reserve_give(r, 1);
	return true;
}

int reserve_room(struct reserve *r, int count)
{
	int fds[ROOM_MAX], n = 0;
	int rc = reserve_take(r);
	for (; rc == 0 && n < MIN(count, (int)ROOM_MAX); n++) {
		fds[n] = open_one();
		if (fds[n] < 0) {
			rc = fds[n];
			break;
		}
	}
	while (n > 0)
		close(fds[--n]);
	return rc;
}
