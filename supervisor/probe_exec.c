/* SPDX-License-Identifier: MIT */
#include "probe_exec.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "children.h"
#include "contain.h"
#include "instance.h"
#include "log/log.h"
#include "loop/loop.h"
#include "process.h"
#include "spawn.h"
#include "supervisor.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* No slot can have a name with this character in it. */
#define LABEL_END "!probe"

enum {
	READ_SIZE = 65536,
	FREE_BYTES = 1048576, /* what it may write as fast as it likes */
	PAUSE_MS = 5,	      /* after that it is read in portions: a flood must not hold us up */
};

struct probe_exec {
	struct process *process;
	char label[SLOT_NAME_SIZE];
	uint64_t seq;
	pid_t pid;
	uint64_t start_time;
	int pidfd, error_fd, out_fd;
	struct loop_exit *exit;
	struct loop_io *out;
	struct loop_timer *resume;
	bool running; /* started, and its end was not told yet */
	bool dirty;   /* others of its tree may live */
	bool ours;    /* none of an earlier supervisor's can be among them */
	char line[PROCESS_DETAIL];
	size_t line_len, total;
	bool line_over;
};

static void on_exit_of(void *arg, const siginfo_t *info);
static void on_output(void *arg, int fd, unsigned events);
static void on_resume(void *arg);

void probe_exec_slot(char *name, const char *label)
{
	str_copy(name, SLOT_NAME_SIZE, label);
	name[strcspn(name, "!")] = '\0';
}

static struct probe_exec *exec_of(struct process *p)
{
	struct instance *i = p->instance;
	if (!i || i->exec)
		return i ? i->exec : NULL;
	struct probe_exec *e = NEW(struct probe_exec);
	if (!e)
		return NULL;
	e->process = p;
	e->pidfd = e->error_fd = e->out_fd = -1;
	snprintf(e->label, sizeof(e->label), "%.70s" LABEL_END, p->name);
	e->resume = loop_timer_new(p->loop, on_resume, e);
	if (!e->resume) {
		free(e);
		return NULL;
	}
	i->exec = e;
	return e;
}

static struct contain_target target_of(const struct probe_exec *e)
{
	return (struct contain_target) {
		.slot = e->label, .main_pid = e->pid, .main_start = e->start_time
	};
}

static struct contain *contain_of(const struct probe_exec *e)
{
	const struct supervisor *sv = e->process->owner;
	return sv->contain;
}

static struct children *children_of(const struct probe_exec *e)
{
	const struct supervisor *sv = e->process->owner;
	return sv->children;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		sys_close(*fd);
	*fd = -1;
}

static void let_go_of_output(struct probe_exec *e)
{
	loop_io_free(e->out);
	e->out = NULL;
	loop_timer_stop(e->resume);
	close_fd(&e->out_fd);
	close_fd(&e->error_fd);
}

static void let_go_of_process(struct probe_exec *e)
{
	loop_exit_free(e->exit);
	e->exit = NULL;
	close_fd(&e->pidfd);
	if (e->running)
		children_remove(children_of(e), e->pid);
	e->running = false;
}

void probe_exec_free(struct probe_exec *e)
{
	if (!e)
		return;
	let_go_of_output(e);
	let_go_of_process(e);
	contain_remove_group(contain_of(e), e->label);
	loop_timer_free(e->resume);
	free(e);
}

/* --- its end --- */

/* Looks first: mostly nothing is there, and a kill costs several looks. */
static bool kill_rest(struct probe_exec *e)
{
	const struct contain_target target = target_of(e);
	e->dirty = !(e->ours && instance_is_alone(e->process, e->label)) &&
		   contain_count(contain_of(e), &target) > 0;
	if (e->dirty)
		contain_signal(contain_of(e), &target, SIGKILL, CONTAIN_TREE);
	else
		contain_remove_group(contain_of(e), e->label);
	return !e->dirty;
}

void probe_exec_kill(struct process *p)
{
	struct probe_exec *e = p->instance ? p->instance->exec : NULL;
	if (!e || (!e->running && !e->dirty))
		return;
	let_go_of_output(e);
	if (e->running) {
		const struct contain_target target = target_of(e);
		sys_pidfd_send_signal(e->pidfd, SIGKILL);
		contain_signal(contain_of(e), &target, SIGKILL, CONTAIN_TREE);
		e->dirty = true;
	} else {
		kill_rest(e);
	}
}

int probe_exec_living(struct process *p)
{
	const struct probe_exec *e = p->instance ? p->instance->exec : NULL;
	if (!e || (!e->running && !e->dirty))
		return 0;
	const struct contain_target target = target_of(e);
	return contain_count(contain_of(e), &target);
}

void probe_exec_expect(struct process *p)
{
	struct probe_exec *e = exec_of(p);
	if (e)
		kill_rest(e);
}

/* --- its output --- */

static void keep_line(struct probe_exec *e, const char *data, size_t len)
{
	for (size_t i = 0; i < len && !e->line_over; i++) {
		if (data[i] == '\n' || e->line_len == sizeof(e->line) - 1)
			e->line_over = true;
		else
			e->line[e->line_len++] = data[i];
	}
	e->line[e->line_len] = '\0';
}

/* @return false when there is nothing to read now */
static bool read_some(struct probe_exec *e)
{
	char data[READ_SIZE];
	ssize_t n = e->out_fd >= 0 ? read(e->out_fd, data, sizeof(data)) : 0;
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		loop_io_free(e->out);
		e->out = NULL;
		return false;
	}
	keep_line(e, data, (size_t)n);
	e->total += (size_t)n;
	return true;
}

static void on_output(void *arg, int fd UNUSED, unsigned events UNUSED)
{
	struct probe_exec *e = arg;
	if (!read_some(e) || e->total < FREE_BYTES || !e->out)
		return;
	loop_io_set(e->out, 0);
	loop_timer_start(e->resume, PAUSE_MS);
}

static void on_resume(void *arg)
{
	struct probe_exec *e = arg;
	if (e->out)
		loop_io_set(e->out, LOOP_READ);
}

/* --- its answer --- */

/* Why it could not be executed, when it could not. */
static bool read_failure(struct probe_exec *e, struct spawn_failure *out)
{
	return e->error_fd >= 0 && read(e->error_fd, out, sizeof(*out)) == (ssize_t)sizeof(*out);
}

static bool judge(struct probe_exec *e, const siginfo_t *info, char *detail, size_t size)
{
	struct spawn_failure failure;
	if (!info) {
		snprintf(detail, size, "its end is unknown");
	} else if (info->si_code != CLD_EXITED) {
		snprintf(detail, size, "signal %d (%s)", info->si_status,
			sigabbrev_np(info->si_status) ?: "?");
	} else if (info->si_status == 127 && read_failure(e, &failure)) {
		snprintf(detail, size, "%s: %s", spawn_step_name(failure.step),
			strerror(failure.error));
	} else {
		snprintf(detail, size, "exit code %d%s%.120s", info->si_status,
			e->line_len ? ": " : "", e->line);
		return info->si_status == 0;
	}
	return false;
}

static void on_exit_of(void *arg, const siginfo_t *info)
{
	struct probe_exec *e = arg;
	char detail[PROCESS_DETAIL], clean[PROCESS_DETAIL];
	while (!e->line_over && read_some(e))
		;
	bool ok = judge(e, info, detail, sizeof(detail));
	str_clean(clean, sizeof(clean), detail);
	let_go_of_output(e);
	let_go_of_process(e);
	kill_rest(e);
	/* Last: what follows may end the instance. Of one that was killed it is stale. */
	process_probe_answer(e->process, e->seq, ok, -1, clean);
}

/* --- its start --- */

static int watch(struct probe_exec *e)
{
	struct loop *loop = e->process->loop;
	e->exit = loop_exit_new(loop, e->pidfd, on_exit_of, e);
	e->out = loop_io_new(loop, e->out_fd, LOOP_READ, on_output, e);
	return e->exit && e->out ? 0 : -ENOMEM;
}

static int fork_it(struct probe_exec *e, int write_fd, struct err *err)
{
	struct process *p = e->process;
	struct instance_plan plan;
	struct spawned child;
	struct err why = { 0 };
	if (instance_plan(&plan, p, e->label, &p->rules->probe.exec) < 0)
		return err_set(err, -ENOMEM, "memory");
	/* One of its own, so that it is ended whole and the service is not. Where there is none the
	 * marks must do. */
	CLEANUP(closep)
	int group_fd = contain_make_group(contain_of(e), e->label, p->incarnation, &why);
	plan.spec.cgroup_fd = group_fd;
	plan.spec.output_fd = write_fd;
	int rc = children_reserve(children_of(e)) < 0 ? err_set(err, -ENOMEM, "memory")
						      : spawn_child(&plan.spec, &child, err);
	instance_plan_finish(&plan);
	if (rc < 0)
		return rc;
	e->pid = child.pid;
	e->pidfd = child.pidfd;
	e->error_fd = child.error_fd;
	e->start_time = contain_start_time(child.pid);
	e->running = e->ours = true;
	children_add(children_of(e), e->pid);
	contain_started(contain_of(e));
	return 0;
}

static int start(struct probe_exec *e, struct err *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) == -1)
		return err_set(err, -errno, "pipe");
	int rc = fcntl(fds[0], F_SETFL, O_NONBLOCK) == -1 ? err_set(err, -errno, "pipe")
							  : fork_it(e, fds[1], err);
	sys_close(fds[1]);
	e->out_fd = fds[0];
	if (rc == 0 && watch(e) < 0)
		rc = err_set(err, -ENOMEM, "watch");
	return rc;
}

bool probe_exec_start(struct process *p, uint64_t seq)
{
	struct err err = { 0 };
	struct probe_exec *e = exec_of(p);
	if (!e || !p->service)
		return false;
	/* The kernel has not let go of the last one. */
	if (e->running || (e->dirty && !kill_rest(e)))
		return false;
	e->seq = seq;
	e->line_len = e->total = 0;
	e->line[0] = '\0';
	e->line_over = false;
	if (start(e, &err) == 0)
		return true;
	log_warn(HEALTH, "probe_not_started", KV_STR("name", p->name),
		KV_INT("incarnation", p->incarnation), KV_STR("step", err.text),
		KV_INT("errno", -err.code));
	/* Without a watcher the reaper takes it. */
	probe_exec_kill(p);
	let_go_of_output(e);
	let_go_of_process(e);
	return false;
}
