/* SPDX-License-Identifier: MIT */
#include "accept.h"

#include "base/buf.h"
#include "base/err.h"
#include "config/config.h"
#include "config/context.h"
#include "config/kind.h"
#include "config/xpath_check.h"
#include "log/log.h"
#include "reload.h"
#include "worker_link.h"
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

static int no_account(const struct config *config, const char *section, const char *what,
	const char *const *name, struct buf *report)
{
	buf_addf(report, "%s: error: %s: there is no %s \"%s\" on this machine\n", config->file,
		section, what, config_is_secret(config, name) ? "***" : *name);
	return -EINVAL;
}

static int check_command_accounts(const struct config *config, const char *section,
	const struct config_service *s, struct buf *report)
{
	int rc = 0;
	if (s->user && !getpwnam(s->user))
		rc = no_account(config, section, "user", &s->user, report);
	if (s->group && !getgrnam(s->group))
		rc = no_account(config, section, "group", &s->group, report);
	if (s->log_group && !getgrnam(s->log_group))
		rc = no_account(config, section, "group", &s->log_group, report);
	for (size_t k = 0; k < s->groups.count; k++)
		if (!getgrnam(s->groups.items[k]))
			rc = no_account(config, section, "group", &s->groups.items[k], report);
	return rc;
}

static int check_accounts(const struct config *config, struct buf *report)
{
	int rc = 0;
	char section[128];
	for (size_t i = 0; i < config->service_count; i++) {
		snprintf(section, sizeof(section), "services.%s", config->services[i].name);
		if (check_command_accounts(config, section, &config->services[i], report) < 0)
			rc = -EINVAL;
	}
	for (size_t i = 0; i < config->job_count; i++) {
		const struct config_job *job = &config->jobs[i];
		snprintf(section, sizeof(section), "jobs.%s", job->name);
		if (job->kind && job->kind->runs_commands &&
			check_command_accounts(config, section, job->spec, report) < 0)
			rc = -EINVAL;
	}
	for (size_t i = 0; i < config->worker_count; i++) {
		const struct config_worker *w = &config->workers[i];
		snprintf(section, sizeof(section), "workers.%s", w->kind->name);
		if (w->user && !getpwnam(w->user))
			rc = no_account(config, section, "user", &w->user, report);
	}
	return rc;
}

static int check_slots(const struct config *config, size_t slots_max, struct buf *report)
{
	struct slots slots = { 0 };
	struct err err = { 0 };
	int rc = slots_of(config, slots_max, &slots, &err);
	slots_finish(&slots);
	if (rc < 0)
		buf_addf(report, "%s: error: %s\n", config->file, err.text);
	return rc;
}

static int check_handovers(const struct config *config, struct buf *report)
{
	for (size_t i = 0; i < config->worker_count; i++) {
		struct err err = { 0 };
		int fd = config_handover(config, config->workers[i].kind, &err);
		if (fd < 0) {
			buf_addf(report, "%s: error: workers.%s: %s\n", config->file,
				config->workers[i].kind->name, err.text);
			return -EINVAL;
		}
		close(fd);
	}
	return 0;
}

static int check_xpaths(const struct config *config, const char *program_dir, struct buf *report)
{
	const char *program = worker_link_find(program_dir, "drover-parser");
	if (!config_xpaths(config, 0))
		return 0;
	/* It is missing: then crawl workers report it, and nothing of it can be judged here. */
	if (access(program, X_OK) == -1) {
		log_warn(MAIN, "xpath_not_checked", KV_STR("path", program));
		return 0;
	}
	return parser_check_xpaths(config, program, report, false);
}

int accept_config(
	const struct config *config, const char *program_dir, size_t slots_max, struct buf *report)
{
	int rc = check_accounts(config, report);
	if (check_slots(config, slots_max, report) < 0)
		rc = -EINVAL;
	if (check_handovers(config, report) < 0)
		rc = -EINVAL;
	if (check_xpaths(config, program_dir, report) < 0)
		rc = -EINVAL;
	return rc;
}
