/* SPDX-License-Identifier: MIT */
/* drover init [FILE] [--preset NAME]: a commented starter configuration, or one with other numbers;
 * never over one that is there. */
#include "base/compiler.h"
#include "base/str.h"
#include "cli.h"
#include "files.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int verb_init(struct cli *cli);
extern const struct cli_option verb_init_options[];
const struct cli_option verb_init_options[] = {
	{ "preset", 'p', "NAME",
		"stable, production or high-performance: how hard APIs are asked" },
	{ 0 },
};

static const struct {
	const char *name, *text;
} presets[] = {
	{ "stable", file_stable_yaml },
	{ "production", file_production_yaml },
	{ "high-performance", file_high_performance_yaml },
};

/* NULL: there is none of that name, which was told. */
static const char *preset_text(struct cli *cli, const char *name)
{
	const char *names[ARRAY_SIZE(presets)];
	for (size_t i = 0; i < ARRAY_SIZE(presets); i++) {
		names[i] = presets[i].name;
		if (str_eq(name, presets[i].name))
			return presets[i].text;
	}
	const char *near = str_nearest(name, names, ARRAY_SIZE(presets));
	cli_fail(cli, CLI_USAGE, "no preset '%s'%s%s%s", name,
		near ? ", did you mean '" : "; there are stable, production, high-performance",
		near ? near : "", near ? "'?" : "");
	return NULL;
}

int verb_init(struct cli *cli)
{
	const char *path = cli->name_count ? cli->names[0] : "drover.yaml";
	const char *preset = cli_value(cli, "preset");
	const char *text = preset ? preset_text(cli, preset) : file_starter_yaml;
	if (!text)
		return CLI_USAGE;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (fd == -1 && errno == EEXIST)
		return cli_fail(cli, CLI_FAILED, "%s is there already and stays as it is", path);
	if (fd == -1)
		return cli_fail(cli, CLI_FAILED, "cannot write %s: %s", path, strerror(errno));
	size_t len = strlen(text);
	ssize_t n = write(fd, text, len);
	if (n != (ssize_t)len || close(fd) == -1) {
		int why = n == -1 ? errno : ENOSPC;
		unlink(path);
		return cli_fail(cli, CLI_FAILED, "cannot write %s: %s", path, strerror(why));
	}
	cli_note(cli, "wrote %s. Next: edit it, then: drover check && drover up", path);
	return CLI_DONE;
}
