/* SPDX-License-Identifier: MIT */
#pragma once
/* The proleptic Gregorian calendar without time zones: days since 1970-01-01. For this room only.
 */
#include <stdint.h>

struct civil_date {
	int64_t year;
	int month, day; /* 1-12, 1-31 */
};

enum { DAY_S = 86400 };

int64_t civil_days(int64_t year, int month, int day);
struct civil_date civil_date(int64_t days);
int civil_month_length(int64_t year, int month);
/** 0 = Sunday. */
int civil_weekday(int64_t days);
/** Floor division and its remainder, 0 <= remainder < b. */
int64_t floor_div(int64_t a, int64_t b);
int64_t floor_mod(int64_t a, int64_t b);
