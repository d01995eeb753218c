/* SPDX-License-Identifier: MIT */
#pragma once
/* jobs.NAME.on_error: what a job makes of an answer, before the usual rules do. Pure. */
#include "base/buf.h"
#include "collect/kind.h"
#include "http/fetch.h"

enum { ERROR_BODY_MAX = 64 * 1024 }; /* bytes of an answer that `body` looks at */

struct error_watch {
	const struct config_array *rules; /* struct collect_error_rule */
	struct buf body;		  /* its beginning, when a rule looks at it */
	bool looks;
	const struct collect_error_rule *hit; /* the rule that holds for this answer; NULL: none */
};
void error_watch_init(struct error_watch *watch, const struct config_array *rules);
void error_watch_finish(struct error_watch *watch);
/** The next answer begins. */
void error_watch_reset(struct error_watch *watch);
void error_watch_body(struct error_watch *watch, const char *data, size_t len);
/** More of the body may still decide. */
bool error_watch_open(const struct error_watch *watch);
/** The answer is complete. *wait_ms as of fetch_ops.judge. Sets watch->hit. */
enum fetch_verdict error_watch_judge(
	struct error_watch *watch, const struct http_result *http, int64_t *wait_ms);
/** "on_error: HTTP 404, skip" */
void error_watch_words(const struct error_watch *watch, long status, char *dst, size_t size);
