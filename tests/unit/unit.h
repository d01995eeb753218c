/* SPDX-License-Identifier: MIT */
#pragma once
/* cmocka wants these four first; the blank line keeps clang-format from sorting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
