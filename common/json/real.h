/* SPDX-License-Identifier: MIT */
#pragma once
/* Decimal numbers as they mostly are in answers, to the nearest double: what strtod() gives, at a
 * sixth of its time. */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

/** @return true: text is a sign perhaps, digits, and perhaps a fraction, 19 digits in all at most,
 * zeros in front too; false: it is something else, and *out is as it was */
bool json_real_plain(const char *text, size_t len, double *out) MUST_CHECK;
