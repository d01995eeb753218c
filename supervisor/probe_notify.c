/* SPDX-License-Identifier: MIT */
#include "probe_notify.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "contain.h"
#include "hand_over.h"
#include "instance.h"
#include "log/log.h"
#include "loop/loop.h"
#include "process.h"
#include "supervisor.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FOLDER "notify"

enum {
	TEXT_MAX = 4096,   /* of one datagram; a longer one is not heard */
	HEAR_AT_ONCE = 16, /* datagrams a turn: a flood must not hold us up */
};

struct probe_notify {
	struct process *process;
	int fd;
	struct loop_io *io;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char interval[24];
	bool refused; /* said once: somebody else spoke */
};

struct heard {
	char text[TEXT_MAX + 1];
	size_t len;
	bool cut;
	pid_t sender;
};

static void on_readable(void *arg, int fd, unsigned events);

/* --- the socket --- */

/* Made with its mode: between bind and chmod anybody could send. */
static int bind_socket(struct probe_notify *n, struct err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const int on = 1;
	memcpy(address.sun_path, n->path, sizeof(n->path));
	n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (n->fd == -1)
		return err_sys(err, -errno, "make a socket");
	if (fchmod(n->fd, 0600) == -1 ||
		setsockopt(n->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == -1 ||
		bind(n->fd, (struct sockaddr *)&address, sizeof(address)) == -1)
		return err_sys(err, -errno, "bind %s", n->path);
	return 0;
}

/* The droverd before us left it open for us: what was said meanwhile is in it. */
static bool take_given(struct probe_notify *n)
{
	const struct supervisor *sv = n->process->owner;
	struct sockaddr_un bound = { 0 };
	socklen_t len = sizeof(bound) - 1;
	int fd = hand_over_take(sv->hand_over, HAND_OVER_NOTIFY, n->process->name);
	if (fd < 0)
		return false;
	if (getsockname(fd, (struct sockaddr *)&bound, &len) == 0 && bound.sun_family == AF_UNIX &&
		str_eq(bound.sun_path, n->path)) {
		n->fd = fd;
		return true;
	}
	sys_close(fd);
	return false;
}

static int take_place(struct probe_notify *n, struct err *err)
{
	const struct supervisor *sv = n->process->owner;
	struct stat old;
	if (mkdirat(sv->runtime_fd, FOLDER, 0711) == -1 && errno != EEXIST)
		return err_sys(err, -errno, "make %s/" FOLDER, sv->runtime_dir);
	int len = snprintf(
		n->path, sizeof(n->path), "%s/" FOLDER "/%s", sv->runtime_dir, n->process->name);
	if (len >= (int)sizeof(n->path))
		return err_sys(err, -ENAMETOOLONG, "make a socket in %s", sv->runtime_dir);
	if (take_given(n))
		return 0;
	bool left = lstat(n->path, &old) == 0 && S_ISSOCK(old.st_mode);
	if (unlink(n->path) == -1 && errno != ENOENT)
		return err_sys(err, -errno, "remove %s", n->path);
	int rc = bind_socket(n, err);
	if (rc == 0 && left && old.st_uid != geteuid() &&
		lchown(n->path, old.st_uid, (gid_t)-1) == -1)
		rc = err_sys(err, -errno, "change the owner of %s", n->path);
	return rc;
}

int probe_notify_open(struct probe_notify **out, struct process *p, struct err *err)
{
	struct probe_notify *n = NEW(struct probe_notify);
	if (!n)
		return err_set(err, -ENOMEM, "memory");
	n->process = p;
	n->fd = -1;
	int rc = take_place(n, err);
	if (rc == 0) {
		n->io = loop_io_new(p->loop, n->fd, LOOP_READ, on_readable, n);
		rc = n->io ? 0 : err_set(err, -ENOMEM, "memory");
	}
	if (rc < 0) {
		probe_notify_free(n);
		return rc;
	}
	*out = n;
	return 0;
}

void probe_notify_plan(struct probe_notify *n, struct instance_plan *plan)
{
	snprintf(n->interval, sizeof(n->interval), "%" PRId64, n->process->told_interval_ms * 1000);
	instance_add_variable(plan, "NOTIFY_SOCKET", n->path);
	instance_add_variable(plan, "WATCHDOG_USEC", n->interval);
	plan->spec.own_path = n->path;
}

int probe_notify_fd(const struct probe_notify *n)
{
	return n->fd;
}

void probe_notify_free(struct probe_notify *n)
{
	if (!n)
		return;
	loop_io_free(n->io);
	if (n->fd >= 0) {
		unlink(n->path);
		sys_close(n->fd);
	}
	free(n);
}

/* --- what is said --- */

static void obey(struct process *p, const char *line)
{
	int64_t usec;
	if (str_eq(line, "READY=1"))
		process_said_ready(p);
	else if (str_eq(line, "WATCHDOG=1"))
		process_said_well(p, true);
	else if (str_eq(line, "WATCHDOG=trigger"))
		process_said_well(p, false);
	else if (str_eq(line, "STOPPING=1"))
		process_said_stopping(p);
	else if (str_starts(line, "STATUS="))
		process_said_status(p, line + strlen("STATUS="));
	else if (str_starts(line, "EXTEND_TIMEOUT_USEC=") &&
		 str_to_i64(line + strlen("EXTEND_TIMEOUT_USEC="), 0, INT64_MAX, &usec) == 0)
		process_said_extend(p, (uint64_t)usec);
}

static void obey_lines(struct process *p, struct heard *h)
{
	h->text[h->len] = '\0';
	/* Nobody who means well puts a NUL into it. */
	if (h->cut || strlen(h->text) != h->len)
		return;
	char *save = NULL;
	for (char *line = strtok_r(h->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		obey(p, line);
}

static pid_t sender_of(struct msghdr *m)
{
	struct ucred sender = { 0 };
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
		memcpy(&sender, CMSG_DATA(c), sizeof(sender));
	return sender.pid;
}

/*
 * Descriptors have no room, so none becomes ours. To be let go of is the answer to BARRIER=1: all
 * before it was heard. @return false when there is none
 */
static bool receive(struct probe_notify *n, struct heard *h)
{
	union {
		char room[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec part = { h->text, TEXT_MAX };
	struct msghdr m = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	ssize_t len = recvmsg(n->fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (len == -1)
		return false;
	h->len = (size_t)len;
	h->cut = m.msg_flags & MSG_TRUNC;
	h->sender = sender_of(&m);
	return true;
}

static bool is_of_the_tree(struct probe_notify *n, pid_t sender)
{
	const struct process *p = n->process;
	const struct supervisor *sv = p->owner;
	const struct contain_target target = instance_target(p);
	if (sender > 0 && p->instance && !p->main_ended && sender == p->instance->pid)
		return true;
	if (sender > 0 && contain_has(sv->contain, &target, sender))
		return true;
	if (!n->refused)
		log_warn(HEALTH, "notify_refused", KV_STR("name", p->name),
			KV_INT("incarnation", p->incarnation), KV_INT("pid", sender),
			KV_STR("detail", "it is not of the service's tree, or gone already"));
	n->refused = true;
	return false;
}

static void on_readable(void *arg, int fd UNUSED, unsigned events UNUSED)
{
	struct probe_notify *n = arg;
	struct heard h;
	for (int i = 0; i < HEAR_AT_ONCE && receive(n, &h); i++)
		if (is_of_the_tree(n, h.sender))
			obey_lines(n->process, &h);
}
