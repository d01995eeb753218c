/* SPDX-License-Identifier: MIT */
#pragma once
/* Everything that is said to systemd (sd_notify(3)); without $NOTIFY_SOCKET all of it is silence.
 */
struct loop;
struct service_manager;

/**
 * Takes $NOTIFY_SOCKET and $WATCHDOG_USEC over and removes them from the environment. WATCHDOG=1 is
 * sent from the loop only, so that it is true. @return NULL when out of memory
 */
struct service_manager *service_manager_new(struct loop *loop);
void service_manager_free(struct service_manager *manager);
/** Once: all processes are up or waiting. Later calls only change the STATUS= line. */
void service_manager_ready(struct service_manager *manager, const char *status);
void service_manager_reloading(struct service_manager *manager);
/** The reload is over, well or not. */
void service_manager_reloaded(struct service_manager *manager, const char *status);
void service_manager_stopping(struct service_manager *manager, long long extend_ms);
