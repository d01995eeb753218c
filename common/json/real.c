/* SPDX-License-Identifier: MIT */
#include "json/real.h"

#include <stdint.h>
#include <string.h>

__extension__ typedef unsigned __int128 uint128;

enum { DIGITS_MAX = 19 }; /* so a scale is at most that, too, and 10^19 is an exact double */

struct decimal {
	bool negative;
	uint64_t digits; /* as a whole number */
	int scale;	 /* the last so many of them are the fraction */
};

static const char *take_digits(const char *at, const char *end, uint64_t *digits)
{
	uint64_t value = *digits;
	for (; at < end && (unsigned char)(*at - '0') < 10; at++)
		value = value * 10 + (uint64_t)(*at - '0');
	*digits = value;
	return at;
}

static bool read_decimal(const char *text, size_t len, struct decimal *out)
{
	const char *at = text, *end = text + len, *whole;
	uint64_t digits = 0;
	at += at < end && (*at == '-' || *at == '+');
	out->negative = at > text && *text == '-';
	whole = at;
	/* So many at most that the digits fit, however they are spread. */
	if (end - whole > DIGITS_MAX + 1)
		return false;
	at = take_digits(at, end, &digits);
	if (at == whole || (at == end && at - whole > DIGITS_MAX))
		return false;
	out->scale = 0;
	if (at < end && *at == '.') {
		const char *fraction = at + 1;
		at = take_digits(fraction, end, &digits);
		if (at == fraction)
			return false;
		out->scale = (int)(at - fraction);
	}
	out->digits = digits;
	return at == end;
}

/* 2^exponent; far from the ends of what a double holds. */
static double power_of_two(int exponent)
{
	uint64_t bits = (uint64_t)(1023 + exponent) << 52;
	double power;
	memcpy(&power, &bits, sizeof(power));
	return power;
}

/*
 * digits / 5^scale by one division of whole numbers, which gives 63 or 64 bits of the quotient and
 * whether anything is left: enough to round to 53 bits, half to even, as if all were known. 2^scale
 * is a matter of the exponent.
 */
static double divide(uint64_t digits, uint64_t fives, int scale)
{
	int up = __builtin_clzll(digits), down = __builtin_clzll(fives);
	uint64_t divisor = fives << down;
	uint128 dividend = (uint128)(digits << up) << 63;
	uint64_t quotient = (uint64_t)(dividend / divisor);
	bool rest = dividend != (uint128)quotient * divisor;
	int drop = 11 - __builtin_clzll(quotient);
	uint64_t kept = quotient >> drop, dropped = quotient - (kept << drop);
	uint64_t half = UINT64_C(1) << (drop - 1);
	if (dropped > half || (dropped == half && (rest || (kept & 1))))
		kept++;
	return (double)kept * power_of_two(drop - 63 + down - up - scale);
}

bool json_real_plain(const char *text, size_t len, double *out)
{
	static const double tens[DIGITS_MAX + 1] = { 1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8,
		1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19 };
	static const uint64_t fives[DIGITS_MAX + 1] = { UINT64_C(1), UINT64_C(5), UINT64_C(25),
		UINT64_C(125), UINT64_C(625), UINT64_C(3125), UINT64_C(15625), UINT64_C(78125),
		UINT64_C(390625), UINT64_C(1953125), UINT64_C(9765625), UINT64_C(48828125),
		UINT64_C(244140625), UINT64_C(1220703125), UINT64_C(6103515625),
		UINT64_C(30517578125), UINT64_C(152587890625), UINT64_C(762939453125),
		UINT64_C(3814697265625), UINT64_C(19073486328125) };
	struct decimal d;
	double value;
	if (!read_decimal(text, len, &d))
		return false;
	if (d.scale == 0 || d.digits == 0) {
		value = (double)d.digits;
	} else if (d.digits <= UINT64_C(1) << 53) {
		value = (double)d.digits / tens[d.scale]; /* both exact, rounded once */
	} else {
		value = divide(d.digits, fives[d.scale], d.scale);
	}
	*out = d.negative ? -value : value;
	return true;
}
