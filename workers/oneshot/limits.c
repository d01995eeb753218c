/* SPDX-License-Identifier: MIT */
#include "base/json_out.h"
#include "config/config.h"
#include "limit/limit.h"
#include "oneshot/oneshot.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int oneshot_state_dir(const struct config *config, const char *spare, const char **out)
{
	const char *dir = config->supervisor.state_dir;
	char path[4096];
	snprintf(path, sizeof(path), "%s/limits", dir);
	if (access(dir, F_OK) == -1 && errno == ENOENT) {
		*out = spare;
		return ONESHOT_DONE;
	}
	/* Calls that the workers would not count are not made. */
	bool there = access(path, F_OK) == 0;
	if (access(there ? path : dir, R_OK | W_OK) == -1)
		return oneshot_fail(errno == EACCES ? ONESHOT_NOT_PERMITTED : ONESHOT_FAILED,
			"the limits that all calls count for are in %s: %s", there ? path : dir,
			strerror(errno));
	*out = dir;
	return ONESHOT_DONE;
}

void oneshot_limits(
	struct json_out *out, struct limits *limits, const struct limit_spec *specs, size_t count)
{
	json_open_array(out, "limits");
	for (size_t i = 0; i < count; i++) {
		struct limit_usage usage[8];
		size_t n = limits_usage(limits, &specs[i], usage);
		for (size_t w = 0; w < n; w++) {
			json_open_object(out, NULL);
			json_str(out, "key", specs[i].key);
			json_int(out, "count", usage[w].count);
			json_int(out, "period_ms", usage[w].period_ms);
			json_int(out, "used", usage[w].used);
			json_int(out, "left",
				usage[w].used < usage[w].count ? usage[w].count - usage[w].used
							       : 0);
			json_int(out, "reopens_in_ms", usage[w].reopens_in_ms);
			json_close_object(out);
		}
	}
	json_close_array(out);
}

int64_t oneshot_opens_in_ms(struct limits *limits, const struct limit_spec *specs, size_t count)
{
	int64_t latest = 0;
	for (size_t i = 0; i < count; i++) {
		struct limit_usage usage[8];
		size_t n = limits_usage(limits, &specs[i], usage);
		for (size_t w = 0; w < n; w++)
			latest = MAX(latest, usage[w].reopens_in_ms);
	}
	return latest;
}
