/* SPDX-License-Identifier: MIT */
#pragma once
/* What the two sides of a hand-over share. */
#include "config/field.h"

#define HANDOVER_MAGIC "drover hand-over 1\n"

enum { VALUE_PRESENT = 1, VALUE_SECRET = 2 };
/* The tables whose hashes stand at its head. */
enum { HANDOVER_SECTIONS = 6 };
extern const struct config_field *const handover_sections[HANDOVER_SECTIONS];
