/* SPDX-License-Identifier: MIT */
#include "collect/collect.h"
#include "collect/kind.h"
#include "worker/worker.h"

int main(int argc, char **argv)
{
	return worker_main(&worker_kind_collect, &collect_ops, argc, argv);
}
