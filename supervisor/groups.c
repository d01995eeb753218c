/* SPDX-License-Identifier: MIT */
#include "groups.h"

#include "base/err.h"
#include "base/mem.h"
#include "contain.h"
#include "contain_cgroup.h"
#include "log/log.h"
#include "loop/loop.h"
#include "process.h"
#include "supervisor.h"
#include <errno.h>
#include <stdlib.h>

struct groups_watch {
	struct supervisor *sv;
	struct cgroups *groups; /* contain's */
	struct loop_io *io;
};

static void on_changed(void *arg, const char *slot)
{
	struct process *p = supervisor_process(arg, slot);
	if (p)
		process_look(p);
}

static void on_readable(void *arg, int fd UNUSED, unsigned events UNUSED)
{
	struct groups_watch *w = arg;
	cgroups_read(w->groups, on_changed, w->sv);
}

int groups_start(struct groups_watch **out, struct supervisor *sv, struct err *err)
{
	struct cgroups *groups = NULL;
	struct err why = { 0 };
	int rc = cgroups_open(&groups, sv->runtime_dir, &why);
	*out = NULL;
	if (rc < 0) {
		log_info(MAIN, "containment", KV_STR("detail", contain_mode(sv->contain)),
			KV_STR("reason", why.text));
		return 0;
	}
	contain_use_groups(sv->contain, groups);
	struct groups_watch *w = NEW(struct groups_watch);
	if (!w)
		return err_set(err, -ENOMEM, "out of memory");
	*w = (struct groups_watch) { .sv = sv, .groups = groups };
	w->io = loop_io_new(sv->loop, cgroups_fd(groups), LOOP_READ, on_readable, w);
	if (!w->io) {
		free(w);
		return err_set(err, -ENOMEM, "out of memory");
	}
	log_info(MAIN, "containment", KV_STR("detail", contain_mode(sv->contain)),
		KV_STR("path", cgroups_path(groups)));
	*out = w;
	return 0;
}

void groups_stop(struct groups_watch *w)
{
	if (!w)
		return;
	loop_io_free(w->io);
	free(w);
}
