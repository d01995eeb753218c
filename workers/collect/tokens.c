/* SPDX-License-Identifier: MIT */
/* The tokens of a collector's providers, over reloads. */
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "collect/collect.h"
#include "collect/oauth.h"
#include "collect/plan.h"
#include "worker/worker.h"
#include <errno.h>
#include <stdlib.h>

struct holder {
	struct list node;
	struct oauth *oauth;
	const char *provider; /* of the plans; NULL: of a configuration that is gone */
};

static void holder_free(struct holder *h)
{
	list_remove(&h->node);
	oauth_free(h->oauth);
	free(h);
}

/* A refresh token that rotates is lost with the answer: who is asking goes on until it is there. */
static void retire(struct collector *c)
{
	LIST_FOR_EACH_SAFE (node, &c->oauths) {
		struct holder *h = LIST_ENTRY(node, struct holder, node);
		h->provider = NULL;
		if (!oauth_busy(h->oauth))
			holder_free(h);
	}
}

static int add(struct collector *c, const struct plan *plan, struct err *err)
{
	const struct oauth_place place = { c->loop, c->fetcher, worker_state_dir(c->worker),
		c->hosts };
	struct holder *h = NEW(struct holder);
	if (!h)
		return err_set(err, -ENOMEM, "out of memory");
	int rc = oauth_new(&h->oauth, &place, plan->provider, &plan->limits.items[0].spec, err);
	if (rc < 0) {
		free(h);
		return rc;
	}
	h->provider = plan->provider->name;
	list_add_tail(&c->oauths, &h->node);
	return 0;
}

int collector_make_oauths(struct collector *c, struct err *err)
{
	int rc = 0;
	retire(c);
	for (size_t i = 0; rc == 0 && i < c->plan_count; i++) {
		const struct config_provider *p = c->plans[i]->provider;
		if (p->auth.oauth2.token_url && !collector_oauth(c, p->name))
			rc = add(c, c->plans[i], err);
	}
	return rc;
}

void collector_free_oauths(struct collector *c)
{
	LIST_FOR_EACH_SAFE (node, &c->oauths)
		holder_free(LIST_ENTRY(node, struct holder, node));
}

struct oauth *collector_oauth(const struct collector *c, const char *provider)
{
	LIST_FOR_EACH (node, &c->oauths) {
		struct holder *h = LIST_ENTRY(node, struct holder, node);
		if (h->provider && str_eq(h->provider, provider))
			return h->oauth;
	}
	return NULL;
}

bool collector_awaits_token(struct collector *c)
{
	bool awaits = false;
	LIST_FOR_EACH (node, &c->oauths)
		awaits |= oauth_busy(LIST_ENTRY(node, struct holder, node)->oauth);
	return awaits;
}
