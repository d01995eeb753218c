/* SPDX-License-Identifier: MIT */
#include "limit/adapt.h"

#include "base/compiler.h"
#include "base/mem.h"

enum adapt_mode {
	SEEK,	 /* twice as many, as long as that pays */
	KEEP,	 /* measures the level that is kept */
	CLIMB,	 /* tries a few more */
	DOWN,	 /* tries fewer */
	RECOVER, /* after a cut: back to what was not too many, without measuring */
};

enum {
	BEGIN_LEVEL = 2,
	SAMPLE_MIN = 8,
	TRY_MIN = 16,
	LOOK_EACH = 4, /* who looks after each call sees a chance difference sooner or later */
	KEEP_MIN = 16,
	SAMPLE_MAX = 300,
	JUDGE_BAD_MIN = 10, /* ends before a share of failures says anything */
};
#define SECOND	       INT64_C(1000000)
#define TRY_MAX_US     (8 * SECOND)
#define DOUBT_MIN_US   (10 * SECOND)
#define DOUBT_MAX_US   (60 * SECOND)
#define DOWN_MIN_US    (5 * SECOND)
#define DOWN_MAX_US    (60 * SECOND)
#define DELAY_FIRST_US (SECOND / 4)
#define DELAY_MAX_US   (60 * SECOND)
#define DELAY_NONE_US  (SECOND / 50)

static void measure_anew(struct adapt *a, int64_t now_us)
{
	a->now = (struct adapt_sample) { .level = a->allowed };
	a->good = a->bad = a->busy_us = 0;
	a->measured_us = now_us;
}

static void set_level(struct adapt *a, int64_t level, enum adapt_mode mode, int64_t now_us)
{
	a->skip = level;
	a->allowed = level;
	a->mode = mode;
	a->changed_us = now_us;
	measure_anew(a, now_us);
}

/* Whether there was work for nearly all that was allowed: else nothing can be told of more. */
static bool is_used(const struct adapt *a, int64_t now_us)
{
	return 4 * a->busy_us >= 3 * a->allowed * (now_us - a->measured_us);
}

static void sample_add(struct adapt_sample *s, double us)
{
	double before = us - s->mean_us;
	s->count++;
	s->mean_us += before / (double)s->count;
	s->m2 += before * (us - s->mean_us);
}

/* What was measured before counts on, unless it was another world. */
static void sample_merge(struct adapt_sample *kept, const struct adapt_sample *now)
{
	double apart = now->mean_us - kept->mean_us;
	int64_t count = kept->count + now->count;
	if (kept->level != now->level || kept->count == 0 || now->mean_us > 1.25 * kept->mean_us ||
		now->mean_us * 1.25 < kept->mean_us) {
		*kept = *now;
		return;
	}
	kept->m2 += now->m2 +
		    apart * apart * (double)kept->count * (double)now->count / (double)count;
	kept->mean_us += apart * (double)now->count / (double)count;
	kept->count = count;
	if (count > SAMPLE_MAX) {
		kept->m2 /= 2;
		kept->count /= 2;
	}
}

/* The square of the standard error of the mean. */
static double error_squared(const struct adapt_sample *s)
{
	return s->count < 2 ? 0 : s->m2 / (double)(s->count - 1) / (double)s->count;
}

/*
 * Whether the level that is tried is better than the one that was kept: more, and half of what that
 * could bring is there; or fewer, and less than half of that is lost. In both directions calls then
 * take less than halfway between "as long as before" and "longer as there are more".
 * @return 1, 0, -1: cannot be told yet
 */
static int is_better(const struct adapt *a, int64_t now_us)
{
	const struct adapt_sample *now = &a->now, *kept = &a->kept;
	double ratio = (double)now->level / (double)kept->level, half = (1 + ratio) / 2;
	double distance = kept->mean_us * half - now->mean_us;
	double noise = error_squared(now) + error_squared(kept) * half * half;
	if (now->count < MAX(TRY_MIN, 3 * now->level) || now->count % LOOK_EACH)
		return -1;
	bool long_enough = now->count >= SAMPLE_MAX || now_us - a->changed_us >= TRY_MAX_US;
	bool sure = distance * distance >= 6 * noise;
	return sure || long_enough ? distance > 0 : -1;
}

/* To try it again costs nothing but failures. */
static void believe_ceiling(struct adapt *a, int64_t level, bool failures, int64_t now_us)
{
	a->ceiling = level;
	a->ceiling_until_us = now_us + (failures ? a->doubt_us : DOUBT_MIN_US);
	a->doubt_us = failures ? MIN(2 * a->doubt_us, DOUBT_MAX_US) : a->doubt_us;
}

static void cut(struct adapt *a, int64_t now_us)
{
	if (a->allowed > 1) {
		believe_ceiling(a, a->allowed, true, now_us);
		set_level(a, a->allowed / 2, RECOVER, now_us);
		return;
	}
	int64_t longest = MAX(DELAY_FIRST_US, (int64_t)a->kept.mean_us);
	a->delay_us = MIN(MAX(2 * a->delay_us, longest), DELAY_MAX_US);
	set_level(a, 1, KEEP, now_us);
}

/* The level that is tried is not for us. */
static void go_back(struct adapt *a, int64_t now_us)
{
	if (a->allowed > a->kept.level) {
		believe_ceiling(a, a->allowed, a->bad > 0, now_us);
	} else {
		a->look_down_us = now_us + a->down_wait_us;
		a->down_wait_us = MIN(2 * a->down_wait_us, DOWN_MAX_US);
		a->best_us = (int64_t)a->kept.mean_us;
	}
	set_level(a, a->kept.level, KEEP, now_us);
}

static int64_t step(int64_t cap)
{
	return MAX(cap / 20, INT64_C(1));
}

/* One more step up, as far as the cap and what was too many allow. @return the same: none */
static int64_t more(const struct adapt *a, int64_t to, int64_t cap)
{
	to = MIN(to, cap);
	if (a->ceiling > 0)
		to = MIN(to, a->ceiling - 1);
	return MAX(to, a->allowed);
}

static void adopt(struct adapt *a, int64_t cap, int64_t now_us)
{
	bool up = a->allowed > a->kept.level;
	if (up && a->allowed >= a->ceiling) {
		a->ceiling = 0;
		a->doubt_us = DOUBT_MIN_US;
	}
	if (!up) {
		/* What is now above may have been good once: it is looked at again soon. */
		a->down_wait_us = DOWN_MIN_US;
		a->look_down_us = 0;
		a->doubt_us = DOUBT_MIN_US;
		believe_ceiling(a, a->kept.level, false, now_us);
	}
	a->kept = a->now;
	a->best_us = (int64_t)a->now.mean_us;
	int64_t next = a->mode == SEEK ? more(a, 2 * a->allowed, cap) : a->allowed;
	set_level(a, next, next > a->allowed ? SEEK : KEEP, now_us);
}

/* A whole sample of the level that is kept. */
static void look_around(struct adapt *a, int64_t cap, int64_t now_us)
{
	bool used = is_used(a, now_us);
	sample_merge(&a->kept, &a->now);
	if (a->best_us == 0)
		a->best_us = (int64_t)a->kept.mean_us;
	if (a->ceiling && now_us >= a->ceiling_until_us)
		a->ceiling = 0;
	int64_t level = a->allowed, up = more(a, level + step(cap), cap);
	bool slower = a->kept.mean_us > 1.25 * (double)a->best_us;
	measure_anew(a, now_us);
	if (!used || a->delay_us)
		return;
	if (level > 1 && (slower || (now_us >= a->look_down_us && up == level))) {
		double share = slower ? (double)a->best_us / a->kept.mean_us : 1;
		int64_t to = MIN(
			level - MAX(level / 8, INT64_C(1)), (int64_t)((double)level * share + 0.5));
		set_level(a, MAX(to, INT64_C(1)), DOWN, now_us);
	} else if (up > level) {
		set_level(a, up, CLIMB, now_us);
	}
}

static void judge(struct adapt *a, int64_t cap, int64_t now_us)
{
	int64_t ends = a->good + a->bad;
	bool trying = a->mode == SEEK || a->mode == CLIMB || a->mode == RECOVER;
	if (a->bad >= 2 && trying && a->kept.level > 0 && 10 * a->bad > ends) {
		if (a->mode == RECOVER)
			a->kept.level = MAX(a->allowed - step(cap), INT64_C(1));
		a->kept.level = MIN(a->kept.level, a->allowed);
		go_back(a, now_us);
		return;
	}
	if (ends >= JUDGE_BAD_MIN && 5 * a->bad > ends) {
		cut(a, now_us);
		return;
	}
	if (10 * a->bad > ends)
		return;
	if (a->mode == RECOVER) {
		if (a->good < a->allowed)
			return;
		int64_t up = more(a, a->allowed + step(cap), cap);
		set_level(a, up, up > a->allowed ? RECOVER : KEEP, now_us);
		a->best_us = a->mode == KEEP ? 0 : a->best_us;
		return;
	}
	if (a->mode == KEEP || a->kept.count == 0) {
		if (a->now.count < MAX(a->mode == SEEK ? SAMPLE_MIN : KEEP_MIN, 4 * a->allowed))
			return;
		if (a->mode == SEEK && is_used(a, now_us))
			adopt(a, cap, now_us);
		else
			look_around(a, cap, now_us);
		return;
	}
	int better = is_better(a, now_us);
	if (better > 0 && is_used(a, now_us))
		adopt(a, cap, now_us);
	else if (better >= 0)
		go_back(a, now_us);
}

int64_t adapt_allowed(struct adapt *a, int64_t cap, int64_t now_us)
{
	if (a->allowed < 1 || a->doubt_us < DOUBT_MIN_US) {
		*a = (struct adapt) { .doubt_us = DOUBT_MIN_US, .down_wait_us = DOWN_MIN_US };
		set_level(a, MIN((int64_t)BEGIN_LEVEL, cap), SEEK, now_us);
	}
	if (a->allowed > cap)
		set_level(a, cap, KEEP, now_us);
	return a->allowed;
}

void adapt_ended(struct adapt *a, int64_t cap, enum limit_end how, int64_t began_us, int64_t now_us)
{
	(void)adapt_allowed(a, cap, now_us);
	if (began_us < a->changed_us)
		return; /* of another level; a cut that it asks for has been made */
	if (how == LIMIT_SLOWED) {
		cut(a, now_us);
		return;
	}
	if (a->skip == 0)
		a->busy_us += now_us - began_us;
	if (how != LIMIT_ANSWERED) {
		a->bad++;
		judge(a, cap, now_us);
		return;
	}
	a->good++;
	if (a->delay_us && a->allowed == 1)
		a->delay_us = a->delay_us < DELAY_NONE_US ? 0 : a->delay_us - a->delay_us / 4;
	if (a->skip > 0 && --a->skip == 0)
		a->measured_us = now_us;
	else if (a->skip == 0)
		sample_add(&a->now, (double)(now_us - began_us));
	judge(a, cap, now_us);
}
