/* SPDX-License-Identifier: MIT */
#include "fence.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "contain.h"
#include "instance.h"
#include "log/log.h"
#include "probe_exec.h"
#include "records.h"
#include "supervisor.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define EPOCHS_FILE "epochs"
enum { LINE = CONTAIN_EPOCH_SIZE };

static bool is_epoch(const char *text)
{
	for (int i = 0; i < CONTAIN_EPOCH_SIZE - 1; i++)
		if (!isxdigit((unsigned char)text[i]))
			return false;
	return true;
}

int fence_epochs(struct supervisor *sv, struct err *err)
{
	unsigned char random[8];
	char text[LINE * CONTAIN_EPOCHS] = { 0 };
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return err_sys(err, -errno, "get random bytes");
	str_hex(sv->epoch, random, sizeof(random));
	CLEANUP(closep)
	int fd = sys_openat(sv->runtime_fd, EPOCHS_FILE, O_RDWR | O_CREAT | O_NOFOLLOW, 0600);
	if (fd == -1)
		return err_sys(err, -errno, "open %s in the runtime directory", EPOCHS_FILE);
	/* The newest stand first; one falls off at the end. */
	ssize_t n = pread(fd, text + LINE, sizeof(text) - LINE, 0);
	memcpy(text, sv->epoch, LINE - 1);
	text[LINE - 1] = '\n';
	size_t len = LINE + (n > 0 ? (size_t)n / LINE * LINE : 0);
	for (size_t at = 0; at < len; at += LINE) {
		char epoch[CONTAIN_EPOCH_SIZE];
		memcpy(epoch, text + at, LINE - 1);
		epoch[LINE - 1] = '\0';
		if (is_epoch(epoch))
			contain_add_epoch(sv->contain, epoch);
	}
	if (pwrite(fd, text, len, 0) != (ssize_t)len)
		return err_sys(err, -errno, "write %s in the runtime directory", EPOCHS_FILE);
	return 0;
}

/* A mark was written by us and may have been written over by anybody; its name becomes a file's. */
static bool is_slot_name(const char *name)
{
	char stem[SLOT_NAME_SIZE];
	size_t len = strcspn(name, ":");
	if (len >= sizeof(stem))
		return false;
	memcpy(stem, name, len);
	stem[len] = '\0';
	return str_is_name(stem) &&
	       (!name[len] || strspn(name + len + 1, "0123456789") == strlen(name + len + 1));
}

static struct process *slot_for(struct supervisor *sv, const char *name)
{
	struct err err = { 0 };
	if (!is_slot_name(name))
		return NULL;
	struct process *p = supervisor_process(sv, name);
	if (!p)
		p = supervisor_add(sv, name, NULL, NULL, &err);
	if (!p)
		log_error(MAIN, "leftover_not_ended", KV_STR("name", name),
			KV_STR("error", err.text));
	return p;
}

static void on_record(void *arg, const struct record *r)
{
	struct supervisor *sv = arg;
	if (r->name[0] == ':')
		return;
	struct process *p = slot_for(sv, r->name);
	if (!p)
		return;
	p->incarnation = r->incarnation;
	p->last_start_ms = r->last_start_ms;
	p->last_automatic_ms = r->last_automatic_ms;
	if (r->closed)
		return;
	/* The operator stopped it before the crash: it stays down. */
	p->stay_down = !r->wanted;
	p->wanted = r->wanted && !p->removed;
	p->crashed = true;
	if (instance_adopt(p, r) < 0)
		log_error(MAIN, "leftover_not_ended", KV_STR("name", r->name),
			KV_STR("error", "out of memory"));
}

static void on_mark(void *arg, const char *slot)
{
	char name[SLOT_NAME_SIZE];
	probe_exec_slot(name, slot);
	struct process *p = slot_for(arg, name);
	if (p && !p->instance)
		instance_adopt(p, NULL);
}

static void settle(struct process *p)
{
	if (p->instance && p->ops->living(p) > 0) {
		log_warn(MAIN, "leftover_found", KV_STR("name", p->name), KV_INT("pid", p->pid),
			KV_INT("incarnation", p->incarnation));
		p->next_cause = p->end_cause = CAUSE_LOST;
		process_fence(p);
		return;
	}
	if (p->instance)
		p->ops->gone(p);
	p->pid = 0;
	p->main_ended = false;
	if (p->removed)
		supervisor_changed(p->owner, p);
	else if (p->crashed && p->wanted) {
		p->next_cause = CAUSE_LOST;
		process_resume(p, -1);
	} else if (p->wanted)
		process_start(p, CAUSE_NONE);
}

void fence_and_start(struct supervisor *sv)
{
	records_read(sv->slots_fd, on_record, sv);
	contain_marked(sv->contain, on_mark, sv);
	LIST_FOR_EACH (node, &sv->processes)
		settle(LIST_ENTRY(node, struct process, node));
}
