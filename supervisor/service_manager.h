/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Everything that is said to systemd (sd_notify(3)), and what it says to us; without $NOTIFY_SOCKET
 * all of it is silence.
 */
#include <stdbool.h>
#include <stdint.h>

struct loop;
struct service_manager;

/**
 * Takes $NOTIFY_SOCKET and $WATCHDOG_USEC over and removes them from the environment. WATCHDOG=1 is
 * sent from the loop only, at a third of the time, so that it is true. Until READY=1 the time for
 * the start is extended again and again. @return NULL when out of memory
 */
struct service_manager *service_manager_new(struct loop *loop);
void service_manager_free(struct service_manager *manager);
/** READY=1: all processes are up or waiting. Once. */
void service_manager_ready(struct service_manager *manager, const char *status);
/** The STATUS= line; the same again is not sent, and many changes at once are sent as the last. */
void service_manager_status(struct service_manager *manager, const char *status);
/** A reload begins; before READY=1 it is part of the start and not told. */
void service_manager_reloading(struct service_manager *manager);
/** The reload is over, well or not. */
void service_manager_reloaded(struct service_manager *manager, const char *status);
/**
 * STOPPING=1; from now on the time for the stop is extended again and again.
 * @param most_ms  how long the stop may take; after that systemd's own limit counts
 */
void service_manager_stopping(struct service_manager *manager, int64_t most_ms);
/** In the environment again what was taken out of it, for the droverd that takes our place; or out
 * of it once more. */
void service_manager_pass_on(struct service_manager *manager, bool on);
/** What the droverd before us left open for us: as if the service manager had held it. Takes fd. */
void service_manager_given(struct service_manager *manager, const char *name, int fd);
/**
 * Has the service manager hold `fd` under that name too: what lies in a pipe then outlives us and
 * all who write to it. Without a service manager nothing happens.
 * @param name  ASCII, at most 200 bytes
 */
void service_manager_keep(struct service_manager *manager, const char *name, int fd);
/** The service manager lets go of what it holds under that name. */
void service_manager_forget(struct service_manager *manager, const char *name);
/**
 * What it held under that name when we were started; it goes on holding it.
 * @return fd (caller closes); -1: nothing, or taken already
 */
int service_manager_take(struct service_manager *manager, const char *name);
/** Forgets all that nobody took. */
void service_manager_forget_rest(struct service_manager *manager);
/**
 * For ExecStopPost=, which systemd also runs after a crash: then the services are the next
 * droverd's. @return $SERVICE_RESULT is "success", or it is not systemd that asks
 */
bool service_manager_wants_sweep(void);
