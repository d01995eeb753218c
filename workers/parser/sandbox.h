/* SPDX-License-Identifier: MIT */
#pragma once
/* Closes the parser child off: what it reads cannot reach files, network, processes. */
#include "base/compiler.h"

struct err;

enum { SANDBOX_FD = 3, SANDBOX_CPU_S = 5 }; /* the socket; processor time of one page */

/** Before libraries are loaded: descriptors above the socket, death of the parent, core files.
 * Never fails. */
void sandbox_prepare(void);
/** After they are: limits of memory and files, then only the system calls that parsing needs. For
 * good. */
int sandbox_enter(struct err *err) MUST_CHECK;
/** The next page has SANDBOX_CPU_S seconds of processor time; then SIGXCPU. */
void sandbox_rearm(void);
