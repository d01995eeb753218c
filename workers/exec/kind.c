/* SPDX-License-Identifier: MIT */
#include "config/kind.h"
#include "base/str.h"
#include "config/check.h"
#include "config/config.h"
#include "config/tables.h"

/* As of services, but that it is started once for a task and asked nothing. */
static void set_defaults(const struct config *config, void *spec)
{
	struct config_service *command = spec;
	command->supervision = config->supervisor.supervision;
	command->supervision.restart.policy = RESTART_NEVER;
	command->supervision.restart.when_held = HELD_KEEP;
	command->processes = 1;
}

static void check_job(
	struct config_context *ctx, const struct config *config UNUSED, struct config_job *job)
{
	struct config_service *command = job->spec;
	command->name = job->name;
	check_command(ctx, command, "job");
	check_slot_name(ctx, command, command->name, "job");
}

const struct worker_kind worker_kind_exec = {
	.name = "exec",
	.summary = "runs commands: the scheduler has droverd start them",
	.default_attempts = 1,
	.runs_commands = true,
	.job_fields = command_fields,
	.job_size = sizeof(struct config_service),
	.job_defaults = set_defaults,
	.check_job = check_job,
};
