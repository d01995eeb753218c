/* SPDX-License-Identifier: MIT */
#include "config/kind.h"
#include "monitor/monitor.h"
#include "worker/worker.h"

extern const struct worker_kind worker_kind_monitor;

int main(int argc, char **argv)
{
	return worker_main(&worker_kind_monitor, &monitor_ops, argc, argv);
}
