/* SPDX-License-Identifier: MIT */
#pragma once
/* All reading of clocks; a test links tests/unit/fakes/clock.c instead. */
#include "base/compiler.h"
#include <stddef.h>
#include <stdint.h>

/** CLOCK_MONOTONIC: deadlines of this process. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
/** CLOCK_BOOTTIME: intervals shared between processes of one boot (S3, limits); goes on during
 * suspend. */
int64_t clock_boot_ms(void);
int64_t clock_boot_us(void);
/** CLOCK_REALTIME since 1970: only for schedules and for showing. */
int64_t clock_real_ms(void);
/** "2026-11-21T08:45:00.123Z" (RFC 3339, UTC); dst has CLOCK_TEXT bytes. @return dst */
enum { CLOCK_TEXT = 32 };
char *clock_rfc3339(char *dst, int64_t real_ms);
/** /proc/sys/kernel/random/boot_id, 36 characters; read once. */
const char *clock_boot_id(void);
