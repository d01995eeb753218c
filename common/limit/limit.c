/* SPDX-License-Identifier: MIT */
#include "limit/limit.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "limit/limit_file.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

enum {
	MAX_SETS = 8,
	BUSY_MS = 20,	   /* the file is locked by someone who may be stopped */
	HELD_POLL_MS = 25, /* a place that another process holds: nobody tells us when it is free */
	RETRY_MS = 1000,   /* no key can be had, no room in the file */
	WAIT_MAX_MS = 60000,
	SWEEP_US = 1000000, /* how often the places of dead holders are looked for */
	/* A call without an answer may still be on its way: a lost segment is sent again after 0.2,
	   0.4 and 0.8 s. */
	LATE_US = 2000000,
	OPENING_MAX = 64,	 /* calls at a time: from here on a reopened set is simply open */
	NEW_BUDGET_US = 2000000, /* a budget that ends so much later is another one */
	SEED_CALL_US = 60000000,
	HINTS = 256,
};

/* What is told to the file when its lock could not be had at once: a call's end, or a key's
 * closing. */
struct late {
	struct limit_permit permit; /* id 0: a closing */
	struct limit_ending ending;
	uint64_t hash;
	int64_t at_us;
};
struct limits {
	struct limit_file file;
	uint32_t sequence;
	struct late *late;
	size_t late_count, late_cap;
	struct {
		uint64_t hash;
		uint32_t index;
	} hints[HINTS];
};

int limits_open(struct limits **out, const char *path, struct err *err)
{
	struct limits *l = NEW(struct limits);
	if (!l)
		return err_set(err, -ENOMEM, "open limits %s", path);
	int rc = limit_file_open(&l->file, path, err);
	if (rc < 0) {
		free(l);
		return rc;
	}
	*out = l;
	return 0;
}

void limits_close(struct limits *l)
{
	if (!l)
		return;
	limit_file_close(&l->file);
	free(l->late);
	free(l);
}

static uint64_t key_hash(const char *key)
{
	uint64_t hash = str_hash(key, strlen(key));
	return hash ? hash : 1;
}

/*
 * When the place may be used again. The server's clock is not ours: it may run fast by the 500 ppm
 * that time daemons allow, so a period counts a thousandth and a millisecond longer.
 */
static int64_t free_at(const struct place *p, int64_t period_us)
{
	if (p->start_us == 0)
		return 0;
	int64_t hold = period_us ? period_us + period_us / 1000 + 1000 : 0;
	if (MUTANT(LIMIT_STAMPED_AT_SENDING))
		return p->start_us + hold;
	return p->end_us == 0 ? INT64_MAX : p->end_us + hold;
}

/* A dead holder's calls ended at the latest when its death was found. */
static void sweep(struct limits *l, struct entry *e, int64_t now)
{
	e->swept_us = now;
	for (size_t i = 0; i < LIMIT_WINDOWS; i++) {
		struct window *w = &e->windows[i];
		struct place *ring = limit_file_ring(&l->file, w);
		for (uint32_t p = 0; p < w->span; p++)
			if (ring[p].start_us && ring[p].end_us == 0 &&
				!limit_file_alive(&l->file, ring[p].holder))
				ring[p].end_us = w->period_us ? now + LATE_US : now;
	}
}

static bool entry_idle(struct limits *l, struct entry *e, int64_t now)
{
	if (e->quiet_until_us > now || e->closed_until_us > now || e->reset_us > now)
		return false;
	sweep(l, e, now);
	for (size_t i = 0; i < LIMIT_WINDOWS; i++) {
		const struct window *w = &e->windows[i];
		const struct place *ring = limit_file_ring(&l->file, w);
		for (uint32_t p = 0; p < w->span; p++)
			if (free_at(&ring[p], w->period_us) > now)
				return false;
	}
	return true;
}

static void entry_clear(struct limits *l, uint32_t index)
{
	struct limit_file_header *h = l->file.map;
	struct entry *e = &h->entries[index];
	__atomic_store_n(&h->hash[index], 0, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < LIMIT_WINDOWS; i++) {
		limit_file_drop_ring(&l->file, &e->windows[i]);
		e->windows[i] = (struct window) { .period_us = -1 };
	}
	e->last_start_us = e->quiet_until_us = e->closed_until_us = e->swept_us = 0;
	e->opening = e->remaining = e->reset_us = e->min_delay_us = e->adaptive = 0;
	e->adapt = (struct adapt) { 0 };
	e->name[0] = '\0';
}

/* Looks at some of the keys, in turn, for one that nobody needs any more. */
static int64_t recycle(struct limits *l, int64_t now)
{
	struct limit_file_header *h = l->file.map;
	for (uint32_t i = 0; i < LIMIT_KEYS; i++) {
		uint32_t index = h->recycle_next++ % LIMIT_KEYS;
		if (!entry_idle(l, &h->entries[index], now))
			continue;
		entry_clear(l, index);
		return index;
	}
	return -1;
}

/* @return the entry's index, -1 when it is not there (or, with `create`, cannot be made) */
static int64_t find_entry(struct limits *l, uint64_t hash, bool create, int64_t now)
{
	struct limit_file_header *h = l->file.map;
	uint32_t hint = l->hints[hash % HINTS].index;
	if (l->hints[hash % HINTS].hash == hash && h->hash[hint] == hash)
		return hint;
	int64_t found = -1, empty = -1;
	for (uint32_t i = 0; i < LIMIT_KEYS && found < 0; i++) {
		if (h->hash[i] == hash)
			found = i;
		else if (h->hash[i] == 0 && empty < 0)
			empty = i;
	}
	if (found < 0 && create) {
		found = empty >= 0 ? empty : recycle(l, now);
		if (found >= 0) {
			entry_clear(l, (uint32_t)found); /* a maker that was killed left pieces */
			__atomic_store_n(&h->hash[found], hash, __ATOMIC_SEQ_CST);
		}
	}
	if (found >= 0) {
		l->hints[hash % HINTS].hash = hash;
		l->hints[hash % HINTS].index = (uint32_t)found;
	}
	return found;
}

static bool entry_sound(struct limits *l, const struct entry *e)
{
	for (size_t i = 0; i < LIMIT_WINDOWS; i++)
		if (!limit_file_window_sound(&l->file, &e->windows[i]))
			return false;
	return true;
}

/*
 * A window of a new period does not forget what was called before it was configured: it begins with
 * what the longest of the present windows remembers.
 */
static int seed(struct limits *l, size_t entry, size_t window, size_t count)
{
	struct entry *e = &l->file.map->entries[entry];
	size_t from = LIMIT_WINDOWS;
	for (size_t i = 0; i < LIMIT_WINDOWS; i++)
		if (i != window && e->windows[i].period_us > 0 && e->windows[i].span &&
			(from == LIMIT_WINDOWS ||
				e->windows[i].period_us > e->windows[from].period_us))
			from = i;
	size_t span = from == LIMIT_WINDOWS ? 0 : e->windows[from].span;
	int rc = limit_file_grow(&l->file, entry, window, MAX(count, span));
	if (rc < 0 || span == 0)
		return rc;
	e = &l->file.map->entries[entry]; /* the map may have moved */
	struct place *to = limit_file_ring(&l->file, &e->windows[window]);
	const struct place *ring = limit_file_ring(&l->file, &e->windows[from]);
	for (size_t i = 0; i < span; i++) {
		to[i] = ring[i];
		/* Its permit knows nothing of this copy and will not end it: by then it has. */
		if (to[i].start_us && to[i].end_us == 0)
			to[i].end_us = clock_boot_us() + SEED_CALL_US;
	}
	e->windows[window].span = (uint32_t)span;
	return 0;
}

static bool wanted(const struct limit_spec *spec, int64_t period_us)
{
	for (size_t i = 0; i < spec->window_count; i++)
		if (spec->windows[i].period_ms * 1000 == period_us)
			return true;
	return false;
}

/* The window of this period, made when it is not there. @return its index or negative errno */
static int find_window(struct limits *l, size_t entry, const struct limit_spec *spec,
	const struct limit_window *want)
{
	struct window *windows = l->file.map->entries[entry].windows;
	int64_t period_us = want->period_ms * 1000;
	int unused = -1, unwanted = -1;
	for (int i = 0; i < LIMIT_WINDOWS; i++) {
		if (windows[i].period_us == period_us) {
			if (limit_ring_places(&windows[i]) >= (size_t)want->count)
				return i;
			int rc = limit_file_grow(&l->file, entry, (size_t)i, (size_t)want->count);
			return rc < 0 ? rc : i;
		}
		if (windows[i].period_us < 0)
			unused = i;
		else if (!wanted(spec, windows[i].period_us))
			unwanted = i;
	}
	int at = unused >= 0 ? unused : unwanted;
	assert(at >= 0); /* the spec has at most as many windows as an entry */
	limit_file_drop_ring(&l->file, &windows[at]);
	windows[at] = (struct window) { .period_us = -1 };
	int rc = period_us ? seed(l, entry, (size_t)at, (size_t)want->count)
			   : limit_file_grow(&l->file, entry, (size_t)at, (size_t)want->count);
	if (rc < 0)
		return rc;
	l->file.map->entries[entry].windows[at].period_us = period_us;
	return at;
}

/* Places at or beyond count are left from a larger limit and count as well. */
static int64_t window_place(
	struct limits *l, struct window *w, int64_t count, int64_t now, int64_t *opens_us)
{
	struct place *ring = limit_file_ring(&l->file, w);
	if ((int64_t)w->span <= count) {
		for (int64_t i = 0; i < count; i++) {
			int64_t p = (w->next + i) % count;
			if (p >= (int64_t)w->span || free_at(&ring[p], w->period_us) <= now)
				return p;
		}
	}
	int64_t used = 0, first = INT64_MAX, spare = -1, top = 0;
	for (uint32_t p = 0; p < w->span; p++) {
		int64_t at = free_at(&ring[p], w->period_us);
		if (at <= now && spare < 0)
			spare = p;
		if (at <= now)
			continue;
		used++;
		top = p + 1;
		first = MIN(first, at);
	}
	w->span = (uint32_t)MAX(top, MIN(count, (int64_t)w->span));
	if (used < count && spare >= 0)
		return spare;
	/* All held: the earliest end is now. */
	*opens_us = first == INT64_MAX ? now + MAX(w->period_us, HELD_POLL_MS * 1000) : first;
	return -1;
}

struct set {
	size_t entry;
	int window[LIMIT_WINDOWS];
	int64_t place[LIMIT_WINDOWS];
};

/* Calls under way; -1: nobody counts them. */
static int64_t active_calls(struct limits *l, const struct entry *e)
{
	for (size_t i = 0; i < LIMIT_WINDOWS; i++) {
		const struct window *w = &e->windows[i];
		if (w->period_us != 0)
			continue;
		const struct place *ring = limit_file_ring(&l->file, w);
		int64_t active = 0;
		for (uint32_t p = 0; p < w->span; p++)
			active += ring[p].start_us && ring[p].end_us == 0;
		return active;
	}
	return -1;
}

static int64_t concurrency(const struct limit_spec *spec)
{
	for (size_t i = 0; i < spec->window_count; i++)
		if (spec->windows[i].period_ms == 0)
			return spec->windows[i].count;
	return 0;
}

/* How many may be under way beside what the windows say. */
static int64_t most_active(struct entry *e, const struct limit_spec *spec, int64_t now)
{
	int64_t most = INT64_MAX, cap = concurrency(spec);
	if (spec->adaptive && cap > 0)
		most = adapt_allowed(&e->adapt, cap, now);
	if (e->opening > 0 && !MUTANT(LIMIT_REOPENS_AT_ONCE))
		most = MIN(most, e->opening);
	if (e->reset_us > now)
		most = MIN(most, MAX(e->remaining, INT64_C(0)));
	return most;
}

static int64_t gate_opens(
	struct limits *l, struct entry *e, const struct limit_spec *spec, int64_t now)
{
	int64_t opens = e->closed_until_us, delay_us = spec->min_delay_ms * 1000;
	if (spec->adaptive)
		delay_us = MAX(delay_us, e->adapt.delay_us);
	if (delay_us && e->last_start_us)
		opens = MAX(opens, e->last_start_us + delay_us);
	int64_t used_up = l->file.map->used_up_us;
	for (size_t i = 0; used_up && i < spec->window_count; i++)
		opens = MAX(opens, used_up + spec->windows[i].period_ms * 1001 + 1000);
	int64_t most = most_active(e, spec, now);
	if (most <= 0)
		opens = MAX(opens, e->reset_us);
	else if (most < INT64_MAX && active_calls(l, e) >= most)
		opens = MAX(opens, now + HELD_POLL_MS * 1000);
	return opens > now ? opens : 0;
}

/* @return 0 and where, > 0 the instant (us) when it may be tried again, negative errno */
static int64_t look(struct limits *l, const struct limit_spec *spec, struct set *set, int64_t now)
{
	int64_t index = find_entry(l, key_hash(spec->key), true, now);
	if (index < 0)
		return now + RETRY_MS * 1000;
	set->entry = (size_t)index;
	if (!entry_sound(l, &l->file.map->entries[index])) {
		limit_file_reformat(&l->file);
		return now + 1000;
	}
	for (size_t i = 0; i < spec->window_count; i++) {
		set->window[i] = find_window(l, set->entry, spec, &spec->windows[i]);
		if (set->window[i] < 0)
			return set->window[i];
	}
	struct entry *e = &l->file.map->entries[index];
	e->quiet_until_us = MAX(e->quiet_until_us, now + 1); /* the next set must not recycle it */
	if (!e->name[0])
		(void)str_copy(e->name, sizeof(e->name), spec->key);
	int64_t latest = gate_opens(l, e, spec, now);
	bool swept = now - e->swept_us < SWEEP_US && now >= e->swept_us;
	if (!swept)
		sweep(l, e, now);
	for (size_t i = 0; i < spec->window_count; i++) {
		int64_t opens = 0;
		struct window *w = &e->windows[set->window[i]];
		set->place[i] = window_place(l, w, spec->windows[i].count, now, &opens);
		if (set->place[i] >= 0)
			continue;
		if (swept) {
			swept = false;
			sweep(l, e, now);
			set->place[i--] = -1;
			continue;
		}
		latest = MAX(latest, opens);
	}
	return latest;
}

static void take(struct limits *l, const struct limit_spec *spec, const struct set *set,
	struct limit_permit *permit, int64_t now)
{
	struct entry *e = &l->file.map->entries[set->entry];
	*permit = (struct limit_permit) {
		.id = (uint64_t)l->file.slot << 48 | (uint64_t)l->file.generation << 32 |
		      ++l->sequence,
		.windows = (uint32_t)spec->window_count,
		.entry = set->entry,
		.start_us = now,
		.cap = spec->adaptive ? concurrency(spec) : 0,
	};
	for (size_t i = 0; i < spec->window_count; i++) {
		struct window *w = &e->windows[set->window[i]];
		uint32_t at = (uint32_t)set->place[i];
		struct place *p = &limit_file_ring(&l->file, w)[at];
		/* In this order a killed taker leaves a place that is taken, never one that is
		 * free. */
		p->holder = permit->id;
		__atomic_store_n(&p->end_us, 0, __ATOMIC_SEQ_CST);
		__atomic_store_n(&p->start_us, now, __ATOMIC_SEQ_CST);
		w->span = MAX(w->span, at + 1);
		/* Of calls under way the lowest free place: they are counted often. */
		w->next = w->period_us ? (at + 1) % (uint32_t)limit_ring_places(w) : 0;
		w->count = spec->windows[i].count;
		permit->place[i] = (uint32_t)set->window[i] << 28 | at;
	}
	e->last_start_us = now;
	e->quiet_until_us = now + spec->min_delay_ms * 1000;
	e->min_delay_us = spec->min_delay_ms * 1000;
	e->adaptive = permit->cap;
}

/* @return whether the place was still that call's: a file that was replaced meanwhile knows nothing
 * of it */
static bool end_place(struct limits *l, const struct window *w, uint32_t at,
	const struct limit_permit *permit, const struct limit_ending *ending, int64_t at_us)
{
	struct place *p = &limit_file_ring(&l->file, w)[at];
	int64_t end_us = at_us;
	if (at >= w->span || p->holder != permit->id || p->end_us != 0)
		return false;
	if (w->period_us && ending->how == LIMIT_UNANSWERED)
		end_us = at_us + LATE_US;
	else if (w->period_us && ending->seen_us > 0)
		end_us = MIN(MAX(ending->seen_us, permit->start_us), at_us);
	if (ending->how == LIMIT_UNSENT)
		__atomic_store_n(&p->start_us, 0, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&p->end_us, end_us, __ATOMIC_SEQ_CST);
	return true;
}

/* The server's own count of what it will take. Answers may overtake each other, so within one
 * budget the least that was told is believed; calls under way may not be in it yet. */
static void keep_budget(struct entry *e, const struct limit_ending *ending, int64_t now)
{
	int64_t reset_us = now + ending->reset_ms * 1000;
	if (!ending->has_budget) {
		if (e->reset_us > now && e->remaining > 0 && ending->how != LIMIT_UNSENT)
			e->remaining--;
		return;
	}
	if (e->reset_us <= now || reset_us > e->reset_us + NEW_BUDGET_US) {
		e->remaining = ending->remaining;
		e->reset_us = reset_us;
	}
	e->remaining = MIN(e->remaining, ending->remaining);
	if (e->remaining <= 0) {
		e->opening = 1;
		e->opening_us = e->reset_us;
	}
}

static void end_call(struct limits *l, const struct limit_permit *permit,
	const struct limit_ending *ending, int64_t at_us)
{
	if (permit->entry >= LIMIT_KEYS)
		return;
	struct entry *e = &l->file.map->entries[permit->entry];
	if (!entry_sound(l, e))
		return;
	bool known = permit->windows == 0;
	for (uint32_t i = 0; i < permit->windows; i++)
		known |= end_place(l, &e->windows[permit->place[i] >> 28 & 7],
			permit->place[i] & 0xfffffff, permit, ending, at_us);
	if (!known)
		return;
	if (permit->cap)
		adapt_ended(&e->adapt, permit->cap, ending->how, permit->start_us, at_us);
	if (e->opening && ending->how == LIMIT_ANSWERED && permit->start_us >= e->opening_us)
		e->opening = e->opening < OPENING_MAX ? e->opening + 1 : 0;
	keep_budget(e, ending, at_us);
}

static void apply(struct limits *l, const struct late *late)
{
	if (late->permit.id) {
		end_call(l, &late->permit, &late->ending, late->at_us);
		return;
	}
	int64_t index = find_entry(l, late->hash, true, clock_boot_us());
	if (index >= 0) {
		struct entry *e = &l->file.map->entries[index];
		e->closed_until_us = MAX(e->closed_until_us, late->at_us);
		e->opening = 1;
		e->opening_us = e->closed_until_us;
	}
}

static int lock(struct limits *l, bool wait)
{
	int rc = limit_file_lock(&l->file, wait);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < l->late_count; i++)
		apply(l, &l->late[i]);
	l->late_count = 0;
	return 0;
}

/* Without memory to remember it we wait longer: neither an end nor a closing should be lost. */
static void tell(struct limits *l, const struct late *late)
{
	int rc = lock(l, false);
	if (rc == -EAGAIN &&
		mem_grow((void **)&l->late, &l->late_cap, l->late_count, sizeof(*late)) == 0) {
		l->late[l->late_count++] = *late;
		return;
	}
	if (rc == -EAGAIN)
		rc = lock(l, true);
	if (rc < 0)
		return; /* no file: nothing in it to free */
	apply(l, late);
	limit_file_unlock(&l->file);
}

static int64_t wait_ms(int64_t now, int64_t until)
{
	int64_t ms = (until - now + 999) / 1000;
	return MIN(MAX(ms, 1), WAIT_MAX_MS);
}

static bool specs_sound(const struct limit_spec *specs, size_t count)
{
	if (count > MAX_SETS)
		return false;
	for (size_t i = 0; i < count; i++) {
		for (size_t k = 0; k < i; k++)
			if (str_eq(specs[i].key, specs[k].key))
				return false;
		if (specs[i].window_count > LIMIT_WINDOWS)
			return false;
		for (size_t w = 0; w < specs[i].window_count; w++)
			if (specs[i].windows[w].count < 1 ||
				specs[i].windows[w].count > LIMIT_COUNT_MAX ||
				specs[i].windows[w].period_ms < 0)
				return false;
	}
	return true;
}

int64_t limits_acquire_all(struct limits *l, const struct limit_spec *specs, size_t count,
	struct limit_permit *permits)
{
	struct set sets[MAX_SETS];
	if (!specs_sound(specs, count))
		return -EINVAL;
	int rc = lock(l, false);
	if (rc < 0)
		return rc == -EAGAIN ? BUSY_MS : rc;
	int64_t now = clock_boot_us(), latest = 0;
	for (size_t i = 0; i < count && latest >= 0; i++) {
		int64_t opens = look(l, &specs[i], &sets[i], now);
		latest = opens < 0 ? opens : MAX(latest, opens);
	}
	if (latest == 0)
		for (size_t i = 0; i < count; i++)
			take(l, &specs[i], &sets[i], &permits[i], now);
	limit_file_unlock(&l->file);
	if (latest == -ENOSPC)
		return RETRY_MS;
	return latest <= 0 ? latest : wait_ms(now, latest);
}

int64_t limits_acquire(struct limits *l, const struct limit_spec *spec, struct limit_permit *permit)
{
	return limits_acquire_all(l, spec, 1, permit);
}

/* Others may have gone meanwhile: the distance to them is kept as well. */
static int64_t distance_opens(const struct entry *e, const struct limit_permit *permit)
{
	int64_t delay_us = MAX(e->min_delay_us, e->adaptive ? e->adapt.delay_us : 0);
	return e->last_start_us == permit->start_us ? 0 : e->last_start_us + delay_us;
}

int64_t limits_sends(struct limits *l, struct limit_permit *permits, size_t count)
{
	int64_t opens = 0;
	int rc = lock(l, false);
	if (rc < 0)
		return rc == -EAGAIN ? BUSY_MS : 0; /* no file: it was permitted */
	int64_t now = clock_boot_us();
	struct entry *entries = l->file.map->entries;
	for (size_t i = 0; i < count; i++)
		if (permits[i].entry < LIMIT_KEYS)
			opens = MAX(opens, distance_opens(&entries[permits[i].entry], &permits[i]));
	for (size_t i = 0; opens <= now && i < count; i++) {
		if (permits[i].entry >= LIMIT_KEYS)
			continue;
		struct entry *e = &entries[permits[i].entry];
		permits[i].start_us = e->last_start_us = now;
		e->quiet_until_us = MAX(e->quiet_until_us, now + e->min_delay_us);
	}
	limit_file_unlock(&l->file);
	return opens > now ? wait_ms(now, opens) : 0;
}

void limits_end(struct limits *l, struct limit_permit *permit, const struct limit_ending *ending)
{
	if (!permit->id)
		return;
	tell(l, &(struct late) { .permit = *permit, .ending = *ending, .at_us = clock_boot_us() });
	permit->id = 0;
}

void limits_release(struct limits *l, struct limit_permit *permit)
{
	limits_end(l, permit, &(struct limit_ending) { .how = LIMIT_ANSWERED });
}

void limits_close_until(struct limits *l, const char *key, int64_t ms)
{
	tell(l, &(struct late) { .hash = key_hash(key), .at_us = clock_boot_us() + ms * 1000 });
}

static int64_t ms_until(int64_t now, int64_t until)
{
	return until > now ? (until - now + 999) / 1000 : 0;
}

static void usage_of(struct limits *l, struct window *w, const struct limit_window *want,
	int64_t gate, int64_t now, struct limit_usage *out)
{
	int64_t opens = 0;
	*out = (struct limit_usage) { .count = want->count, .period_ms = want->period_ms };
	if (w && limit_file_window_sound(&l->file, w)) {
		const struct place *ring = limit_file_ring(&l->file, w);
		for (uint32_t p = 0; p < w->span; p++)
			out->used += free_at(&ring[p], w->period_us) > now;
		(void)window_place(l, w, want->count, now, &opens);
	}
	opens = MAX(opens, gate);
	out->reopens_in_ms = ms_until(now, opens);
}

size_t limits_usage(struct limits *l, const struct limit_spec *spec, struct limit_usage out[8])
{
	if (spec->window_count > LIMIT_WINDOWS || lock(l, false) < 0)
		return 0;
	int64_t now = clock_boot_us();
	int64_t index = find_entry(l, key_hash(spec->key), false, now);
	struct entry *e = index < 0 ? NULL : &l->file.map->entries[index];
	int64_t gate = e ? gate_opens(l, e, spec, now) : 0;
	for (size_t i = 0; i < spec->window_count; i++) {
		struct window *found = NULL;
		for (size_t w = 0; e && w < LIMIT_WINDOWS; w++)
			if (e->windows[w].period_us == spec->windows[i].period_ms * 1000)
				found = &e->windows[w];
		usage_of(l, found, &spec->windows[i], gate, now, &out[i]);
	}
	limit_file_unlock(&l->file);
	return spec->window_count;
}

static void describe(struct limits *l, struct entry *e, int64_t now, struct limit_state *out)
{
	struct limit_window windows[LIMIT_WINDOWS];
	size_t n = 0;
	*out = (struct limit_state) { 0 };
	(void)str_copy(out->key, sizeof(out->key), e->name);
	for (size_t i = 0; i < LIMIT_WINDOWS; i++)
		if (e->windows[i].period_us >= 0 && e->windows[i].count > 0)
			windows[n++] = (struct limit_window) { e->windows[i].count,
				e->windows[i].period_us / 1000 };
	const struct limit_spec spec = { .key = out->key,
		.windows = windows,
		.window_count = n,
		.min_delay_ms = e->min_delay_us / 1000,
		.adaptive = e->adaptive > 0 };
	int64_t gate = gate_opens(l, e, &spec, now), opens = gate;
	for (size_t i = 0; i < LIMIT_WINDOWS; i++) {
		if (e->windows[i].period_us < 0 || e->windows[i].count <= 0)
			continue;
		struct limit_usage *usage = &out->windows[out->window_count];
		usage_of(l, &e->windows[i], &windows[out->window_count], gate, now, usage);
		opens = MAX(opens, now + usage->reopens_in_ms * 1000);
		out->window_count++;
	}
	bool budget = e->reset_us > now;
	out->active = active_calls(l, e);
	out->allowed = e->adaptive ? adapt_allowed(&e->adapt, e->adaptive, now) : 0;
	out->delay_ms = e->adaptive ? e->adapt.delay_us / 1000 : 0;
	out->closed_ms = ms_until(now, e->closed_until_us);
	out->reopening = e->opening;
	out->remaining = budget ? e->remaining : -1;
	out->remaining_ms = ms_until(now, e->reset_us);
	out->opens_ms = ms_until(now, opens);
}

int limits_list(struct limits *l, size_t *cursor, struct limit_state *out, size_t max)
{
	int rc = lock(l, false);
	if (rc < 0)
		return rc;
	int64_t now = clock_boot_us();
	size_t n = 0;
	for (; *cursor < LIMIT_KEYS && n < max; ++*cursor) {
		struct entry *e = &l->file.map->entries[*cursor];
		if (!l->file.map->hash[*cursor] || !e->name[0] || !entry_sound(l, e))
			continue;
		e->name[sizeof(e->name) - 1] = '\0';
		sweep(l, e, now);
		describe(l, e, now, &out[n++]);
	}
	limit_file_unlock(&l->file);
	return (int)n;
}
