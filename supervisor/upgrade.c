/* SPDX-License-Identifier: MIT */
#include "upgrade.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "config/kind.h"
#include "control.h"
#include "hand_over.h"
#include "instance.h"
#include "log/log.h"
#include "log_room.h"
#include "loop/loop.h"
#include "probe_notify.h"
#include "process.h"
#include "rehearsal.h"
#include "service_manager.h"
#include "spawn.h"
#include "supervisor.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	ARGUMENTS = 10,
	EXIT_CONFIG = 78,
	OUTPUT_MAX = 8192,
	SETTLE_MS = 50,	       /* how often we look whether all are answered */
	SETTLE_MOST_MS = 5000, /* commands that take longer lose their answer */
	LAST_TURNS = 2,
};

enum stage {
	UPGRADE_NONE,
	UPGRADE_TRYING,
	UPGRADE_DRAINING,
	UPGRADE_TRYING_AGAIN,
	UPGRADE_SETTLING,
	UPGRADE_LEAVING /* signals wait for the next one's loop */
};

struct upgrade {
	struct supervisor *sv;
	char program[PATH_MAX];
	const char *argv[ARGUMENTS];
	enum stage stage;
	struct stat binary; /* as it was when it was tried */
	struct rehearsal *rehearsal;
	struct loop_timer *timer;
	int64_t settle_until_ms; /* loop time */
	int turns_left;
	char version[HAND_OVER_VERSION];
	int records;
	bool accepted; /* of the last rehearsal */
	int exit_code;
	char words[PATH_MAX + 256], output[OUTPUT_MAX];
};

static void refuse(struct upgrade *u, int exit_code, const char *words, const char *output);
static void next_stage(void *arg);
static void on_timer(void *arg);

/* --- which program --- */

/*
 * Where we were started from, by the name that was given: a link that is turned to another version
 * is obeyed, and so is a file that was renamed over ours.
 */
static void find_program(char out[PATH_MAX])
{
	static const char deleted[] = " (deleted)";
	struct stat named, running;
	const char *name = program_invocation_name;
	if (name[0] == '/' && stat(name, &named) == 0 && stat("/proc/self/exe", &running) == 0 &&
		named.st_ino == running.st_ino && named.st_dev == running.st_dev &&
		str_copy(out, PATH_MAX, name))
		return;
	ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
	out[n > 0 ? n : 0] = '\0';
	size_t len = strlen(out), tail = strlen(deleted);
	if (len > tail && str_eq(out + len - tail, deleted))
		out[len - tail] = '\0';
}

/* The options that we were given; the runtime directory is the one where the services are. */
static void build_arguments(struct upgrade *u)
{
	const struct config_options *o = &u->sv->options;
	size_t n = 0;
	u->argv[n++] = u->program;
	u->argv[n++] = "--config";
	u->argv[n++] = o->file;
	u->argv[n++] = "--runtime-dir";
	u->argv[n++] = u->sv->runtime_dir;
	if (o->state_dir) {
		u->argv[n++] = "--state-dir";
		u->argv[n++] = o->state_dir;
	}
	if (o->log_dir) {
		u->argv[n++] = "--log-dir";
		u->argv[n++] = o->log_dir;
	}
	u->argv[n] = NULL;
}

static int look_at_binary(const struct upgrade *u, struct stat *st, struct err *err)
{
	if (stat(u->program, st) == -1)
		return err_sys(err, -errno, "%s", u->program);
	if (!S_ISREG(st->st_mode))
		return err_set(err, -EINVAL, "%s is no file", u->program);
	if (access(u->program, X_OK) == -1)
		return err_set(err, -EACCES, "%s cannot be executed", u->program);
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return err_set(err, -EPERM, "%s belongs to user %u, neither to root nor to us",
			u->program, (unsigned)st->st_uid);
	if (st->st_mode & S_IWOTH)
		return err_set(err, -EPERM, "everybody may write %s", u->program);
	return 0;
}

static bool is_same_binary(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* --- making it --- */

struct upgrade *upgrade_new(struct supervisor *sv)
{
	struct upgrade *u = NEW(struct upgrade);
	if (!u)
		return NULL;
	u->sv = sv;
	u->timer = loop_timer_new(sv->loop, on_timer, u);
	if (!u->timer) {
		free(u);
		return NULL;
	}
	find_program(u->program);
	rehearsal_clear(sv);
	return u;
}

void upgrade_free(struct upgrade *u)
{
	if (!u)
		return;
	loop_cancel_deferred(u->sv->loop, u);
	rehearsal_free(u->rehearsal);
	loop_timer_free(u->timer);
	free(u);
}

/* --- how it went --- */

static void block_signals(int how)
{
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++)
		sigaddset(&set, supervisor_signals[i]);
	sigprocmask(how, &set, NULL);
}

static void end(struct upgrade *u)
{
	loop_cancel_deferred(u->sv->loop, u);
	loop_timer_stop(u->timer);
	rehearsal_free(TAKE(u->rehearsal));
	if (u->stage == UPGRADE_LEAVING)
		block_signals(SIG_UNBLOCK);
	u->stage = UPGRADE_NONE;
	/* Workers that were held back start again. */
	supervisor_changed(u->sv, NULL);
}

static void refuse(struct upgrade *u, int exit_code, const char *words, const char *output)
{
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct json_out j;
	log_error(MAIN, "upgrade_refused", KV_STR("path", u->program), KV_STR("error", words),
		KV_STR("detail", output));
	json_out_init(&j, &json);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", false);
	json_str(&j, "error", words);
	json_str(&j, "path", u->program);
	json_str(&j, "output", output);
	json_close_object(&j);
	free(u->sv->upgrade_error);
	u->sv->upgrade_error = strdup(words);
	end(u);
	control_upgraded(u->sv->control, &json, exit_code);
}

static void announce(struct upgrade *u)
{
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct json_out j;
	json_out_init(&j, &json);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", true);
	json_int(&j, "upgrades", (int64_t)u->sv->upgrades + 1);
	json_str(&j, "from", DROVER_VERSION);
	json_str(&j, "version", u->version);
	json_close_object(&j);
	control_upgraded(u->sv->control, &json, 0);
}

/* --- stage by stage --- */

/* The rehearsal that tells this is freed in the next turn. */
static void on_rehearsed(void *arg, const struct rehearsal_end *told)
{
	struct upgrade *u = arg;
	u->accepted = told->ok || MUTANT(UPGRADE_UNTRIED);
	u->exit_code = told->exit_code == EXIT_CONFIG ? EXIT_CONFIG : 1;
	if (!told->ok)
		snprintf(u->words, sizeof(u->words), "%s cannot take over: %s", u->program,
			told->words);
	str_clean(u->output, sizeof(u->output), told->output);
	str_copy(u->version, sizeof(u->version), told->version);
	u->records = told->records;
	loop_defer(u->sv->loop, next_stage, u);
}

static void try_it(struct upgrade *u, enum stage stage)
{
	struct err err = { 0 };
	struct stat st;
	u->stage = stage;
	build_arguments(u);
	int rc = look_at_binary(u, &st, &err);
	if (rc == 0)
		rc = rehearsal_start(&u->rehearsal, u->sv, u->argv, on_rehearsed, u, &err);
	u->binary = st;
	if (rc < 0)
		refuse(u, 1, err.text, "");
}

void upgrade_begin(struct upgrade *u)
{
	if (u->stage != UPGRADE_NONE)
		return;
	free(TAKE(u->sv->upgrade_error));
	log_info(MAIN, "upgrade_started", KV_INT("pid", getpid()), KV_STR("path", u->program));
	if (u->sv->state == SUPERVISOR_STOPPING)
		refuse(u, 1, "the supervisor is stopping", "");
	else
		try_it(u, UPGRADE_TRYING);
}

static bool is_on_its_way_down(const struct process *p)
{
	return p->kind && p->state == PROCESS_STOPPING;
}

/* Those that take tasks first: what they write still finds a scheduler and a monitor. */
static struct process *next_worker(const struct upgrade *u, bool takes_tasks)
{
	LIST_FOR_EACH (node, &u->sv->processes) {
		struct process *p = LIST_ENTRY(node, struct process, node);
		if (p->kind && p->kind->takes_tasks == takes_tasks &&
			(p->state == PROCESS_STARTING || p->state == PROCESS_RUNNING))
			return p;
	}
	return NULL;
}

static void drain_next(struct upgrade *u)
{
	LIST_FOR_EACH (node, &u->sv->processes)
		if (is_on_its_way_down(LIST_ENTRY(node, struct process, node)))
			return;
	struct process *p = next_worker(u, true);
	if (!p)
		p = next_worker(u, false);
	if (p)
		process_restart(p, CAUSE_UPGRADE);
	else
		try_it(u, UPGRADE_TRYING_AGAIN);
}

static int give(const struct upgrade *u, struct hand_over *h)
{
	int rc = hand_over_add(h, HAND_OVER_LOCK, "lock", u->sv->lock_fd);
	if (rc == 0)
		rc = control_give(u->sv->control, h);
	if (rc == 0)
		rc = log_room_give(u->sv->logs, h);
	LIST_FOR_EACH (node, &u->sv->processes) {
		const struct process *p = LIST_ENTRY(node, struct process, node);
		if (rc == 0 && p->instance && p->instance->notify)
			rc = hand_over_add(
				h, HAND_OVER_NOTIFY, p->name, probe_notify_fd(p->instance->notify));
	}
	return rc;
}

/* @return only when it failed: then all is as before */
static int execute(struct upgrade *u, struct hand_over *h, struct err *err)
{
	int rc = give(u, h) < 0 ? err_set(err, -ENOMEM, "out of memory") : hand_over_open(h, err);
	if (rc < 0)
		return rc;
	service_manager_pass_on(u->sv->manager, true);
	spawn_lower_fd_limit();
	execv(u->program, (char *const *)(uintptr_t)u->argv);
	rc = -errno;
	spawn_raise_fd_limit();
	service_manager_pass_on(u->sv->manager, false);
	hand_over_close(h);
	return err_sys(err, rc, "execute %s", u->program);
}

static void replace_us(struct upgrade *u)
{
	struct err err = { 0 };
	struct stat st;
	if (look_at_binary(u, &st, &err) < 0 || !is_same_binary(&st, &u->binary)) {
		refuse(u, 1,
			err.code ? err.text : "the program changed while it was tried; try again",
			"");
		return;
	}
	struct hand_over *h = hand_over_new(u->sv->upgrades + 1);
	if (!h) {
		refuse(u, 1, "out of memory", "");
		return;
	}
	log_info(MAIN, "upgrade_executes", KV_STR("path", u->program),
		KV_STR("version", u->version), KV_INT("count", u->records));
	announce(u);
	execute(u, h, &err);
	hand_over_free(h);
	refuse(u, 1, err.text, "");
}

/* A signal that comes from now on waits for the next one's loop; one that was caught before, and
 * would be forgotten by the exec, is heard in these last turns. */
static void leave(struct upgrade *u)
{
	block_signals(SIG_BLOCK);
	u->stage = UPGRADE_LEAVING;
	u->turns_left = LAST_TURNS;
	loop_timer_start(u->timer, 0);
}

static void settle(struct upgrade *u)
{
	if (control_waits(u->sv->control) && loop_now_ms(u->sv->loop) < u->settle_until_ms)
		loop_timer_start(u->timer, SETTLE_MS);
	else
		leave(u);
}

static void on_timer(void *arg)
{
	struct upgrade *u = arg;
	if (u->stage == UPGRADE_SETTLING)
		settle(u);
	else if (u->stage == UPGRADE_LEAVING && u->sv->state == SUPERVISOR_STOPPING)
		upgrade_look(u);
	else if (u->stage == UPGRADE_LEAVING && u->turns_left-- > 0)
		loop_timer_start(u->timer, 0);
	else if (u->stage == UPGRADE_LEAVING)
		replace_us(u);
}

static void next_stage(void *arg)
{
	struct upgrade *u = arg;
	rehearsal_free(TAKE(u->rehearsal));
	if (!u->accepted) {
		refuse(u, u->exit_code, u->words, u->output);
	} else if (u->stage == UPGRADE_TRYING) {
		u->stage = UPGRADE_DRAINING;
		drain_next(u);
	} else if (u->stage == UPGRADE_TRYING_AGAIN) {
		u->stage = UPGRADE_SETTLING;
		u->settle_until_ms = loop_now_ms(u->sv->loop) + SETTLE_MOST_MS;
		settle(u);
	}
}

void upgrade_look(struct upgrade *u)
{
	if (u->stage == UPGRADE_NONE)
		return;
	if (u->sv->state == SUPERVISOR_STOPPING)
		refuse(u, 1, "the supervisor is stopping", "");
	else if (u->stage == UPGRADE_DRAINING)
		drain_next(u);
}

bool upgrade_holds_back(const struct upgrade *u, const struct process *p)
{
	return u && p->kind && u->stage > UPGRADE_TRYING;
}
