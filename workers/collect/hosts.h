/* SPDX-License-Identifier: MIT */
#pragma once
/* How many calls at a time the hosts of providers get, as connections.per_host says: where several
 * providers are of one host, the least. */
#include "base/compiler.h"
#include "http/places.h"

struct config;
struct config_provider;

struct hosts; /* borrows nothing */
/** One reference, for hosts_drop(). NULL: no memory. */
struct hosts *hosts_new(const struct config *config);
struct hosts *hosts_hold(struct hosts *hosts);
void hosts_drop(struct hosts *hosts); /* NULL is fine */
/** What calls of a provider keep to; borrows from both. */
struct fetch_places hosts_places(const struct hosts *hosts, const struct config_provider *provider);
