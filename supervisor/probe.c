/* SPDX-License-Identifier: MIT */
#include "probe.h"

#include "base/compiler.h"
#include "base/mutant.h"
#include "loop/loop.h"
#include <errno.h>

enum {
	LATE_MS = 1000,	 /* a tick that is later than this is our fault: what was due is forgiven */
	SLACK_MS = 1000, /* the monitor has its own timeout; it is waited for a little longer */
};

static void on_timer(void *arg);

int probe_init(struct probe *probe, struct loop *loop, const struct probe_ops *ops, void *arg)
{
	*probe = (struct probe) { .loop = loop, .ops = ops, .arg = arg };
	probe->timer = loop_timer_new(loop, on_timer, probe);
	return probe->timer ? 0 : -ENOMEM;
}

void probe_finish(struct probe *probe)
{
	loop_timer_free(probe->timer);
	probe->timer = NULL;
}

static void arm(struct probe *probe, int64_t after_ms)
{
	after_ms = MAX(after_ms, (int64_t)0);
	probe->due_ms = loop_now_ms(probe->loop) + after_ms;
	loop_timer_start(probe->timer, after_ms);
}

void probe_begin(struct probe *probe, int64_t first_ms, int64_t interval_ms, int64_t timeout_ms,
	bool silence_fails)
{
	probe->interval_ms = interval_ms;
	probe->timeout_ms = timeout_ms;
	probe->silence_fails = silence_fails;
	probe->awaiting = probe->asked = false;
	probe->heard = PROBE_SILENT;
	probe->begun_ms = loop_now_ms(probe->loop);
	probe->first_ms = first_ms;
	arm(probe, first_ms);
}

void probe_adjust(struct probe *probe, int64_t first_ms, int64_t interval_ms, int64_t timeout_ms)
{
	bool moved = probe->asked ? interval_ms != probe->interval_ms : first_ms != probe->first_ms;
	probe->first_ms = first_ms;
	probe->interval_ms = interval_ms;
	probe->timeout_ms = timeout_ms;
	if (!moved || probe->awaiting || !loop_timer_armed(probe->timer))
		return;
	int64_t due_ms = probe->asked ? probe->sent_ms + interval_ms : probe->begun_ms + first_ms;
	arm(probe, due_ms - loop_now_ms(probe->loop));
}

void probe_end(struct probe *probe)
{
	probe->awaiting = false;
	loop_timer_stop(probe->timer);
}

/* The next question keeps to the interval counted from the last one's sending. */
static void settle(
	struct probe *probe, enum probe_verdict verdict, int64_t latency_ms, const char *detail)
{
	int64_t wait_ms = probe->sent_ms + probe->interval_ms - loop_now_ms(probe->loop);
	probe->awaiting = false;
	arm(probe, wait_ms < -LATE_MS ? probe->spread_ms : wait_ms);
	probe->ops->verdict(probe->arg, verdict, latency_ms, detail);
}

bool probe_answer(
	struct probe *probe, uint64_t seq, bool ok, int64_t latency_ms, const char *detail)
{
	if ((!probe->awaiting || seq != probe->seq) && !MUTANT(STALE_ANSWER_COUNTS))
		return false;
	if (latency_ms < 0)
		latency_ms = loop_now_ms(probe->loop) - probe->sent_ms;
	settle(probe, ok ? PROBE_OK : PROBE_FAILED, latency_ms, detail);
	return true;
}

void probe_drop(struct probe *probe, const char *detail)
{
	if (probe->awaiting)
		settle(probe, PROBE_UNKNOWN, -1, detail);
}

void probe_hear(struct probe *probe, bool well, const char *detail)
{
	if (!loop_timer_armed(probe->timer))
		return;
	if (probe->awaiting) {
		settle(probe, well ? PROBE_OK : PROBE_FAILED, -1, detail);
		return;
	}
	if (probe->heard == PROBE_HEARD_ILL || (well && probe->heard == PROBE_HEARD_WELL))
		return;
	probe->heard = well ? PROBE_HEARD_WELL : PROBE_HEARD_ILL;
	probe->ops->verdict(probe->arg, well ? PROBE_OK : PROBE_FAILED, -1, detail);
}

static void ask(struct probe *probe)
{
	probe->sent_ms = loop_now_ms(probe->loop);
	probe->asked = true;
	if (probe->heard != PROBE_SILENT) {
		probe->heard = PROBE_SILENT;
		arm(probe, probe->interval_ms);
		return;
	}
	probe->awaiting = true;
	probe->grace = false;
	if (!probe->ops->send(probe->arg, ++probe->seq)) {
		settle(probe, PROBE_UNKNOWN, -1, "could not be asked");
		return;
	}
	/* send() may have ended the instance, and with it this probe. */
	if (probe->awaiting)
		arm(probe, probe->timeout_ms + (probe->silence_fails ? 0 : SLACK_MS));
}

static void on_timer(void *arg)
{
	struct probe *probe = arg;
	int64_t late_ms = loop_now_ms(probe->loop) - probe->due_ms;
	if (!probe->awaiting && late_ms > LATE_MS && probe->spread_ms > 0) {
		arm(probe, probe->spread_ms);
		return;
	}
	if (!probe->awaiting) {
		ask(probe);
		return;
	}
	if (late_ms > LATE_MS) {
		settle(probe, PROBE_UNKNOWN, -1, "the supervisor itself was late");
		return;
	}
	/* Its answer may lie in the socket unread: one turn of the loop is given to read it. */
	if (!probe->grace) {
		probe->grace = true;
		loop_timer_start(probe->timer, 0);
		return;
	}
	if (probe->silence_fails)
		settle(probe, PROBE_FAILED, -1, "no answer in time");
	else
		settle(probe, PROBE_UNKNOWN, -1, "no answer from monitor");
}
