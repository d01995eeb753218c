/* SPDX-License-Identifier: MIT */
#include "accept.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "config/config.h"
#include "config/kind.h"
#include "log/log.h"
#include "reload.h"
#include "spawn.h"
#include "worker_link.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PARSER_MS = 2000 };

static int no_account(const struct config *config, const char *section, const char *what,
	const char *name, struct buf *report)
{
	buf_addf(report, "%s: error: %s: there is no %s \"%s\" on this machine\n", config->file,
		section, what, name);
	return -EINVAL;
}

static int check_accounts(const struct config *config, struct buf *report)
{
	int rc = 0;
	char section[128];
	for (size_t i = 0; i < config->service_count; i++) {
		const struct config_service *s = &config->services[i];
		snprintf(section, sizeof(section), "services.%s", s->name);
		if (s->user && !getpwnam(s->user))
			rc = no_account(config, section, "user", s->user, report);
		if (s->group && !getgrnam(s->group))
			rc = no_account(config, section, "group", s->group, report);
	}
	for (size_t i = 0; i < config->worker_count; i++) {
		const struct config_worker *w = &config->workers[i];
		snprintf(section, sizeof(section), "workers.%s", w->kind->name);
		if (w->user && !getpwnam(w->user))
			rc = no_account(config, section, "user", w->user, report);
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

/* --- XPath, by drover-parser --check-xpath --- */

static int expressions_of(const struct config *config)
{
	int fd = sys_memfd("xpath", false);
	const struct config_xpath *x;
	for (size_t i = 0; fd >= 0 && (x = config_xpaths(config, i)); i++)
		if (sys_write(fd, x->text, strlen(x->text) + 1) == -1)
			break;
	if (fd >= 0)
		lseek(fd, 0, SEEK_SET);
	return fd;
}

static bool run_parser(const char *program, int in, int out)
{
	const char *argv[] = { program, "--check-xpath", NULL };
	const struct spawn_spec spec = {
		.argv = argv, .stdin_fd = in, .output_fd = out, .channel_fd = -1, .record_fd = -1
	};
	struct spawned child;
	siginfo_t info = { 0 };
	if (spawn_child(&spec, &child, NULL) < 0)
		return false;
	struct pollfd p = { .fd = child.pidfd, .events = POLLIN };
	if (poll(&p, 1, PARSER_MS) != 1) {
		sys_pidfd_send_signal(child.pidfd, SIGKILL);
		poll(&p, 1, PARSER_MS);
	}
	bool well = sys_wait_pidfd(child.pidfd, &info) == 1 && info.si_code == CLD_EXITED &&
		    info.si_status == 0;
	sys_close(child.pidfd);
	sys_close(child.error_fd);
	return well;
}

/* A line each: "ok" or "error OFFSET WORDS". */
static int read_verdicts(const struct config *config, FILE *out, struct buf *report)
{
	char line[1024];
	const struct config_xpath *x;
	int rc = 0;
	for (size_t i = 0; (x = config_xpaths(config, i)) && fgets(line, sizeof(line), out); i++) {
		int words = 0;
		struct config_xpath at = *x;
		unsigned long long offset;
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "error %llu %n", &offset, &words) != 1 || !words)
			continue;
		/* Exact when the expression stands in its line as it is. */
		if (strstr(x->line, x->text) && offset < strlen(x->text)) {
			at.mark.column += (size_t)offset;
			at.mark.width = 1;
		}
		config_report(report, &at, line + words, false);
		rc = -EINVAL;
	}
	return rc;
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
	CLEANUP(closep) int in = expressions_of(config);
	int out = sys_memfd("verdicts", false);
	FILE *file = out >= 0 ? fdopen(out, "r+e") : NULL;
	if (in < 0 || !file) {
		if (out >= 0 && !file)
			sys_close(out);
		buf_addf(report, "%s: error: no descriptor to check XPath with\n", config->file);
		return -EINVAL;
	}
	int rc = 0;
	if (run_parser(program, in, out)) {
		rewind(file);
		rc = read_verdicts(config, file, report);
	} else {
		buf_addf(report,
			"%s: error: the XPath expressions could not be checked: %s failed\n",
			config->file, program);
		rc = -EINVAL;
	}
	fclose(file);
	return rc;
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
