/* SPDX-License-Identifier: MIT */
#include "monitor/machine.h"

#include "base/kernel_file.h"
#include "base/mem.h"
#include "monitor/monitor.h"
#include "worker/worker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

static void sample_cpu(struct monitor *m)
{
	char text[512];
	unsigned long long v[8] = { 0 };
	m->machine.cpu_percent = -1;
	if (!kernel_file_read("/proc/stat", text, sizeof(text)))
		return;
	if (sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1], &v[2], &v[3],
		    &v[4], &v[5], &v[6], &v[7]) < 4)
		return;
	uint64_t total = 0, idle = v[3] + v[4];
	for (size_t i = 0; i < ARRAY_SIZE(v); i++)
		total += v[i];
	uint64_t busy = total - idle;
	if (m->cpu_total && total > m->cpu_total)
		m->machine.cpu_percent = 100.0 * (double)(busy - m->cpu_busy) /
					 (double)(total - m->cpu_total);
	m->cpu_total = total;
	m->cpu_busy = busy;
}

static long long meminfo(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	return at ? strtoll(at + strlen(key), NULL, 10) : -1;
}

void machine_look(struct monitor *m)
{
	char text[4096];
	struct statvfs fs;
	sample_cpu(m);
	m->machine.memory_percent = -1;
	m->machine.disk_percent = -1;
	if (kernel_file_read("/proc/meminfo", text, sizeof(text))) {
		long long total = meminfo(text, "MemTotal:"),
			  available = meminfo(text, "MemAvailable:");
		if (total > 0 && available >= 0)
			m->machine.memory_percent = 100.0 * (double)(total - available) /
						    (double)total;
	}
	if (statvfs(worker_state_dir(m->worker), &fs) == 0 && fs.f_blocks > 0)
		/* As df counts: what root alone may use is neither free nor used. */
		m->machine.disk_percent = 100.0 * (double)(fs.f_blocks - fs.f_bfree) /
					  (double)(fs.f_blocks - fs.f_bfree + fs.f_bavail);
}
