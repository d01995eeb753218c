/* SPDX-License-Identifier: MIT */
/* A timer on the wall clock that never fires, but is cancelled when that clock is set. The kernel
 * cancels it after a suspend too, so one descriptor tells both. */
#include "base/clock.h"
#include "base/mem.h"
#include "base/sys.h"
#include "loop/loop.h"
#include <stdlib.h>
#include <sys/timerfd.h>

/* Less is what lies between the readings of two clocks. */
enum { NOTHING_MS = 5 };

struct loop_clock {
	struct loop_io *io;
	int fd;
	int64_t real_ms,
		boot_ms; /* of the wall clock against boot time, of that against monotonic time */
	loop_clock_cb cb;
	void *arg;
};

static int arm(int fd)
{
	/* In about 10,000 years: the kernel's own end of time is later. */
	const struct itimerspec far = { .it_value.tv_sec = INT64_C(315000000000) };
	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL);
}

/* @return what it is more than before, 0 when that is nothing */
static int64_t change(int64_t *known_ms, int64_t now_ms)
{
	int64_t by_ms = now_ms - *known_ms;
	*known_ms = now_ms;
	return by_ms > -NOTHING_MS && by_ms < NOTHING_MS ? 0 : by_ms;
}

static void on_cancelled(void *arg, int fd, unsigned events UNUSED)
{
	struct loop_clock *c = arg;
	uint64_t ignored;
	/* ECANCELED is the news; a timer that was cancelled is armed anew before the clocks are
	 * read, so that no step falls between. */
	(void)sys_read(fd, &ignored, sizeof(ignored));
	(void)arm(fd);
	int64_t boot_ms = clock_boot_ms();
	int64_t set_ms = change(&c->real_ms, clock_real_ms() - boot_ms);
	int64_t slept_ms = change(&c->boot_ms, boot_ms - clock_mono_ms());
	if (set_ms || slept_ms)
		c->cb(c->arg, set_ms, slept_ms);
}

struct loop_clock *loop_clock_new(struct loop *loop, loop_clock_cb cb, void *arg)
{
	struct loop_clock *c = NEW(struct loop_clock);
	if (!c)
		return NULL;
	*c = (struct loop_clock) { .cb = cb, .arg = arg };
	c->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (c->fd != -1 && arm(c->fd) == 0)
		c->io = loop_io_new(loop, c->fd, LOOP_READ, on_cancelled, c);
	if (!c->io) {
		loop_clock_free(c);
		return NULL;
	}
	c->real_ms = clock_real_ms() - clock_boot_ms();
	c->boot_ms = clock_boot_ms() - clock_mono_ms();
	return c;
}

void loop_clock_free(struct loop_clock *c)
{
	if (!c)
		return;
	loop_io_free(c->io);
	closep(&c->fd);
	free(c);
}
