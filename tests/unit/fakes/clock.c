/* SPDX-License-Identifier: MIT */
#include "fakes/clock.h"

#include "base/clock.h"
#include <stdio.h>

static int64_t mono_us = FAKE_CLOCK_MONO_MS * INT64_C(1000);
static int64_t boot_us = FAKE_CLOCK_BOOT_MS * INT64_C(1000);
static int64_t real_us = FAKE_CLOCK_REAL_MS * 1000;
static int boots = 1;

void fake_clock_reset(void)
{
	mono_us = FAKE_CLOCK_MONO_MS * INT64_C(1000);
	boot_us = FAKE_CLOCK_BOOT_MS * INT64_C(1000);
	real_us = FAKE_CLOCK_REAL_MS * 1000;
	boots = 1;
}

void fake_clock_advance_us(int64_t us)
{
	mono_us += us;
	boot_us += us;
	real_us += us;
}

void fake_clock_advance_ms(int64_t ms)
{
	fake_clock_advance_us(ms * 1000);
}

void fake_clock_suspend_ms(int64_t ms)
{
	boot_us += ms * 1000;
	real_us += ms * 1000;
}

void fake_clock_set_real_ms(int64_t real_ms)
{
	real_us = real_ms * 1000;
}

void fake_clock_reboot(void)
{
	mono_us = boot_us = 0;
	boots++;
}

int64_t clock_mono_ms(void)
{
	return mono_us / 1000;
}

int64_t clock_mono_us(void)
{
	return mono_us;
}

int64_t clock_boot_ms(void)
{
	return boot_us / 1000;
}

int64_t clock_boot_us(void)
{
	return boot_us;
}

int64_t clock_real_ms(void)
{
	return real_us / 1000;
}

const char *clock_boot_id(void)
{
	static char id[40];
	snprintf(id, sizeof(id), "fake-boot-%d", boots);
	return id;
}
