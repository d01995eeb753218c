/* SPDX-License-Identifier: MIT */
/*
 * The least that supervises, for comparison, and what is supervised:
 *
 *   bench_supervise child FILE          appends (monotonic ns, pid) as it enters main(), then waits
 * for its end bench_supervise parent N FILE       starts N children, starts each again as it ends;
 * TERM ends all and waits
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct stamp {
	int64_t at_ns, pid;
};

struct slot {
	pid_t pid;
	int pidfd;
};

static int64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int child(const char *file)
{
	struct stamp stamp = { .at_ns = now_ns(), .pid = getpid() };
	int fd = open(file, O_WRONLY | O_APPEND | O_CREAT, 0666);
	if (fd == -1 || write(fd, &stamp, sizeof(stamp)) != (ssize_t)sizeof(stamp))
		return 1;
	close(fd);
	pause();
	return 0;
}

static int spawn(struct slot *slot, int epoll, char **argv)
{
	sigset_t none;
	slot->pid = fork();
	if (slot->pid == 0) {
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		setsid();
		execv(argv[0], argv);
		_exit(127);
	}
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = slot };
	slot->pidfd = slot->pid == -1 ? -1 : pidfd_open(slot->pid, 0);
	return slot->pidfd == -1 ? -1 : epoll_ctl(epoll, EPOLL_CTL_ADD, slot->pidfd, &event);
}

/* Linux gives up a watch with the last descriptor of it. */
static void reap(struct slot *slot)
{
	waitpid(slot->pid, NULL, 0);
	close(slot->pidfd);
	slot->pid = 0;
}

static int end_all(struct slot *slots, int count)
{
	for (int i = 0; i < count; i++)
		if (slots[i].pid > 0)
			pidfd_send_signal(slots[i].pidfd, SIGTERM, NULL, 0);
	for (int i = 0; i < count; i++)
		if (slots[i].pid > 0)
			reap(&slots[i]);
	return 0;
}

static int parent(int count, char **argv)
{
	sigset_t mine;
	struct slot *slots = calloc((size_t)count, sizeof(*slots));
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	sigemptyset(&mine);
	sigaddset(&mine, SIGTERM);
	sigprocmask(SIG_BLOCK, &mine, NULL);
	int signals = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
	struct epoll_event event = { .events = EPOLLIN };
	if (!slots || epoll == -1 || signals == -1 ||
		epoll_ctl(epoll, EPOLL_CTL_ADD, signals, &event) == -1)
		return 1;
	for (int i = 0; i < count; i++)
		if (spawn(&slots[i], epoll, argv) == -1)
			return 1;
	while (epoll_wait(epoll, &event, 1, -1) == 1) {
		struct slot *slot = event.data.ptr;
		if (!slot)
			return end_all(slots, count);
		reap(slot);
		if (spawn(slot, epoll, argv) == -1)
			return 1;
	}
	return 1;
}

int main(int argc, char **argv)
{
	char self[] = "/proc/self/exe", word[] = "child";
	if (argc == 3 && strcmp(argv[1], "child") == 0)
		return child(argv[2]);
	if (argc != 4 || strcmp(argv[1], "parent") != 0)
		return 2;
	char *arguments[] = { argv[0], word, argv[3], NULL };
	if (access(argv[0], X_OK) == -1)
		arguments[0] = self;
	return parent(atoi(argv[2]), arguments);
}
