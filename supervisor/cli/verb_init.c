/* SPDX-License-Identifier: MIT */
/* drover init [FILE]: a commented starter configuration; never over one that is there. */
#include "cli.h"
#include "files.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int verb_init(struct cli *cli);
extern const struct cli_option verb_init_options[];
const struct cli_option verb_init_options[] = { { 0 } };

int verb_init(struct cli *cli)
{
	const char *path = cli->name_count ? cli->names[0] : "drover.yaml";
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd == -1 && errno == EEXIST)
		return cli_fail(cli, CLI_FAILED, "%s is there already and stays as it is", path);
	if (fd == -1)
		return cli_fail(cli, CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
	size_t len = strlen(file_starter_yaml);
	ssize_t n = write(fd, file_starter_yaml, len);
	if (n != (ssize_t)len || close(fd) == -1) {
		int why = n == -1 ? errno : ENOSPC;
		unlink(path);
		return cli_fail(cli, CLI_FAILED, "cannot write %s: %s", path, strerror(why));
	}
	cli_note(cli, "wrote %s. Next: edit it, then: drover check && drover up", path);
	return CLI_DONE;
}
