/* SPDX-License-Identifier: MIT */
#include "cli.h"

int main(int argc, char **argv)
{
	struct cli cli = { 0 };
	cli_init(&cli);
	int code = cli_main(&cli, argc, argv);
	cli_finish(&cli);
	return code;
}
