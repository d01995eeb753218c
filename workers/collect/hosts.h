/* SPDX-License-Identifier: MIT */
#pragma once
/* How many calls at a time the hosts of providers get, as connections.per_host says: where several
 * providers are of one host, the least. */
#include "base/compiler.h"
#include "http/places.h"

struct config;
struct http_client;
struct plan;
struct config_provider;

struct hosts; /* borrows nothing */
/** One reference, for hosts_drop(). NULL: no memory. */
struct hosts *hosts_new(const struct config *config);
struct hosts *hosts_hold(struct hosts *hosts);
void hosts_drop(struct hosts *hosts); /* NULL is fine */
/** The names of the plans' providers, of their token_urls, or of their proxies instead, are looked
 * up ahead. */
void hosts_look_ahead(struct http_client *client, struct plan *const *plans, size_t count);
/** What calls of a provider keep to; borrows from both. */
struct fetch_places hosts_places(const struct hosts *hosts, const struct config_provider *provider);
