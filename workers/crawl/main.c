/* SPDX-License-Identifier: MIT */
#include "crawl/crawl.h"
#include "crawl/kind.h"
#include "worker/worker.h"

int main(int argc, char **argv)
{
	return worker_main(&worker_kind_crawl, &crawl_ops, argc, argv);
}
