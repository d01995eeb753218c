/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/sys.h"
#include "records.h"
#include "spawn.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct made {
	struct spawned child;
	struct spawn_failure failure;
	ssize_t failed; /* bytes of failure */
	char output[4096];
};

static int empty;

static void finish(struct made *m)
{
	siginfo_t info;
	struct pollfd wait = { .fd = m->child.pidfd, .events = POLLIN };
	assert_int_equal(poll(&wait, 1, 10000), 1);
	assert_int_equal(sys_wait_pidfd(m->child.pidfd, &info), 1);
	close(m->child.pidfd);
	close(m->child.error_fd);
}

/* Runs it to its end; its output fits into a pipe. */
static void run(struct spawn_spec *spec, struct made *m)
{
	int out[2];
	memset(m, 0, sizeof(*m));
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	spec->stdin_fd = empty;
	spec->output_fd = out[1];
	assert_int_equal(spawn_child(spec, &m->child, NULL), 0);
	close(out[1]);
	struct pollfd wait = { .fd = m->child.error_fd, .events = POLLIN };
	assert_int_equal(poll(&wait, 1, 10000), 1);
	m->failed = read(m->child.error_fd, &m->failure, sizeof(m->failure));
	size_t len = 0;
	for (ssize_t n; (n = read(out[0], m->output + len, sizeof(m->output) - 1 - len)) > 0;)
		len += (size_t)n;
	close(out[0]);
	finish(m);
}

static struct spawn_spec of(const char *const *argv)
{
	return (struct spawn_spec) { .argv = argv, .channel_fd = -1, .record_fd = -1 };
}

static void a_service_has_descriptors_0_to_2_and_no_more(void **state)
{
	static const char *const argv[] = { "sh", "-c", "echo /proc/self/fd/*; read x || echo eof",
		NULL };
	struct spawn_spec spec = of(argv);
	struct made m;
	(void)state;
	/* ours, inheritable, must not arrive */
	int stray = dup(empty);
	run(&spec, &m);
	close(stray);
	assert_int_equal(m.failed, 0);
	/* 3 is the shell's own for reading the folder */
	assert_string_equal(
		m.output, "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\neof\n");
}

static void a_worker_has_its_channel_as_3(void **state)
{
	static const char *const argv[] = { "sh", "-c", "readlink /proc/self/fd/3", NULL };
	struct spawn_spec spec = of(argv);
	struct made m;
	(void)state;
	spec.channel_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	run(&spec, &m);
	close(spec.channel_fd);
	assert_string_equal(m.output, "/dev/null\n");
}

static void the_environment_is_built_from_scratch(void **state)
{
	static const char *const argv[] = { "env", NULL };
	static const struct spawn_variable environment[] = { { "A", "b=c" } };
	struct spawn_spec spec = of(argv);
	struct made m;
	(void)state;
	setenv("SECRET_OF_DROVERD", "x", 1);
	spec.environment = environment;
	spec.environment_count = 1;
	run(&spec, &m);
	assert_non_null(strstr(m.output, "A=b=c\n"));
	assert_non_null(strstr(m.output, "PATH=/usr/local/sbin:"));
	assert_non_null(strstr(m.output, "LANG=C.UTF-8\n"));
	assert_non_null(strstr(m.output, "HOME=/"));
	assert_non_null(strstr(m.output, "USER="));
	assert_null(strstr(m.output, "SECRET"));
}

static void signals_are_clean_and_the_session_its_own(void **state)
{
	static const char *const argv[] = { "sh", "-c",
		"grep -E '^Sig(Blk|Ign)' /proc/self/status; cut -d' ' -f1,5,6 /proc/$$/stat",
		NULL };
	struct spawn_spec spec = of(argv);
	struct made m;
	sigset_t usr1, old;
	int pid, group, session;
	(void)state;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, &old);
	signal(SIGPIPE, SIG_IGN);
	run(&spec, &m);
	sigprocmask(SIG_SETMASK, &old, NULL);
	assert_non_null(strstr(m.output, "SigBlk:\t0000000000000000"));
	assert_non_null(strstr(m.output, "SigIgn:\t0000000000000000"));
	const char *last = strstr(m.output, "SigIgn");
	last = strchr(last, '\n') + 1;
	assert_int_equal(sscanf(last, "%d %d %d", &pid, &group, &session), 3);
	assert_int_equal(pid, m.child.pid);
	assert_int_equal(group, pid);
	assert_int_equal(session, pid);
}

static void a_failed_start_names_its_step_and_errno(void **state)
{
	static const char *const missing[] = { "/nonexistent/program", NULL };
	static const char *const good[] = { "true", NULL };
	static const char *const directory[] = { "/dev/null", NULL };
	struct spawn_spec spec = of(missing);
	struct made m;
	(void)state;
	run(&spec, &m);
	assert_int_equal(m.failed, sizeof(m.failure));
	assert_string_equal(spawn_step_name(m.failure.step), "exec");
	assert_int_equal(m.failure.error, ENOENT);
	spec = of(directory);
	run(&spec, &m);
	assert_int_equal(m.failure.error, EACCES);
	spec = of(good);
	spec.directory = "/nonexistent";
	run(&spec, &m);
	assert_string_equal(spawn_step_name(m.failure.step), "directory");
	spec = of(good);
	spec.user = "no-such-user-here";
	run(&spec, &m);
	assert_string_equal(spawn_step_name(m.failure.step), "user");
}

static void the_child_claims_the_start_in_the_record(void **state)
{
	static const char *const argv[] = { "true", NULL };
	static const struct record record = { .name = "x",
		.mark = "ab",
		.epoch = "cd",
		.incarnation = 3,
		.state = PROCESS_STARTING };
	struct spawn_spec spec = of(argv);
	struct made m;
	struct record got;
	(void)state;
	FILE *file = tmpfile();
	spec.record_fd = fileno(file);
	spec.incarnation = record.incarnation;
	assert_int_equal(record_write(spec.record_fd, &record), 0);
	run(&spec, &m);
	assert_int_equal(record_read(spec.record_fd, &got), 0);
	assert_int_equal(got.pid, m.child.pid);
	assert_int_equal(got.incarnation, 3);
	assert_true(got.start_time > 0);
	fclose(file);
}

static void the_mask_limits_and_weights_are_those_that_were_asked_for(void **state)
{
	static const char *const argv[] = { "sh", "-c",
		"umask; ulimit -Hn; ulimit -Sn; ulimit -Hc; ulimit -v; nice; "
		"cat /proc/self/oom_score_adj",
		NULL };
	struct spawn_spec spec = of(argv);
	struct made m;
	(void)state;
	spec.umask = "0077";
	spec.limits = (struct spawn_limits) { .nofile = 64, .core = 0, .memory = 512 << 20 };
	spec.nice = 17;
	spec.oom_score_adjust = 900;
	run(&spec, &m);
	assert_int_equal(m.failed, 0);
	assert_string_equal(m.output, "0077\n64\n64\n0\n524288\n17\n900\n");
}

static void without_words_the_mask_is_022_and_nothing_is_dumped(void **state)
{
	static const char *const argv[] = { "sh", "-c", "umask; ulimit -Hc; nice", NULL };
	struct spawn_spec spec = of(argv);
	struct made m;
	char usual[32];
	(void)state;
	run(&spec, &m);
	snprintf(usual, sizeof(usual), "0022\n0\n%d\n", getpriority(PRIO_PROCESS, 0));
	assert_string_equal(m.output, usual);
}

static void what_the_kernel_refuses_is_told_and_not_had(void **state)
{
	static const char *const argv[] = { "echo", "runs", NULL };
	struct spawn_spec spec = of(argv);
	struct made m;
	(void)state;
	/* over fs.nr_open, which is refused to root too */
	spec.limits.nofile = INT64_C(1) << 40;
	run(&spec, &m);
	assert_int_equal(m.failed, sizeof(m.failure));
	assert_true(spawn_is_warning(&m.failure));
	assert_string_equal(spawn_step_name(m.failure.step), "rlimits");
	assert_int_equal(m.failure.error, EPERM);
	assert_string_equal(m.output, "runs\n");
}

static void the_groups_are_those_that_were_named(void **state)
{
	static const char *const argv[] = { "id", "-Gn", NULL };
	static const char *const groups[] = { "adm", "tty", NULL };
	static const char *const unknown[] = { "no-such-group-here", NULL };
	struct spawn_spec spec = of(argv);
	struct made m;
	(void)state;
	if (geteuid() != 0)
		skip();
	spec.user = "nobody";
	spec.groups = groups;
	run(&spec, &m);
	assert_int_equal(m.failed, 0);
	assert_string_equal(m.output, "nogroup adm tty\n");
	spec.groups = unknown;
	run(&spec, &m);
	assert_string_equal(spawn_step_name(m.failure.step), "user");
	assert_int_equal(m.failure.error, ENOENT);
}

static void later(void *arg)
{
	(*(int *)arg)++;
}

/* More than there are seats, and nobody waits in between. */
static void many_at_once_have_each_their_own_descriptors(void **state)
{
	enum { MANY = 40 };
	static const char *const argv[] = { "sh", "-c", "read x; echo $x $0", NULL };
	static struct made made[MANY];
	int in[MANY][2], out[MANY][2], asked = 0;
	(void)state;
	spawn_settle_by(later, &asked);
	for (int i = 0; i < MANY; i++) {
		struct spawn_spec spec = of(argv);
		assert_int_equal(pipe2(in[i], O_CLOEXEC), 0);
		assert_int_equal(pipe2(out[i], O_CLOEXEC), 0);
		spec.stdin_fd = in[i][0];
		spec.output_fd = out[i][1];
		assert_int_equal(spawn_child(&spec, &made[i].child, NULL), 0);
		close(in[i][0]);
		close(out[i][1]);
		dprintf(in[i][1], "%d\n", i);
	}
	spawn_settle();
	for (int i = 0; i < MANY; i++) {
		char expected[32];
		size_t len = 0;
		close(in[i][1]);
		for (ssize_t n; (n = read(out[i][0], made[i].output + len,
					 sizeof(made[i].output) - 1 - len)) > 0;)
			len += (size_t)n;
		snprintf(expected, sizeof(expected), "%d sh\n", i);
		assert_string_equal(made[i].output, expected);
		assert_int_equal(read(made[i].child.error_fd, made[i].output, 1), 0);
		close(out[i][0]);
		finish(&made[i]);
	}
	spawn_settle_by(NULL, NULL);
}

/* Without a look into /proc, most of the time. */
static void the_start_time_is_that_of_the_process(void **state)
{
	static const char *const argv[] = { "true", NULL };
	struct spawn_spec spec = of(argv);
	struct made m;
	int known = 0;
	(void)state;
	spec.stdin_fd = spec.output_fd = empty;
	for (int i = 0; i < 50; i++) {
		assert_int_equal(spawn_child(&spec, &m.child, NULL), 0);
		char text[1024], path[64];
		unsigned long long start = 0;
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)m.child.pid);
		int fd = open(path, O_RDONLY);
		ssize_t n = read(fd, text, sizeof(text) - 1);
		text[n > 0 ? n : 0] = '\0';
		close(fd);
		const char *rest = strrchr(text, ')');
		assert_non_null(rest);
		assert_int_equal(
			sscanf(rest + 3,
				"%*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d "
				"%*d %*d %*d %llu",
				&start),
			1);
		if (m.child.start_time)
			assert_int_equal(m.child.start_time, start);
		known += m.child.start_time != 0;
		finish(&m);
	}
	assert_in_range(known, 10, 50);
}

static int set_up(void **state)
{
	(void)state;
	empty = open("/dev/null", O_RDONLY);
	return empty == -1;
}

static int set_up_prepared(void **state)
{
	spawn_prepare();
	return set_up(state);
}

static int tear_down(void **state)
{
	(void)state;
	spawn_finish();
	return close(empty);
}

/* Twice: each child has a copy of our memory; and it shares it where it asks for no account. */
int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_service_has_descriptors_0_to_2_and_no_more),
		cmocka_unit_test(a_worker_has_its_channel_as_3),
		cmocka_unit_test(the_environment_is_built_from_scratch),
		cmocka_unit_test(signals_are_clean_and_the_session_its_own),
		cmocka_unit_test(a_failed_start_names_its_step_and_errno),
		cmocka_unit_test(the_mask_limits_and_weights_are_those_that_were_asked_for),
		cmocka_unit_test(without_words_the_mask_is_022_and_nothing_is_dumped),
		cmocka_unit_test(what_the_kernel_refuses_is_told_and_not_had),
		cmocka_unit_test(the_groups_are_those_that_were_named),
		cmocka_unit_test(the_child_claims_the_start_in_the_record),
		cmocka_unit_test(many_at_once_have_each_their_own_descriptors),
		cmocka_unit_test(the_start_time_is_that_of_the_process),
	};
	return cmocka_run_group_tests_name("copies", tests, set_up, tear_down) +
	       cmocka_run_group_tests_name("shares", tests, set_up_prepared, tear_down);
}
