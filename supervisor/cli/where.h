/* SPDX-License-Identifier: MIT */
#pragma once
/* Where things are when nobody says: the control socket, the configuration, the other programs. */
#include "base/compiler.h"
#include <limits.h>
#include <stddef.h>

struct err;

enum { SOCKET_PATH_MAX = 107, SOCKET_CANDIDATES = 2 };

/**
 * The places where a supervisor may answer, best first: `option` alone, else $DROVER_SOCKET alone,
 * else the user's folder ($XDG_RUNTIME_DIR/drover, else ~/.local/state/drover), then /run/drover.
 * @return their number; -ENAMETOOLONG with words when one is over SOCKET_PATH_MAX bytes
 */
int where_sockets(
	char out[SOCKET_CANDIDATES][PATH_MAX], const char *option, struct err *err) MUST_CHECK;

/**
 * The configuration that up, check and config take: `option`; else ./drover.yaml when it is the
 * caller's own and nobody else can write it or what is read beside it; else
 * /etc/drover/drover.yaml.
 * @param passed_over  gets why ./drover.yaml is there and not taken, "" otherwise
 * @return 0; -ENOENT with words: there is none of them
 */
int where_config(char out[PATH_MAX], const char *option, char *passed_over, size_t size,
	struct err *err) MUST_CHECK;

/** The path of a program beside this one, or in its libexec folder. @return 0; -ENOENT with words
 */
int where_program(char out[PATH_MAX], const char *name, struct err *err) MUST_CHECK;
