/* SPDX-License-Identifier: MIT */
#include "service_manager.h"

#include "base/clock.h"
#include "base/mem.h"
#include "loop/loop.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

enum { TEXT_SIZE = 512 };

struct service_manager {
	struct loop *loop;
	struct loop_timer *timer;
	int64_t watchdog_ms;
	char *socket;
	bool ready;
};

/* The children must not speak for us, so the variable is there only while a word is sent. */
static void say(struct service_manager *m, const char *text)
{
	if (!m->socket || setenv("NOTIFY_SOCKET", m->socket, 1) == -1)
		return;
	sd_notify(0, text);
	unsetenv("NOTIFY_SOCKET");
}

static void on_watchdog(void *arg)
{
	struct service_manager *m = arg;
	say(m, "WATCHDOG=1");
	loop_timer_start(m->timer, m->watchdog_ms);
}

struct service_manager *service_manager_new(struct loop *loop)
{
	struct service_manager *m = NEW(struct service_manager);
	if (!m)
		return NULL;
	m->loop = loop;
	m->timer = loop_timer_new(loop, on_watchdog, m);
	const char *socket = getenv("NOTIFY_SOCKET");
	m->socket = socket && *socket ? strdup(socket) : NULL;
	uint64_t watchdog_us = 0;
	if (!m->timer || (socket && *socket && !m->socket)) {
		service_manager_free(m);
		return NULL;
	}
	if (m->socket && sd_watchdog_enabled(1, &watchdog_us) > 0) {
		m->watchdog_ms = MAX((int64_t)(watchdog_us / 1000 / 3), (int64_t)1);
		loop_timer_start(m->timer, 0);
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
	loop_timer_free(m->timer);
	free(m->socket);
	free(m);
}

void service_manager_ready(struct service_manager *m, const char *status)
{
	char text[TEXT_SIZE];
	snprintf(text, sizeof(text), "%sSTATUS=%s", m->ready ? "" : "READY=1\n", status);
	say(m, text);
	m->ready = true;
}

void service_manager_reloading(struct service_manager *m)
{
	char text[TEXT_SIZE];
	snprintf(text, sizeof(text),
		"RELOADING=1\nMONOTONIC_USEC=%lld\nSTATUS=reloading the configuration",
		(long long)clock_mono_us());
	say(m, text);
}

void service_manager_reloaded(struct service_manager *m, const char *status)
{
	char text[TEXT_SIZE];
	snprintf(text, sizeof(text), "READY=1\nSTATUS=%s", status);
	if (m->ready)
		say(m, text);
}

void service_manager_stopping(struct service_manager *m, long long extend_ms)
{
	char text[TEXT_SIZE];
	snprintf(text, sizeof(text),
		"STOPPING=1\nEXTEND_TIMEOUT_USEC=%lld\nSTATUS=stopping all processes",
		extend_ms * 1000);
	say(m, text);
}
