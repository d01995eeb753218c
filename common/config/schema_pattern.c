/* SPDX-License-Identifier: MIT */
#include "config/schema_pattern.h"

#include "base/buf.h"
#include "base/compiler.h"

#include <inttypes.h>

struct unit {
	const char *name;
	int64_t factor;
};

/* One alternative: from `lo` on as far as one digit may run while those behind it take all values.
 * @return the last number that it covers */
static int64_t add_alternative(struct buf *out, int64_t lo, int64_t hi)
{
	int64_t step = 1;
	int digits = 0;
	while (lo > 0 && step <= INT64_MAX / 10 && lo % (step * 10) == 0 &&
		step * 10 - 1 <= hi - lo) {
		step *= 10;
		digits++;
	}
	int64_t first = lo / step % 10;
	int64_t last = MIN(INT64_C(9), first + (hi - lo + 1) / step - 1);
	if (lo / step >= 10)
		buf_addf(out, "%" PRId64, lo / step / 10);
	if (first == last)
		buf_addf(out, "%" PRId64, first);
	else
		buf_addf(out, "[%" PRId64 "-%" PRId64 "]", first, last);
	if (digits)
		buf_addf(out, "[0-9]{%d}", digits);
	return lo + (last - first) * step + (step - 1);
}

void pattern_numbers(struct buf *out, int64_t lo, int64_t hi)
{
	for (;;) {
		int64_t covered = add_alternative(out, lo, hi);
		if (covered >= hi)
			return;
		buf_add_char(out, '|');
		lo = covered + 1;
	}
}

void pattern_int(struct buf *out, int64_t lo, int64_t hi)
{
	if (lo < 0) {
		buf_add_str(out, "-0*(");
		pattern_numbers(out, hi < 0 ? -hi : 0, lo == INT64_MIN ? INT64_MAX : -lo);
		buf_add_str(out, hi < 0 ? ")" : ")|");
	}
	if (hi < 0)
		return;
	buf_add_str(out, "0*(");
	pattern_numbers(out, lo < 0 ? 0 : lo, hi);
	buf_add_char(out, ')');
}

static void with_units(
	struct buf *out, const struct unit *units, size_t count, int64_t lo, int64_t hi)
{
	const char *separator = "";
	for (size_t i = 0; i < count; i++) {
		int64_t factor = units[i].factor;
		int64_t from = lo / factor + (lo % factor != 0), to = hi / factor;
		if (from > to)
			continue;
		buf_addf(out, "%s0*(", separator);
		pattern_numbers(out, from, to);
		buf_addf(out, ")%s", units[i].name);
		separator = "|";
	}
}

void pattern_duration(struct buf *out, int64_t lo_ms, int64_t hi_ms)
{
	static const struct unit units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 } };
	with_units(out, units, ARRAY_SIZE(units), lo_ms, hi_ms);
}

void pattern_size(struct buf *out, int64_t lo_bytes, int64_t hi_bytes)
{
	static const struct unit units[] = { { "B", 1 }, { "KB", 1000 }, { "MB", 1000000 },
		{ "GB", 1000000000 }, { "KiB", 1 << 10 }, { "MiB", 1 << 20 }, { "GiB", 1 << 30 } };
	with_units(out, units, ARRAY_SIZE(units), lo_bytes, hi_bytes);
}
