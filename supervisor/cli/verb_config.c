/* SPDX-License-Identifier: MIT */
/* drover config: what droverd would run with, defaults filled in, secrets as "***". */
#include "ask.h"
#include "base/buf.h"
#include "cli.h"
#include "config/kind.h"
#include "configuration.h"

int verb_config(struct cli *cli);
extern const struct cli_option verb_config_options[];
const struct cli_option verb_config_options[] = {
	{ "config", 'c', "FILE", "the configuration, as droverd takes it" },
	{ "schema", 0, NULL, "the JSON Schema of the configuration, for editors" },
	{ 0 },
};

static int print_schema(struct cli *cli)
{
	CLEANUP(buf_finish) struct buf text = BUF_INIT;
	if (config_schema(worker_kinds, &text) < 0)
		return cli_fail(cli, CLI_FAILED, "out of memory");
	CLEANUP(json_freep) json_t *schema = json_loads(buf_str(&text), 0, NULL);
	return print_json(cli, schema);
}

int verb_config(struct cli *cli)
{
	if (cli_value(cli, "schema"))
		return print_schema(cli);
	CLEANUP(config_freep) struct config *config = NULL;
	struct config_options options = { .file = cli_value(cli, "config") };
	int code = configuration_load(cli, &options, &config, NULL);
	if (code != CLI_DONE)
		return code;
	struct buf yaml = BUF_INIT;
	if (config_print(config, &yaml) < 0 || buf_failed(&yaml)) {
		code = cli_fail(cli, CLI_FAILED, "out of memory");
	} else if (cli->json) {
		CLEANUP(json_freep)
		json_t *object = json_pack(
			"{s:s, s:s}", "file", config->file, "yaml", buf_str(&yaml));
		code = print_json(cli, object);
	} else {
		fputs(buf_str(&yaml), cli->out);
	}
	buf_finish(&yaml);
	return code;
}
