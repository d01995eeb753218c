/* SPDX-License-Identifier: MIT */
#pragma once
/* Which page follows, and when none does: the stop rules, and the guards against providers that go
 * in circles. Pure. */
#include "base/compiler.h"
#include "collect/position.h"

struct collect_paginate;
struct err;
struct url;

/* What is known of a page that has come in whole. */
struct page_facts {
	int64_t seen;	   /* its records */
	const char *hash;  /* of them */
	const char *token; /* that it gives for the next one; NULL: none */
	int64_t total;	   /* records in all, as the provider has it; -1: not said */
	int more;	   /* 1, 0: the provider says so; -1: not said */
};

enum paginate_stop {
	STOP_NOT, /* `next` is to be fetched */
	STOP_ONE_PAGE,
	STOP_SHORT_PAGE,
	STOP_EMPTY_PAGE,
	STOP_TOTAL,
	STOP_NO_MORE,  /* the provider says so */
	STOP_NO_TOKEN, /* no cursor, no next URL, no link */
	STOP_MAX_PAGES,
	STOP_REPEATED_PAGE,  /* the same records as an earlier page: they are not to be stored */
	STOP_REPEATED_TOKEN, /* it leads back; the page itself is good */
};
/** "short page", ... */
const char *paginate_stop_name(enum paginate_stop stop);
/**
 * @param next  where the task is when this page is stored; its token is facts' own
 * @param why   words for REPEATED_PAGE and REPEATED_TOKEN
 */
enum paginate_stop paginate_next(const struct collect_paginate *paginate, const struct position *at,
	const struct page_facts *facts, struct position *next, struct err *why);

/**
 * The URL of the next page, which a provider gave. It must be on the host that credentials are
 * meant for; http where the provider is asked by https is taken as https.
 * @param from  the page's own URL, which a relative one begins at
 * @return 0 and *out (caller frees); -EINVAL with words; -ENOMEM
 */
int paginate_resolve(char **out, const char *base_url, const char *from, const char *token,
	struct err *err) MUST_CHECK;
