/* SPDX-License-Identifier: MIT */
#include "service_manager.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "loop/loop.h"
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

enum {
	TEXT_SIZE = 512,
	STATUS_SIZE = 200,
	STATUS_EVERY_MS = 200, /* many slots change state at once: one line for all of them */
	EXTEND_EVERY_MS = 5000,
	EXTEND_BY_MS = 20000,
	KEPT_NAME_SIZE = 201,
};

/* Given back at our start; fd -1: taken. */
struct kept {
	char *name;
	int fd;
};

struct service_manager {
	struct loop *loop;
	struct loop_timer *watchdog_timer, *extend_timer, *status_timer;
	int64_t watchdog_ms;
	uint64_t watchdog_us;	 /* as it was told; 0: no watchdog */
	int64_t extend_until_ms; /* loop time; INT64_MAX while starting */
	int64_t status_said_ms;	 /* loop time */
	char *socket;
	char status[STATUS_SIZE], said[STATUS_SIZE];
	bool ready;
	struct kept *kept;
	size_t kept_count;
};

/* The children must not speak for us, so the variable is there only while a word is sent. */
static void say_with(struct service_manager *m, const char *text, const int *fds, unsigned count)
{
	if (!m->socket || setenv("NOTIFY_SOCKET", m->socket, 1) == -1)
		return;
	sd_pid_notify_with_fds(0, 0, text, fds, count);
	unsetenv("NOTIFY_SOCKET");
}

static void say(struct service_manager *m, const char *text)
{
	say_with(m, text, NULL, 0);
}

/* Only from here: a loop that hangs says nothing, and systemd starts us anew. */
static void on_watchdog(void *arg)
{
	struct service_manager *m = arg;
	say(m, "WATCHDOG=1");
	loop_timer_start(m->watchdog_timer, m->watchdog_ms);
}

/* A start or a stop may take as long as the configuration allows, as long as we are seen to live.
 */
static void on_extend(void *arg)
{
	struct service_manager *m = arg;
	char text[TEXT_SIZE];
	if (loop_now_ms(m->loop) >= m->extend_until_ms)
		return;
	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%lld", EXTEND_BY_MS * 1000LL);
	say(m, text);
	loop_timer_start(m->extend_timer, EXTEND_EVERY_MS);
}

static void said_status(struct service_manager *m)
{
	str_copy(m->said, sizeof(m->said), m->status);
	m->status_said_ms = loop_now_ms(m->loop);
	loop_timer_stop(m->status_timer);
}

static void on_status(void *arg)
{
	struct service_manager *m = arg;
	char text[TEXT_SIZE];
	snprintf(text, sizeof(text), "STATUS=%s", m->status);
	say(m, text);
	said_status(m);
}

/* $LISTEN_FDS: what the supervisors before us had it keep. */
static int take_back(struct service_manager *m)
{
	char **names = NULL;
	int count = sd_listen_fds_with_names(1, &names);
	if (count <= 0)
		return count == -ENOMEM ? -1 : 0;
	m->kept = calloc((size_t)count, sizeof(*m->kept));
	for (int i = 0; i < count; i++) {
		if (!m->kept) {
			free(names[i]);
			continue;
		}
		m->kept[i] = (struct kept) { .name = names[i], .fd = SD_LISTEN_FDS_START + i };
		m->kept_count++;
	}
	free(names);
	return m->kept ? 0 : -1;
}

static int listen_to_environment(struct service_manager *m)
{
	const char *socket = getenv("NOTIFY_SOCKET");
	uint64_t watchdog_us = 0;
	if (!socket || !*socket)
		return 0;
	m->socket = strdup(socket);
	if (!m->socket)
		return -1;
	if (sd_watchdog_enabled(0, &watchdog_us) > 0) {
		m->watchdog_us = watchdog_us;
		m->watchdog_ms = MAX((int64_t)(watchdog_us / 1000 / 3), (int64_t)1);
		loop_timer_start(m->watchdog_timer, 0);
	}
	m->extend_until_ms = INT64_MAX;
	loop_timer_start(m->extend_timer, EXTEND_EVERY_MS);
	return 0;
}

struct service_manager *service_manager_new(struct loop *loop)
{
	struct service_manager *m = NEW(struct service_manager);
	if (!m)
		return NULL;
	m->loop = loop;
	m->status_said_ms = loop_now_ms(loop) - STATUS_EVERY_MS;
	m->watchdog_timer = loop_timer_new(loop, on_watchdog, m);
	m->extend_timer = loop_timer_new(loop, on_extend, m);
	m->status_timer = loop_timer_new(loop, on_status, m);
	if (!m->watchdog_timer || !m->extend_timer || !m->status_timer ||
		listen_to_environment(m) == -1 || take_back(m) == -1) {
		service_manager_free(m);
		return NULL;
	}
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	return m;
}

void service_manager_free(struct service_manager *m)
{
	if (!m)
		return;
	loop_timer_free(m->watchdog_timer);
	loop_timer_free(m->extend_timer);
	loop_timer_free(m->status_timer);
	for (size_t i = 0; i < m->kept_count; i++) {
		if (m->kept[i].fd >= 0)
			sys_close(m->kept[i].fd);
		free(m->kept[i].name);
	}
	free(m->kept);
	free(m->socket);
	free(m);
}

void service_manager_status(struct service_manager *m, const char *status)
{
	str_copy(m->status, sizeof(m->status), status);
	if (str_eq(m->status, m->said))
		loop_timer_stop(m->status_timer);
	else if (!loop_timer_armed(m->status_timer))
		loop_timer_start(m->status_timer,
			MAX(m->status_said_ms + STATUS_EVERY_MS - loop_now_ms(m->loop),
				(int64_t)0));
}

static void say_ready(struct service_manager *m, const char *status)
{
	char text[TEXT_SIZE];
	str_copy(m->status, sizeof(m->status), status);
	snprintf(text, sizeof(text), "READY=1\nSTATUS=%s", m->status);
	say(m, text);
	said_status(m);
}

void service_manager_ready(struct service_manager *m, const char *status)
{
	m->ready = true;
	m->extend_until_ms = 0;
	loop_timer_stop(m->extend_timer);
	say_ready(m, status);
}

void service_manager_reloading(struct service_manager *m)
{
	char text[TEXT_SIZE];
	snprintf(text, sizeof(text),
		"RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading the configuration",
		(long long)clock_mono_us());
	if (m->ready)
		say(m, text);
}

void service_manager_reloaded(struct service_manager *m, const char *status)
{
	if (m->ready)
		say_ready(m, status);
}

void service_manager_stopping(struct service_manager *m, int64_t most_ms)
{
	char text[TEXT_SIZE];
	m->extend_until_ms = loop_now_ms(m->loop) + most_ms;
	loop_timer_start(m->extend_timer, EXTEND_EVERY_MS);
	snprintf(text, sizeof(text), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld", EXTEND_BY_MS * 1000LL);
	say(m, text);
}

/* A colon separates the names in $LISTEN_FDNAMES, so it may not be in one. */
static void write_name(char out[KEPT_NAME_SIZE], const char *name)
{
	str_copy(out, KEPT_NAME_SIZE, name);
	for (char *p = out; (p = strchr(p, ':'));)
		*p = '/';
}

void service_manager_pass_on(struct service_manager *m, bool on)
{
	char number[24];
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (!on || !m->socket)
		return;
	setenv("NOTIFY_SOCKET", m->socket, 1);
	snprintf(number, sizeof(number), "%" PRIu64, m->watchdog_us);
	if (m->watchdog_us)
		setenv("WATCHDOG_USEC", number, 1);
}

void service_manager_given(struct service_manager *m, const char *name, int fd)
{
	char kept[KEPT_NAME_SIZE];
	write_name(kept, name);
	struct kept *more = realloc(m->kept, (m->kept_count + 1) * sizeof(*more));
	char *copy = strdup(kept);
	if (more)
		m->kept = more;
	if (!more || !copy) {
		sys_close(fd);
		free(copy);
		return;
	}
	m->kept[m->kept_count++] = (struct kept) { .name = copy, .fd = fd };
}

void service_manager_keep(struct service_manager *m, const char *name, int fd)
{
	char text[TEXT_SIZE], kept[KEPT_NAME_SIZE];
	write_name(kept, name);
	/* FDPOLL=0: it must not be dropped for what epoll says about it. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", kept);
	say_with(m, text, &fd, 1);
}

void service_manager_forget(struct service_manager *m, const char *name)
{
	char text[TEXT_SIZE], kept[KEPT_NAME_SIZE];
	write_name(kept, name);
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", kept);
	say(m, text);
}

int service_manager_take(struct service_manager *m, const char *name)
{
	char kept[KEPT_NAME_SIZE];
	write_name(kept, name);
	for (size_t i = 0; i < m->kept_count; i++) {
		int fd = m->kept[i].fd;
		if (fd < 0 || !str_eq(m->kept[i].name, kept))
			continue;
		m->kept[i].fd = -1;
		return fd;
	}
	return -1;
}

void service_manager_forget_rest(struct service_manager *m)
{
	for (size_t i = 0; i < m->kept_count; i++) {
		if (m->kept[i].fd < 0)
			continue;
		sys_close(m->kept[i].fd);
		m->kept[i].fd = -1;
		service_manager_forget(m, m->kept[i].name);
	}
}

bool service_manager_wants_sweep(void)
{
	const char *result = getenv("SERVICE_RESULT");
	return !result || !*result || str_eq(result, "success");
}
