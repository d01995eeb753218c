/* SPDX-License-Identifier: MIT */
#pragma once
/* Clocks that stand still until they are moved. */
#include <stdint.h>

enum { FAKE_CLOCK_MONO_MS = 1000000, FAKE_CLOCK_BOOT_MS = 5000000 };
#define FAKE_CLOCK_REAL_MS INT64_C(1800000000000) /* 2027-01-15T08:00:00Z */

/** Back to the three times above, boot id "fake-boot-1". */
void fake_clock_reset(void);
/** All clocks go on together. */
void fake_clock_advance_ms(int64_t ms);
void fake_clock_advance_us(int64_t us);
/** Suspend: monotonic time stands still. */
void fake_clock_suspend_ms(int64_t ms);
/** A step of the wall clock. */
void fake_clock_set_real_ms(int64_t real_ms);
/** A new boot: id changes, monotonic and boot time begin at 0. */
void fake_clock_reboot(void);
