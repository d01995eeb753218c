/* SPDX-License-Identifier: MIT */
#include "config/kind.h"
#include "scheduler/scheduler.h"
#include "worker/worker.h"

extern const struct worker_kind worker_kind_scheduler;

int main(int argc, char **argv)
{
	return worker_main(&worker_kind_scheduler, &scheduler_ops, argc, argv);
}
