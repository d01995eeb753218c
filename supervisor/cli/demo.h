/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * drover demo: a private folder, a real nginx on loopback with Debian's data, a real droverd.
 * verb_demo.c owns what is started and ends it; demo_site.c makes what is served; demo_story.c is
 * what is shown.
 */
#include "base/compiler.h"
#include "child.h"
#include "cli.h"
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

struct err;

enum { DEMO_PATH = 512, DEMO_RECORDS_A_PAGE = 100 };

struct demo {
	struct cli *cli;
	struct cli asking; /* asks the demo's own droverd */
	char folder[64];
	char docs[PATH_MAX]; /* python3-doc's HTML */
	char socket[DEMO_PATH], site[64], http[64];
	int site_port, service_port, http_port;
	int reserved; /* holds nginx's port; -1: none */
	int64_t records, pages_of_api;
	struct child nginx, droverd;
	int64_t started_ms;
};

extern const char demo_iso_639_3[];

/** Where the site's files lie; cuts the records into pages, writes nginx's configuration. @return 0
 * or negative with words */
int demo_site_prepare(struct demo *d, struct err *err) MUST_CHECK;
/** Starts nginx and waits until it serves. */
int demo_site_start(struct demo *d, struct err *err) MUST_CHECK;
/** Writes text to folder/name. */
int demo_write(
	const struct demo *d, const char *name, const char *text, struct err *err) MUST_CHECK;
/** True once SIGINT, SIGTERM or SIGHUP has come. */
bool demo_interrupted(void);
/** "  1.2 s  words" to out. */
void demo_say(struct demo *d, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Everything between the start of droverd and the last word. @return exit code */
int demo_story(struct demo *d);
