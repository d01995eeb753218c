/* SPDX-License-Identifier: MIT */
#pragma once
/* Questions that no running drover is needed for: drover-oneshot answers, with the caller's rights.
 */
#include "ask.h"

struct oneshot_question {
	const char *words[4]; /* the question and its arguments, ends with NULL */
	const char *job;      /* whose configuration it needs; NULL: none */
	const char *input;    /* file for its standard input, "-" is ours; NULL: none */
	struct buf *raw; /* gets the answer as it came; then numbers may be too large for *answer,
			    which is NULL */
};

/**
 * Loads the configuration (--config of the present verb), starts drover-oneshot and waits for it.
 * What went wrong is told.
 * @param answer  an object, or NULL when there was none; the caller decrefs
 * @return an exit code; the answer may be there with any of them
 */
int oneshot_ask(struct cli *cli, const struct oneshot_question *q, json_t **answer) MUST_CHECK;
