/* SPDX-License-Identifier: MIT */
#pragma once
/* What the files of this room share; nothing outside includes it. */
#include <ev.h>

struct loop;

struct ev_loop *loop_ev(struct loop *loop);
