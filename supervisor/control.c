/* SPDX-License-Identifier: MIT */
#include "control.h"

#include "base/buf.h"
#include "base/err.h"
#include "base/json_out.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"
#include "base/sys.h"
#include "commands.h"
#include "hand_over.h"
#include "ipc/channel.h"
#include "ipc/control.h"
#include "log/log.h"
#include "log_room.h"
#include "loop/loop.h"
#include "memory.h"
#include "process.h"
#include "relay.h"
#include "reserve.h"
#include "status.h"
#include "supervisor.h"
#include "task_slot.h"
#include "upgrade.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define SOCKET_NAME "control.sock"
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
enum {
	CLIENTS_MAX = 64,
	LOOKERS_MAX = 32, /* of them by those who may not change anything */
	BACKLOG = 128,
	UNREAD_MAX = 256 * 1024, /* a client that lets this much lie is not served on */
	GROUPS_MAX = 1024,
	ACCEPT_PAUSE_MS = 1000,
	ACCEPTS_A_TURN = 32,
	PAGE_FILL = PAGE_MAX - 1024,
};

enum right { NOTHING, LOOK, CHANGE };

struct client {
	struct list node;
	struct control *control;
	struct channel *channel;
	unsigned uid;
	enum right right;
	struct command *command; /* start, stop, restart that is under way */
	bool asked;		 /* a question waits for its last page */
	bool wants_reload, wants_rotate, wants_upgrade;
};

struct control {
	struct supervisor *sv;
	int fd;
	gid_t gid;
	struct loop_io *io;
	struct loop_timer *accept_timer;
	struct list clients;
	size_t count;
};

static void on_accept(void *arg, int fd, unsigned events);
static void on_request(void *arg, struct message *m);
static void on_closed(void *arg, const char *why);

/* --- the socket --- */

/*
 * To let go of a descriptor that a client sends may take as long as he likes: a socket that
 * lingers, a file of a dead mount. Since Linux 6.16 none can be sent; before, none becomes ours
 * (channel.c).
 */
static void refuse_descriptors(int fd)
{
	const int off = 0;
	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
}

/* Bound under another name, so that nobody connects before its mode is right. */
static int bind_socket(struct control *c, struct err *err)
{
	struct supervisor *sv = c->sv;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;
	char path[PROGRAM_PATH];
	snprintf(path, sizeof(path), "%s/%s", sv->runtime_dir, SOCKET_NAME);
	if (strlen(path) >= sizeof(address.sun_path))
		return err_set(err, -ENAMETOOLONG,
			"the path of the control socket has %zu bytes, %zu are possible: %s",
			strlen(path), sizeof(address.sun_path) - 1, path);
	/* Through the descriptor: the temporary name may be longer than the final one. */
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/.%s", sv->runtime_fd,
		SOCKET_NAME);
	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd == -1)
		return err_sys(err, -errno, "make the control socket");
	refuse_descriptors(c->fd);
	sys_unlinkat(sv->runtime_fd, "." SOCKET_NAME, 0);
	mode_t old = umask(0117);
	int rc = bind(c->fd, (struct sockaddr *)&address, sizeof(address)) == -1 ? -errno : 0;
	umask(old);
	if (rc == 0 && listen(c->fd, BACKLOG) == -1)
		rc = -errno;
	if (rc == 0 && fstatat(sv->runtime_fd, "." SOCKET_NAME, &st, 0) == -1)
		rc = -errno;
	if (rc == 0 &&
		sys_renameat(sv->runtime_fd, "." SOCKET_NAME, sv->runtime_fd, SOCKET_NAME) == -1)
		rc = -errno;
	if (rc < 0)
		return err_sys(err, rc, "make the control socket %s", path);
	c->gid = st.st_gid;
	return 0;
}

/* It listens already, and clients may wait in it; but is it still where they look for it? */
static bool take_given(struct control *c)
{
	const struct supervisor *sv = c->sv;
	int listens = 0;
	socklen_t len = sizeof(listens);
	struct stat st;
	int fd = hand_over_take(sv->hand_over, HAND_OVER_CONTROL, SOCKET_NAME);
	if (fd < 0)
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens &&
		fstatat(sv->runtime_fd, SOCKET_NAME, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		S_ISSOCK(st.st_mode)) {
		c->fd = fd;
		c->gid = st.st_gid;
		return true;
	}
	sys_close(fd);
	return false;
}

int control_give(const struct control *c, struct hand_over *h)
{
	return hand_over_add(h, HAND_OVER_CONTROL, SOCKET_NAME, c->fd);
}

static void on_accept_timer(void *arg)
{
	struct control *c = arg;
	loop_io_set(c->io, LOOP_READ);
}

int control_new(struct control **out, struct supervisor *sv, struct err *err)
{
	struct control *c = NEW(struct control);
	if (!c)
		return err_set(err, -ENOMEM, "make the control socket");
	c->sv = sv;
	c->fd = -1;
	list_init(&c->clients);
	int rc = take_given(c) ? 0 : bind_socket(c, err);
	if (rc == 0) {
		c->io = loop_io_new(sv->loop, c->fd, LOOP_READ, on_accept, c);
		c->accept_timer = loop_timer_new(sv->loop, on_accept_timer, c);
		if (!c->io || !c->accept_timer)
			rc = err_set(err, -ENOMEM, "make the control socket");
	}
	if (rc < 0) {
		control_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

static void client_free(struct client *client)
{
	struct control *c = client->control;
	list_remove(&client->node);
	loop_cancel_deferred(c->sv->loop, client);
	c->count--;
	relay_client_gone(c->sv->relay, client);
	command_free(client->command);
	channel_free(client->channel);
	free(client);
	loop_io_set(c->io, LOOP_READ);
}

void control_free(struct control *c)
{
	if (!c)
		return;
	LIST_FOR_EACH_SAFE (node, &c->clients)
		client_free(LIST_ENTRY(node, struct client, node));
	loop_io_free(c->io);
	loop_timer_free(c->accept_timer);
	if (c->fd >= 0) {
		sys_unlinkat(c->sv->runtime_fd, SOCKET_NAME, 0);
		sys_close(c->fd);
	}
	free(c);
}

/* --- clients --- */

static bool in_group(int fd, const struct ucred *cred, gid_t gid)
{
	gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);
	if (cred->gid == gid)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == -1)
		return false;
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		if (groups[i] == gid)
			return true;
	return false;
}

static enum right right_of(int fd, gid_t gid, unsigned *uid)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	*uid = (unsigned)-1;
	if (MUTANT(NO_PEER_CREDENTIALS))
		return CHANGE;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == -1)
		return NOTHING;
	*uid = cred.uid;
	if (cred.uid == 0 || cred.uid == geteuid())
		return CHANGE;
	return in_group(fd, &cred, gid) ? LOOK : NOTHING;
}

/* Who waits for no answer may be sent away; the one that was silent longest goes first. */
static bool send_one_away(struct control *c, bool lookers_only)
{
	LIST_FOR_EACH (node, &c->clients) {
		struct client *client = LIST_ENTRY(node, struct client, node);
		if (client->asked || (lookers_only && client->right == CHANGE))
			continue;
		client_free(client);
		return true;
	}
	return false;
}

static bool room_for_a_looker(struct control *c)
{
	int lookers = 0;
	LIST_FOR_EACH (node, &c->clients)
		lookers += LIST_ENTRY(node, struct client, node)->right != CHANGE;
	return lookers < LOOKERS_MAX || send_one_away(c, true);
}

static void add_client(struct control *c, int fd)
{
	static const struct channel_ops ops = { .message = on_request, .closed = on_closed };
	struct client *client = NEW(struct client);
	if (!client) {
		sys_close(fd);
		return;
	}
	client->control = c;
	client->right = right_of(fd, c->gid, &client->uid);
	if (client->right != CHANGE && !room_for_a_looker(c)) {
		sys_close(fd);
		free(client);
		return;
	}
	if (channel_new(&client->channel, c->sv->loop, fd, FROM_CLIENT, &ops, client) < 0) {
		free(client);
		return;
	}
	list_add_tail(&c->clients, &client->node);
	c->count++;
}

/* Asked before anybody makes room; accept4() tells of a full table first, even when nobody waits.
 */
static bool somebody_waits(int listen_fd)
{
	struct pollfd waits = { .fd = listen_fd, .events = POLLIN };
	return poll(&waits, 1, 0) == 1;
}

/* When all descriptors are in use, a few clients are answered out of the reserve; then who waits
 * for no answer makes room. */
static int accept_one(struct control *c, int listen_fd)
{
	struct reserve *reserve = contain_reserve(c->sv->contain);
	const int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd = accept4(listen_fd, NULL, NULL, flags);
	if (fd >= 0 || (errno != EMFILE && errno != ENFILE))
		return fd;
	if (!reserve_lend(reserve) && !send_one_away(c, false)) {
		errno = EMFILE;
		return -1;
	}
	fd = accept4(listen_fd, NULL, NULL, flags);
	int error = errno;
	reserve_take(reserve);
	errno = error;
	return fd;
}

static void on_accept(void *arg, int listen_fd, unsigned events UNUSED)
{
	struct control *c = arg;
	bool room = true;
	int fd = -1;
	for (int i = 0; i < ACCEPTS_A_TURN; i++) {
		if (!somebody_waits(listen_fd))
			return;
		room = c->count < CLIENTS_MAX || send_one_away(c, false);
		fd = room ? accept_one(c, listen_fd) : -1;
		if (fd == -1)
			break;
		add_client(c, fd);
	}
	/* Full, and all wait for an answer: the others wait in the socket's queue. */
	if (!room)
		loop_io_set(c->io, 0);
	if (!room || fd >= 0 || errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	/* No descriptor: without a pause the loop would turn for nothing. */
	log_warn(MAIN, "control_accept_failed", KV_INT("errno", errno));
	loop_io_set(c->io, 0);
	loop_timer_start(c->accept_timer, ACCEPT_PAUSE_MS);
}

static void on_closed(void *arg, const char *why)
{
	struct client *client = arg;
	if (why)
		log_warn(MAIN, "control_client_refused", KV_INT("uid", client->uid),
			KV_STR("error", why));
	client_free(client);
}

void control_page(struct client *client, const char *json, size_t len, bool last, int exit_code)
{
	const struct msg_page page = {
		.last = last, .exit_code = (uint32_t)exit_code, .json = { json, len }
	};
	/* One that does not read loses its connection by the channel's bound. */
	channel_send(client->channel, MSG_PAGE, &page, NULL, 0);
	if (!last)
		return;
	client->asked = false;
	/* Who waits in the socket's queue may have this one's place now. */
	loop_io_set(client->control->io, LOOP_READ);
}

static void page_buf(struct client *client, struct buf *json, bool last, int exit_code)
{
	if (buf_failed(json))
		control_page(client, "{\"error\":\"out of memory\"}", 26 - 1, true, 1);
	else
		control_page(client, json->data, json->len, last, exit_code);
}

static void refuse(struct client *client, int exit_code, const char *words)
{
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct json_out j;
	json_out_init(&j, &json);
	json_open_object(&j, NULL);
	json_str(&j, "error", words);
	json_close_object(&j);
	page_buf(client, &json, true, exit_code);
}

/* --- verbs that are answered at once --- */

static void refuse_name(struct client *client, const char *name)
{
	struct supervisor *sv = client->control->sv;
	struct err why = { 0 };
	command_unknown(sv, name, &why);
	refuse(client, 4, why.text);
}

static void answer_one(struct client *client, struct process *p)
{
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct json_out j;
	json_out_init(&j, &json);
	json_open_object(&j, NULL);
	status_supervisor(&j, client->control->sv);
	json_open_array(&j, "processes");
	status_process(&j, p);
	json_close_array(&j);
	status_history(&j, p);
	json_close_object(&j);
	page_buf(client, &json, true, 0);
}

static bool any_of(const struct supervisor *sv, const char *name)
{
	LIST_FOR_EACH (node, &sv->processes)
		if (process_is_of(LIST_ENTRY(node, struct process, node), name) &&
			!task_slot_is_over(LIST_ENTRY(node, struct process, node)))
			return true;
	return false;
}

/* As many slots on a page as fit; of a kind or service when it is named. */
static void answer_all(struct client *client, const char *name)
{
	struct supervisor *sv = client->control->sv;
	struct list *node = sv->processes.next;
	for (bool first = true; first || node != &sv->processes; first = false) {
		CLEANUP(buf_finish) struct buf json = BUF_INIT;
		struct json_out j;
		json_out_init(&j, &json);
		json_open_object(&j, NULL);
		if (first)
			status_supervisor(&j, sv);
		json_open_array(&j, "processes");
		for (; node != &sv->processes && json.len < PAGE_FILL / 2; node = node->next) {
			struct process *p = LIST_ENTRY(node, struct process, node);
			if ((!name || process_is_of(p, name)) && !task_slot_is_over(p))
				status_process(&j, p);
		}
		json_close_array(&j);
		json_close_object(&j);
		page_buf(client, &json, node == &sv->processes, 0);
	}
}

static void on_status(struct client *client, const char *name)
{
	memory_watch_look(client->control->sv->memory);
	if (!*name) {
		answer_all(client, NULL);
		return;
	}
	struct process *p = supervisor_process(client->control->sv, name);
	if (p && !task_slot_is_over(p))
		answer_one(client, p);
	else if (any_of(client->control->sv, name))
		answer_all(client, name);
	else
		refuse_name(client, name);
}

static void write_log_file(struct json_out *j, const char *dir, const char *name, const char *stem)
{
	char path[PROGRAM_PATH];
	snprintf(path, sizeof(path), "%s/%s.log", dir, stem);
	json_open_object(j, NULL);
	json_str(j, "name", name);
	json_str(j, "path", path);
	json_close_object(j);
}

/* Of a job's commands: it is there between two runs, too. */
static void write_job_log(struct json_out *j, const struct supervisor *sv, const char *job)
{
	if (task_slot_job(sv, job) && !supervisor_process(sv, job))
		write_log_file(j, sv->log_dir, job, job);
}

static void on_logs(struct client *client)
{
	struct supervisor *sv = client->control->sv;
	const char *dir = sv->log_dir;
	struct list *node = sv->processes.next;
	size_t job = 0, jobs = sv->config->job_count;
	for (bool first = true; first || node != &sv->processes || job < jobs; first = false) {
		CLEANUP(buf_finish) struct buf json = BUF_INIT;
		struct json_out j;
		json_out_init(&j, &json);
		json_open_object(&j, NULL);
		if (first)
			json_str(&j, "dir", dir);
		json_open_array(&j, "files");
		for (int c = 0; first && c < LOG_CATEGORIES; c++)
			write_log_file(&j, dir, log_category_file((enum log_category)c),
				log_category_file((enum log_category)c));
		for (; node != &sv->processes && json.len < PAGE_FILL / 2; node = node->next) {
			const struct process *p = LIST_ENTRY(node, struct process, node);
			write_log_file(&j, dir, p->name, p->name);
		}
		for (; job < jobs && json.len < PAGE_FILL / 2; job++)
			write_job_log(&j, sv, sv->config->jobs[job].name);
		json_close_array(&j);
		json_close_object(&j);
		page_buf(client, &json, node == &sv->processes && job == jobs, 0);
	}
}

/* --- verbs that take their time --- */

static void settle(struct client *client)
{
	struct command *command = client->command;
	if (!command || !command_settled(command))
		return;
	client->command = NULL;
	int exit_code = command_exit_code(command);
	size_t at = 0;
	for (bool more = true; more;) {
		CLEANUP(buf_finish) struct buf json = BUF_INIT;
		more = command_page(command, &at, &json) && !buf_failed(&json);
		page_buf(client, &json, !more, exit_code);
	}
	command_free(command);
}

void control_settle(struct control *c)
{
	if (!c)
		return;
	LIST_FOR_EACH_SAFE (node, &c->clients)
		settle(LIST_ENTRY(node, struct client, node));
}

static void on_command(struct client *client, const char *verb, const char *names)
{
	struct supervisor *sv = client->control->sv;
	struct err err = { 0 };
	if (sv->state == SUPERVISOR_STOPPING) {
		refuse(client, 1, "the supervisor is stopping");
		return;
	}
	int rc = command_new(&client->command, sv, verb, names, &err);
	if (rc < 0) {
		refuse(client, rc == -ENOENT ? 4 : rc == -EINVAL ? 2 : 1, err.text);
		return;
	}
	log_info(MAIN, "command", KV_STR("verb", verb), KV_INT("uid", client->uid),
		KV_STR("name", names));
	client->asked = true;
	command_begin(client->command);
	settle(client);
}

static void on_reload(struct client *client)
{
	client->asked = client->wants_reload = true;
	supervisor_reload(client->control->sv);
}

void control_reloaded(struct control *c, bool ok, const char *errors, const char *steps_json)
{
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct json_out j;
	if (!c)
		return;
	json_out_init(&j, &json);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", ok);
	json_strn(&j, "errors", errors, strnlen(errors, PAGE_FILL / 8));
	json_raw(&j, "steps", steps_json, strlen(steps_json));
	json_close_object(&j);
	LIST_FOR_EACH (node, &c->clients) {
		struct client *client = LIST_ENTRY(node, struct client, node);
		if (!client->wants_reload)
			continue;
		client->wants_reload = false;
		page_buf(client, &json, true, ok ? 0 : 78);
	}
}

static void on_rotated(void *arg, const struct msg_log_rotated *answer)
{
	struct control *c = arg;
	CLEANUP(buf_finish) struct buf json = BUF_INIT;
	struct json_out j;
	json_out_init(&j, &json);
	json_open_object(&j, NULL);
	json_bool(&j, "ok", answer != NULL);
	if (answer) {
		json_int(&j, "rotated", answer->rotated);
		json_int(&j, "later", answer->later);
	} else {
		json_str(&j, "error", "drover-log ended before it was done; it is started again");
	}
	json_close_object(&j);
	LIST_FOR_EACH (node, &c->clients) {
		struct client *client = LIST_ENTRY(node, struct client, node);
		if (!client->wants_rotate)
			continue;
		client->wants_rotate = false;
		page_buf(client, &json, true, answer ? 0 : 1);
	}
}

static void on_rotate(struct client *client)
{
	struct control *c = client->control;
	log_info(MAIN, "command", KV_STR("verb", "rotate"), KV_INT("uid", client->uid));
	client->asked = client->wants_rotate = true;
	if (log_room_rotate(c->sv->logs, on_rotated, c) < 0)
		on_rotated(c, NULL);
}

bool control_waits(const struct control *c)
{
	LIST_FOR_EACH (node, &c->clients)
		if (LIST_ENTRY(node, struct client, node)->command)
			return true;
	return false;
}

void control_upgraded(struct control *c, struct buf *json, int exit_code)
{
	LIST_FOR_EACH (node, &c->clients) {
		struct client *client = LIST_ENTRY(node, struct client, node);
		if (!client->wants_upgrade)
			continue;
		client->wants_upgrade = false;
		page_buf(client, json, true, exit_code);
	}
}

static void on_upgrade(struct client *client)
{
	log_info(MAIN, "command", KV_STR("verb", "upgrade"), KV_INT("uid", client->uid));
	client->asked = client->wants_upgrade = true;
	upgrade_begin(client->control->sv->upgrade);
}

/* --- dispatch --- */

static const struct control_verb *find_verb(const char *name)
{
	for (size_t i = 0; i < CONTROL_VERB_COUNT; i++)
		if (str_eq(control_verbs[i].name, name))
			return &control_verbs[i];
	return NULL;
}

static void on_own_verb(struct client *client, const char *verb, const struct message_bytes *args)
{
	CLEANUP(freep) char *names = strndup(args->data, args->len);
	if (!names) {
		refuse(client, 1, "out of memory");
		return;
	}
	if (str_eq(verb, "status"))
		on_status(client, names);
	else if (str_eq(verb, "logs"))
		on_logs(client);
	else if (str_eq(verb, "reload"))
		on_reload(client);
	else if (str_eq(verb, "rotate"))
		on_rotate(client);
	else if (str_eq(verb, "upgrade"))
		on_upgrade(client);
	else
		on_command(client, verb, names);
}

static void drop(void *arg)
{
	client_free(arg);
}

static void resume(void *arg)
{
	const struct client *client = arg;
	channel_pause(client->channel, false);
}

static void handle(struct client *client, const struct message *m)
{
	const struct msg_request *request = &m->body.request;
	const struct control_verb *verb = find_verb(request->verb);
	if (client->asked) {
		refuse(client, 1, "the last question is not answered yet");
		client->asked = true; /* it still waits for its own answer */
		return;
	}
	if (channel_queued(client->channel) > UNREAD_MAX) {
		loop_defer(client->control->sv->loop, drop, client);
		return;
	}
	list_remove(&client->node);
	list_add_tail(&client->control->clients, &client->node);
	if (request->version != CONTROL_VERSION)
		refuse(client, 1, "the command line is of another version than the supervisor");
	else if (!verb)
		refuse(client, 2, "no such verb");
	else if (client->right == NOTHING ||
		 (verb->right == CONTROL_CHANGE && client->right != CHANGE))
		refuse(client, 5,
			client->right == NOTHING
				? "only root, the owner and drover's group may look"
				: "only root and the owner may change anything");
	else if (verb->target == CONTROL_SUPERVISOR)
		on_own_verb(client, request->verb, &request->args);
	else {
		client->asked = true;
		relay_ask(client->control->sv->relay, client, verb->target, request, client->uid,
			client->right == CHANGE);
	}
}

static void on_request(void *arg, struct message *m)
{
	struct client *client = arg;
	handle(client, m);
	/* One request a turn: who floods us waits for all the others each time. */
	channel_pause(client->channel, true);
	loop_defer(client->control->sv->loop, resume, client);
}
