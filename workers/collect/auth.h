/* SPDX-License-Identifier: MIT */
#pragma once
/* The headers that a provider's auth makes. */
#include "base/compiler.h"
#include "http/http.h"

struct arena;
struct config_provider;
struct err;
struct plan;

/** auth_headers of a plan that has its provider and arena. @return 0, -ENOMEM */
int auth_lay_out(struct plan *plan, struct err *err) MUST_CHECK;
/** How the provider's connections are; borrows from it. */
struct http_profile auth_profile(const struct config_provider *provider);
/** "Basic ...", user and password form-encoded first (RFC 6749 2.3.1). NULL: no memory */
const char *auth_basic_encoded(struct arena *arena, const char *user, const char *password);
