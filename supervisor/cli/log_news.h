/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Logs that nobody follows yet and that may come to be one's own: of a slot that a reload adds.
 * Each keeps its place from the first look at it on, so that no line is missed however late it is
 * known whose log it is.
 */
#include "base/compiler.h"
#include "base/mem.h"
#include <stdbool.h>

struct follow;
struct log_news;

/**
 * Looks at what is in the folder: of these logs only what is added counts, of those that appear
 * later all.
 * @param wanted  whether a log of that name is of interest
 * @return NULL when out of memory
 */
struct log_news *log_news_new(
	const char *dir, bool (*wanted)(void *arg, const char *name), void *arg) MUST_CHECK;
void log_news_free(struct log_news *news);
DEFINE_FREEP(struct log_news, log_news)
/** Looks again. @return whether one appeared, or was written to, since the last look */
bool log_news_look(struct log_news *news);
/** Hands over the place in the log of that name. @return false: no such log appeared */
bool log_news_take(struct log_news *news, const char *name, struct follow *out);
