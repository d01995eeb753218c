/* SPDX-License-Identifier: MIT */
#include "rehearsal.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "children.h"
#include "contain.h"
#include "loop/loop.h"
#include "records.h"
#include "spawn.h"
#include "supervisor.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOT   ":rehearsal"
#define FOLDER "rehearsal"
enum {
	WITHIN_MS = 10000,
	OUTPUT_MAX = 16384,
	ARGUMENTS_MAX = 16,
	VARIABLES_MAX = 2000,
};

struct rehearsal {
	struct supervisor *sv;
	void (*over)(void *arg, const struct rehearsal_end *end);
	void *arg;
	struct spawned child; /* pid 0: none */
	uint64_t start_time;
	int out_fd, records;
	struct loop_exit *exit;
	struct loop_io *out;
	struct loop_timer *timer;
	struct buf output;
	bool ended;
};

/* --- the copy --- */

static int open_folder(const struct supervisor *sv, struct err *err)
{
	if (mkdirat(sv->runtime_fd, FOLDER, 0700) == -1 && errno != EEXIST)
		return err_sys(err, -errno, "make %s/" FOLDER, sv->runtime_dir);
	int fd = sys_openat(sv->runtime_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return fd == -1 ? err_sys(err, -errno, "open %s/" FOLDER, sv->runtime_dir) : fd;
}

static void empty_folder(int fd)
{
	int copy = sys_openat(fd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = copy == -1 ? NULL : fdopendir(copy);
	if (!dir) {
		if (copy != -1)
			sys_close(copy);
		return;
	}
	for (const struct dirent *d; (d = readdir(dir));)
		if (d->d_name[0] != '.')
			record_remove(fd, d->d_name);
	closedir(dir);
}

static void remove_folder(const struct supervisor *sv)
{
	struct err err = { 0 };
	int fd = open_folder(sv, &err);
	if (fd < 0)
		return;
	empty_folder(fd);
	sys_close(fd);
	sys_unlinkat(sv->runtime_fd, FOLDER, AT_REMOVEDIR);
}

static int copy_records(struct rehearsal *r, struct err *err)
{
	CLEANUP(closep) int fd = open_folder(r->sv, err);
	if (fd < 0)
		return fd;
	empty_folder(fd);
	r->records = records_copy(r->sv->slots_fd, fd);
	return r->records < 0 ? err_sys(err, r->records, "copy the slot records") : 0;
}

/* --- what it says --- */

static struct contain_target target_of(const struct rehearsal *r)
{
	return (struct contain_target) {
		.slot = SLOT, .main_pid = r->child.pid, .main_start = r->start_time
	};
}

static void kill_rest(struct rehearsal *r)
{
	const struct contain_target target = target_of(r);
	if (!r->ended)
		sys_pidfd_send_signal(r->child.pidfd, SIGKILL);
	contain_signal(r->sv->contain, &target, SIGKILL, CONTAIN_TREE);
}

void rehearsal_clear(const struct supervisor *sv)
{
	const struct contain_target target = { .slot = SLOT };
	struct stat st;
	if (fstatat(sv->runtime_fd, FOLDER, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return;
	contain_signal(sv->contain, &target, SIGKILL, CONTAIN_TREE);
	remove_folder(sv);
}

static bool read_some(struct rehearsal *r)
{
	char data[4096];
	ssize_t n = read(r->out_fd, data, sizeof(data));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		loop_io_free(r->out);
		r->out = NULL;
		return false;
	}
	if (r->output.len < OUTPUT_MAX)
		buf_add(&r->output, data, MIN((size_t)n, OUTPUT_MAX - r->output.len));
	return true;
}

static void on_output(void *arg, int fd UNUSED, unsigned events UNUSED)
{
	(void)read_some(arg);
}

/* The last line, when it says that all is well. A program that merely ends with 0 is none of ours.
 */
static bool read_word(const struct rehearsal *r, char version[HAND_OVER_VERSION], int *records)
{
	const char *text = buf_str(&r->output), *found = NULL, *at = text;
	while ((at = strstr(at, "rehearsed: ")))
		found = at++;
	return found && (found == text || found[-1] == '\n') &&
	       sscanf(found, "rehearsed: version %31s records %d", version, records) == 2;
}

static void last_line(const struct rehearsal *r, char *words, size_t size)
{
	char line[160];
	const char *text = buf_str(&r->output), *begin;
	size_t len = strlen(text);
	while (len && text[len - 1] == '\n')
		len--;
	for (begin = text + len; begin > text && begin[-1] != '\n';)
		begin--;
	snprintf(line, sizeof(line), "%.*s", (int)(text + len - begin), begin);
	str_clean(words, size, *line ? line : "it says nothing");
}

static void why_not(const struct rehearsal *r, const siginfo_t *info, char *words, size_t size)
{
	struct spawn_failure failure;
	if (!info)
		snprintf(words, size, "its end is unknown");
	else if (info->si_code != CLD_EXITED)
		snprintf(words, size, "it died of signal %d (%s)", info->si_status,
			sigabbrev_np(info->si_status) ?: "?");
	else if (info->si_status == 127 &&
		 read(r->child.error_fd, &failure, sizeof(failure)) == (ssize_t)sizeof(failure))
		snprintf(words, size, "%s: %s", spawn_step_name(failure.step),
			strerror(failure.error));
	else if (info->si_status == 78)
		snprintf(words, size, "it does not accept the configuration");
	else if (info->si_status == 2)
		snprintf(words, size, "it does not know how to take over");
	else if (info->si_status == 0)
		snprintf(words, size, "it does not say that it can take over");
	else
		last_line(r, words, size);
}

static void tell(struct rehearsal *r, struct rehearsal_end *end)
{
	loop_timer_stop(r->timer);
	end->output = buf_str(&r->output);
	r->over(r->arg, end);
}

static void on_exit_of(void *arg, const siginfo_t *info)
{
	struct rehearsal *r = arg;
	char version[HAND_OVER_VERSION] = "", words[256] = "";
	struct rehearsal_end end = { .exit_code = -1, .version = version, .words = words };
	while (r->out && read_some(r))
		;
	r->ended = true;
	children_remove(r->sv->children, r->child.pid);
	kill_rest(r);
	bool exited = info && info->si_code == CLD_EXITED;
	end.exit_code = exited ? info->si_status : -1;
	end.ok = exited && info->si_status == 0 && read_word(r, version, &end.records);
	if (end.ok && end.records != r->records) {
		end.ok = false;
		snprintf(words, sizeof(words), "it reads %d of %d slot records", end.records,
			r->records);
	} else if (!end.ok) {
		why_not(r, info, words, sizeof(words));
	}
	tell(r, &end);
}

static void on_timer(void *arg)
{
	struct rehearsal *r = arg;
	struct rehearsal_end end = { .exit_code = -1, .version = "" };
	char words[64];
	snprintf(words, sizeof(words), "it did not answer within %d s", WITHIN_MS / 1000);
	end.words = words;
	tell(r, &end);
}

/* --- its start --- */

/* It must see what we see: a configuration may name any variable. The names are the caller's. */
static size_t take_environment(struct spawn_variable *out)
{
	size_t count = 0;
	for (char **e = environ; *e && count < VARIABLES_MAX; e++) {
		const char *value = strchr(*e, '=');
		char *name = value ? strndup(*e, (size_t)(value - *e)) : NULL;
		if (name)
			out[count++] = (struct spawn_variable) { name, value + 1 };
	}
	return count;
}

static int fork_with(struct rehearsal *r, const char *const *argv, int write_fd,
	struct spawn_variable *environment, struct err *err)
{
	char instance[64], directory[PATH_MAX];
	size_t named = take_environment(environment), count = named;
	snprintf(instance, sizeof(instance), "%s:0", r->sv->mark);
	environment[count++] = (struct spawn_variable) { MARK_SLOT, SLOT };
	environment[count++] = (struct spawn_variable) { MARK_INSTANCE, instance };
	const struct spawn_spec spec = { .argv = argv,
		.directory = getcwd(directory, sizeof(directory)),
		.environment = environment,
		.environment_count = count,
		.limit_mark = contain_limit_mark(r->sv->mark, SLOT),
		.stdin_fd = r->sv->empty_fd,
		.output_fd = write_fd,
		.channel_fd = -1,
		.cgroup_fd = -1,
		.record_fd = -1 };
	int rc = spawn_child(&spec, &r->child, err);
	for (size_t i = 0; i < named; i++)
		free((char *)(uintptr_t)environment[i].name);
	return rc;
}

static int fork_it(struct rehearsal *r, const char *const *argv, int write_fd, struct err *err)
{
	CLEANUP(freep)
	struct spawn_variable *environment = calloc(VARIABLES_MAX + 2, sizeof(*environment));
	if (!environment || children_reserve(r->sv->children) < 0)
		return err_set(err, -ENOMEM, "out of memory");
	int rc = fork_with(r, argv, write_fd, environment, err);
	if (rc == 0)
		children_add(r->sv->children, r->child.pid);
	return rc;
}

static int watch(struct rehearsal *r, struct err *err)
{
	struct loop *loop = r->sv->loop;
	r->start_time = contain_start_time(r->child.pid);
	contain_started(r->sv->contain);
	r->exit = loop_exit_new(loop, r->child.pidfd, on_exit_of, r);
	r->out = loop_io_new(loop, r->out_fd, LOOP_READ, on_output, r);
	if (!r->exit || !r->out)
		return err_set(err, -ENOMEM, "out of memory");
	loop_timer_start(r->timer, WITHIN_MS);
	return 0;
}

static int start(struct rehearsal *r, const char *const *argv, struct err *err)
{
	const char *with[ARGUMENTS_MAX + 3];
	char directory[PROGRAM_PATH];
	size_t n = 0;
	int fds[2];
	int rc = copy_records(r, err);
	if (rc < 0)
		return rc;
	snprintf(directory, sizeof(directory), "%s/" FOLDER, r->sv->runtime_dir);
	while (n < ARGUMENTS_MAX && argv[n]) {
		with[n] = argv[n];
		n++;
	}
	with[n++] = "--rehearse";
	with[n++] = directory;
	with[n] = NULL;
	if (pipe2(fds, O_CLOEXEC) == -1)
		return err_sys(err, -errno, "make a pipe");
	r->out_fd = fds[0];
	fcntl(fds[0], F_SETFL, O_NONBLOCK);
	rc = fork_it(r, with, fds[1], err);
	sys_close(fds[1]);
	return rc < 0 ? rc : watch(r, err);
}

int rehearsal_start(struct rehearsal **out, struct supervisor *sv, const char *const *argv,
	void (*over)(void *arg, const struct rehearsal_end *end), void *arg, struct err *err)
{
	struct rehearsal *r = NEW(struct rehearsal);
	if (!r)
		return err_set(err, -ENOMEM, "out of memory");
	*r = (struct rehearsal) { .sv = sv, .over = over, .arg = arg, .out_fd = -1 };
	r->timer = loop_timer_new(sv->loop, on_timer, r);
	int rc = r->timer ? start(r, argv, err) : err_set(err, -ENOMEM, "out of memory");
	if (rc < 0) {
		rehearsal_free(r);
		return rc;
	}
	*out = r;
	return 0;
}

void rehearsal_free(struct rehearsal *r)
{
	if (!r)
		return;
	if (r->child.pid > 0) {
		kill_rest(r);
		children_remove(r->sv->children, r->child.pid);
		sys_close(r->child.pidfd);
		sys_close(r->child.error_fd);
	}
	loop_exit_free(r->exit);
	loop_io_free(r->out);
	loop_timer_free(r->timer);
	if (r->out_fd >= 0)
		sys_close(r->out_fd);
	remove_folder(r->sv);
	buf_finish(&r->output);
	free(r);
}
