/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Tasks that make tasks: one that has no window yet cuts its partition into them. What it makes
 * goes through the same batches as rows: with its checkpoint, so that none is made twice.
 */
#include "base/compiler.h"
#include <stdbool.h>

struct collect_task;
struct err;

/** Before its first page: what it must know, and whether it makes tasks instead of calls.
 * @return 0, -EINVAL with words, -ENOMEM */
int tasks_of_init(struct collect_task *t, struct err *err) MUST_CHECK;
/** It makes tasks, or does not know yet where it begins. */
bool tasks_of_needed(const struct collect_task *t);
/** Instead of a page: makes the next tasks, or begins to read what they are made of.
 * @return 0, -EINVAL with words, -ENOMEM */
int tasks_of_go_on(struct collect_task *t, struct err *err) MUST_CHECK;
