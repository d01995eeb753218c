/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "ipc/channel.h"
#include "loop/loop.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct side {
	struct channel *channel;
	struct loop *loop;
	int messages, closed, stop_after;
	char why[256], last[128];
	int kept_fd;
	bool free_in_handler;
};

static struct loop *loop;
static struct side worker, supervisor;
static struct loop_timer *patience;

static void on_message(void *arg, struct message *m)
{
	struct side *s = arg;
	s->messages++;
	if (m->id == MSG_WAKE)
		snprintf(s->last, sizeof(s->last), "%s", m->body.wake.kind);
	if (m->fd_count) {
		if (s->kept_fd != -1)
			close(s->kept_fd);
		s->kept_fd = m->fds[0];
		m->fds[0] = -1;
	}
	if (s->free_in_handler) {
		channel_free(s->channel);
		s->channel = NULL;
	}
	if (s->messages == s->stop_after)
		loop_stop(loop);
}

static void on_closed(void *arg, const char *why)
{
	struct side *s = arg;
	s->closed++;
	snprintf(s->why, sizeof(s->why), "%s", why ? why : "gone");
	loop_stop(loop);
}

static const struct channel_ops ops = { .message = on_message, .closed = on_closed };

static void too_late(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void run(void)
{
	loop_timer_start(patience, 5000);
	loop_run(loop);
	loop_timer_stop(patience);
}

static int set_up(void **state)
{
	int fds[2];
	(void)state;
	assert_int_equal(loop_new(&loop, NULL), 0);
	patience = loop_timer_new(loop, too_late, NULL);
	worker = supervisor = (struct side) { .kept_fd = -1, .stop_after = 1 };
	assert_int_equal(channel_pair(fds), 0);
	assert_int_equal(channel_new(&worker.channel, loop, fds[0], TO_WORKER, &ops, &worker), 0);
	assert_int_equal(
		channel_new(&supervisor.channel, loop, fds[1], FROM_WORKER, &ops, &supervisor), 0);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	channel_free(worker.channel);
	channel_free(supervisor.channel);
	loop_timer_free(patience);
	loop_free(loop);
	return 0;
}

static const struct msg_wake wake = { .kind = "crawl" };

static void a_message_arrives_whole(void **state)
{
	(void)state;
	assert_int_equal(channel_send(worker.channel, MSG_WAKE, &wake, NULL, 0), 0);
	run();
	assert_int_equal(supervisor.messages, 1);
	assert_string_equal(supervisor.last, "crawl");
}

static void descriptors_travel_and_the_rest_are_closed(void **state)
{
	const struct msg_config config = { .generation = 1 };
	int pipe_fds[2];
	char c;
	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	const int both[2] = { pipe_fds[1], pipe_fds[1] };
	assert_int_equal(channel_send(supervisor.channel, MSG_CONFIG, &config, both, 2), 0);
	close(pipe_fds[1]);
	run();
	assert_true(worker.kept_fd >= 0);
	assert_int_equal(fcntl(worker.kept_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(worker.kept_fd, "x", 1), 1);
	close(worker.kept_fd);
	assert_int_equal(read(pipe_fds[0], &c, 1), 1);
	/* the second copy was closed for us: this is the end */
	assert_int_equal(read(pipe_fds[0], &c, 1), 0);
	close(pipe_fds[0]);
}

static void a_client_with_descriptors_is_refused_and_none_is_held(void **state)
{
	const struct msg_request request = { .version = 1, .verb = "status" };
	struct side control = { .kept_fd = -1, .stop_after = 1 };
	struct channel *client;
	int fds[2], pipe_fds[2];
	char c;
	(void)state;
	assert_int_equal(channel_pair(fds), 0);
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(channel_new(&client, loop, fds[0], TO_CLIENT, &ops, &worker), 0);
	assert_int_equal(
		channel_new(&control.channel, loop, fds[1], FROM_CLIENT, &ops, &control), 0);
	assert_int_equal(channel_send(client, MSG_REQUEST, &request, &pipe_fds[1], 1), 0);
	close(pipe_fds[1]);
	run();
	assert_int_equal(control.messages, 0);
	assert_int_equal(control.closed, 1);
	assert_non_null(strstr(control.why, "descriptors"));
	/* nobody holds its other end: this is the end */
	assert_int_equal(read(pipe_fds[0], &c, 1), 0);
	close(pipe_fds[0]);
	channel_free(client);
	channel_free(control.channel);
}

static void what_the_socket_does_not_take_waits_in_order_with_its_descriptors(void **state)
{
	char name[32];
	const struct msg_wake body = { .kind = name };
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)state;
	enum { MANY = 3000 };
	for (int i = 1; i <= MANY; i++) {
		snprintf(name, sizeof(name), "%d", i);
		assert_int_equal(
			channel_send(worker.channel, MSG_WAKE, &body, &null, i == MANY), 0);
	}
	close(null);
	assert_true(channel_queued(worker.channel) > 0);
	supervisor.stop_after = MANY;
	run();
	assert_int_equal(supervisor.messages, MANY);
	assert_string_equal(supervisor.last, "3000");
	assert_true(supervisor.kept_fd >= 0);
	close(supervisor.kept_fd);
	assert_int_equal(channel_queued(worker.channel), 0);
}

static void read_on(void *arg)
{
	(void)arg;
	channel_pause(supervisor.channel, false);
}

/* The kernel counts those that are on their way for each ordinary user. @return how many came */
static int send_with_descriptors(int count)
{
	const struct rlimit few = { 24, 24 };
	struct loop_timer *timer = loop_timer_new(loop, read_on, NULL);
	if (setresgid(54321, 54321, 54321) == -1 && getuid() == 0)
		return -1;
	if (setresuid(54321, 54321, 54321) == -1 && getuid() == 0)
		return -1;
	if (setrlimit(RLIMIT_NOFILE, &few) == -1)
		return -1;
	channel_pause(supervisor.channel, true);
	for (int i = 0; i < count; i++)
		if (channel_send(
			    worker.channel, MSG_WAKE, &wake, (const int[]) { STDIN_FILENO }, 1) < 0)
			return -1;
	supervisor.stop_after = count;
	loop_timer_start(timer, 20);
	run();
	return worker.closed ? -1 : supervisor.messages;
}

static void too_many_descriptors_on_their_way_are_waited_for(void **state)
{
	int status = 0;
	(void)state;
	pid_t child = fork();
	if (child == 0)
		_exit(send_with_descriptors(30) == 30 ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void a_full_queue_is_refused_and_nothing_blocks(void **state)
{
	static char big[60000];
	const struct msg_answer body = { .json = { big, sizeof(big) } };
	int rc = 0;
	(void)state;
	for (int i = 0; i < 1000 && rc == 0; i++)
		rc = channel_send(worker.channel, MSG_ANSWER, &body, NULL, 0);
	assert_int_equal(rc, -ENOBUFS);
	assert_true(channel_queued(worker.channel) <= CHANNEL_QUEUE_BYTES);
}

static void the_end_of_the_peer_is_told_once_after_its_last_words(void **state)
{
	(void)state;
	channel_send(worker.channel, MSG_WAKE, &wake, NULL, 0);
	channel_free(worker.channel);
	worker.channel = NULL;
	supervisor.stop_after = 0;
	run();
	assert_int_equal(supervisor.messages, 1);
	assert_int_equal(supervisor.closed, 1);
	assert_string_equal(supervisor.why, "gone");
	assert_int_equal(channel_send(supervisor.channel, MSG_PROBE,
				 &(struct msg_probe) { .seq = 1 }, NULL, 0),
		-EPIPE);
}

static void a_peer_that_errs_is_told_with_words(void **state)
{
	(void)state;
	/* the supervisor's own message, sent the wrong way */
	channel_send(worker.channel, MSG_PROBE, &(struct msg_probe) { .seq = 1 }, NULL, 0);
	run();
	assert_int_equal(supervisor.closed, 1);
	assert_non_null(strstr(supervisor.why, "may not come this way"));
	assert_int_equal(supervisor.messages, 0);
}

static void a_handler_may_free_its_channel(void **state)
{
	(void)state;
	supervisor.free_in_handler = true;
	channel_send(worker.channel, MSG_WAKE, &wake, NULL, 0);
	channel_send(worker.channel, MSG_WAKE, &wake, NULL, 0);
	run();
	assert_int_equal(supervisor.messages, 1);
	assert_null(supervisor.channel);
}

static void a_paused_channel_reads_nothing_until_it_goes_on(void **state)
{
	(void)state;
	channel_pause(supervisor.channel, true);
	channel_send(worker.channel, MSG_WAKE, &wake, NULL, 0);
	loop_timer_start(patience, 50);
	loop_run(loop);
	assert_int_equal(supervisor.messages, 0);
	channel_pause(supervisor.channel, false);
	run();
	assert_int_equal(supervisor.messages, 1);
}

static void the_peers_identity_is_known(void **state)
{
	(void)state;
	assert_int_equal(channel_peer_uid(worker.channel), geteuid());
	assert_int_equal(channel_peer_gid(worker.channel), getegid());
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_message_arrives_whole),
		TEST(descriptors_travel_and_the_rest_are_closed),
		TEST(a_client_with_descriptors_is_refused_and_none_is_held),
		TEST(what_the_socket_does_not_take_waits_in_order_with_its_descriptors),
		TEST(too_many_descriptors_on_their_way_are_waited_for),
		TEST(a_full_queue_is_refused_and_nothing_blocks),
		TEST(the_end_of_the_peer_is_told_once_after_its_last_words),
		TEST(a_peer_that_errs_is_told_with_words),
		TEST(a_handler_may_free_its_channel),
		TEST(a_paused_channel_reads_nothing_until_it_goes_on),
		TEST(the_peers_identity_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
