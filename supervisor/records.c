/* SPDX-License-Identifier: MIT */
#include "records.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "contain.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD_VERSION = 4 };
static const char magic[8] = "droverS";

/* Read and written by one machine in one boot: raw. Each checksum covers all of its part before it.
 */
struct head {
	char magic[8];
	uint32_t version, length;
	char boot_id[40];
	char name[RECORD_NAME_SIZE];
	char mark[24], epoch[24];
	uint64_t incarnation;
	int64_t pid;
	uint64_t start_time;
	int64_t last_start_ms, last_automatic_ms, before_automatic_ms, due_ms, started_at_ms;
	int64_t strikes, told_interval_ms;
	uint64_t restarts, fingerprint;
	uint64_t task_id, task_fence, task_run, task_attempt;
	int64_t task_deadline_ms;
	int64_t exit_at_ms;
	int32_t exit_cause, exit_code, exit_signal;
	int32_t state, next_cause, end_cause;
	uint32_t wanted, closed, held, ready, end_failed, drained;
	uint64_t checksum;
};
struct claim {
	uint64_t incarnation;
	int64_t pid;
	uint64_t start_time;
	uint64_t checksum;
};
struct stored {
	struct head head;
	struct claim claim;
};

int records_open(int runtime_fd, struct err *err)
{
	if (mkdirat(runtime_fd, "slots", 0700) == -1 && errno != EEXIST)
		return err_sys(err, -errno, "make slots in the runtime directory");
	int fd = sys_openat(runtime_fd, "slots", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	return fd == -1 ? err_sys(err, -errno, "open slots in the runtime directory") : fd;
}

int record_open(int slots_fd, const char *name, struct err *err)
{
	int fd = sys_openat(slots_fd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0600);
	return fd == -1 ? err_sys(err, -errno, "open the slot record of %s", name) : fd;
}

/* --- writing --- */

static uint64_t head_sum(const struct head *h)
{
	return str_hash(h, offsetof(struct head, checksum));
}

static uint64_t claim_sum(const struct claim *c)
{
	return str_hash(c, offsetof(struct claim, checksum));
}

/* Those that are the same in a record and on file. */
/* clang-format off */
#define EACH_FIELD(F) \
	F(incarnation) F(last_start_ms) F(last_automatic_ms) F(before_automatic_ms) F(due_ms) \
	F(started_at_ms) F(strikes) F(told_interval_ms) F(restarts) F(fingerprint) \
	F(wanted) F(closed) F(held) F(ready) F(end_failed) F(drained)
/* clang-format on */

static void fill(struct head *h, const struct record *r)
{
	memset(h, 0, sizeof(*h)); /* padding is checksummed too */
	memcpy(h->magic, magic, sizeof(magic));
	h->version = RECORD_VERSION;
	h->length = sizeof(*h);
	str_copy(h->boot_id, sizeof(h->boot_id), clock_boot_id());
	str_copy(h->name, sizeof(h->name), r->name);
	str_copy(h->mark, sizeof(h->mark), r->mark);
	str_copy(h->epoch, sizeof(h->epoch), r->epoch);
#define STORE(field) h->field = r->field;
	EACH_FIELD(STORE)
#undef STORE
	/* One that died before we could ask when it started: its claim knows. */
	h->pid = r->start_time ? r->pid : 0;
	h->start_time = r->start_time;
	h->task_id = r->task.id;
	h->task_fence = r->task.fence;
	h->task_run = r->task.run;
	h->task_attempt = r->task.attempt;
	h->task_deadline_ms = r->task.deadline_ms;
	h->exit_at_ms = r->last_exit.at_ms;
	h->exit_cause = (int32_t)r->last_exit.cause;
	h->exit_code = r->last_exit.code;
	h->exit_signal = r->last_exit.signal;
	h->state = (int32_t)r->state;
	h->next_cause = (int32_t)r->next_cause;
	h->end_cause = (int32_t)r->end_cause;
}

/* Asked for at every change, so by words: eight times as fast as the checksum on file. */
uint64_t record_sum(const struct record *r)
{
	struct head h;
	uint64_t words[sizeof(h) / sizeof(uint64_t)], sum = 1;
	_Static_assert(sizeof(h) == sizeof(words), "no bytes are left over");
	fill(&h, r);
	memcpy(words, &h, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15u;
		sum ^= sum >> 32;
	}
	return sum ? sum : 1;
}

static int write_part(int fd, const void *part, size_t len, off_t at)
{
	/* One call: a death of the writer leaves the old or the new part, never half of one. */
	ssize_t n = pwrite(fd, part, len, at);
	if (n == -1)
		return -errno;
	return n == (ssize_t)len ? 0 : -EIO;
}

int record_write(int fd, const struct record *r)
{
	struct stat st;
	struct head h;
	fill(&h, r);
	h.checksum = head_sum(&h);
	/* Longer than any of ours: another's, which would make ours unreadable. */
	if (fstat(fd, &st) == 0 && st.st_size > (off_t)sizeof(struct stored) &&
		ftruncate(fd, sizeof(struct stored)) == -1)
		return -errno;
	return write_part(fd, &h, sizeof(h), 0);
}

int record_claim(int fd, uint64_t incarnation, uint64_t start_time)
{
	struct claim c;
	memset(&c, 0, sizeof(c));
	c.incarnation = incarnation;
	c.pid = getpid();
	c.start_time = start_time ? start_time : contain_start_time(getpid());
	c.checksum = claim_sum(&c);
	return write_part(fd, &c, sizeof(c), offsetof(struct stored, claim));
}

/* --- reading --- */

static bool terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static bool is_hex(const char *text)
{
	size_t len = 0;
	while (isxdigit((unsigned char)text[len]))
		len++;
	return len > 0 && len < RECORD_EPOCH_SIZE && text[len] == '\0';
}

static bool is_ours(const struct head *h)
{
	return memcmp(h->magic, magic, sizeof(magic)) == 0 && h->version == RECORD_VERSION &&
	       h->length == sizeof(*h) && h->checksum == head_sum(h) &&
	       terminated(h->boot_id, sizeof(h->boot_id)) && terminated(h->name, sizeof(h->name)) &&
	       terminated(h->mark, sizeof(h->mark)) && terminated(h->epoch, sizeof(h->epoch)) &&
	       is_hex(h->mark) && is_hex(h->epoch) && strcmp(h->boot_id, clock_boot_id()) == 0;
}

static bool is_cause(int32_t cause)
{
	return cause >= 0 && cause < START_CAUSES;
}

/* A process that may be signalled: never we, init, a group, or everybody. */
static bool is_pid(int64_t pid, uint64_t start_time)
{
	return pid > 1 && pid <= INT32_MAX && pid != getpid() && start_time > 0;
}

/* A checksum is no proof of sense: whoever may write here may compute one. */
static bool makes_sense(const struct head *h)
{
	int64_t now_ms = clock_boot_ms();
	return (h->pid == 0 || is_pid(h->pid, h->start_time)) && h->incarnation <= INT64_MAX &&
	       h->last_start_ms >= -1 && h->last_start_ms <= now_ms && h->last_automatic_ms >= -1 &&
	       h->last_automatic_ms <= now_ms && h->before_automatic_ms >= -1 &&
	       h->before_automatic_ms <= now_ms && h->due_ms >= -1 && h->started_at_ms >= 0 &&
	       h->strikes >= 0 && h->strikes <= INT32_MAX && h->told_interval_ms >= 0 &&
	       h->told_interval_ms <= INT32_MAX && h->state > PROCESS_INVALID &&
	       h->state < PROCESS_STATES && is_cause(h->next_cause) && is_cause(h->end_cause) &&
	       is_cause(h->exit_cause) && h->exit_code >= -1 && h->exit_code <= 255 &&
	       h->exit_signal >= -1 && h->exit_signal < NSIG && h->exit_at_ms >= 0 &&
	       h->task_deadline_ms >= 0;
}

static void take(const struct head *h, struct record *out)
{
	*out = (struct record) { .pid = h->pid,
		.start_time = h->start_time,
		.task = { .id = h->task_id,
			.fence = h->task_fence,
			.run = h->task_run,
			.attempt = h->task_attempt,
			.deadline_ms = h->task_deadline_ms },
		.state = (enum process_state)h->state,
		.next_cause = (enum start_cause)h->next_cause,
		.end_cause = (enum start_cause)h->end_cause,
		.last_exit = { .cause = (enum start_cause)h->exit_cause,
			.code = h->exit_code,
			.signal = h->exit_signal,
			.at_ms = h->exit_at_ms } };
#define LOAD(field) out->field = h->field;
	EACH_FIELD(LOAD)
#undef LOAD
	str_copy(out->name, sizeof(out->name), h->name);
	str_copy(out->mark, sizeof(out->mark), h->mark);
	str_copy(out->epoch, sizeof(out->epoch), h->epoch);
}

int record_read(int fd, struct record *out)
{
	struct stored s;
	struct stat st;
	if (fstat(fd, &st) == -1 ||
		(st.st_size != (off_t)sizeof(s.head) && st.st_size != (off_t)sizeof(s)) ||
		pread(fd, &s, (size_t)st.st_size, 0) != (ssize_t)st.st_size)
		return -EBADMSG;
	if (!is_ours(&s.head) || !makes_sense(&s.head))
		return -EBADMSG;
	take(&s.head, out);
	if (out->pid || st.st_size != (off_t)sizeof(s))
		return 0;
	if (s.claim.checksum == claim_sum(&s.claim) && s.claim.incarnation == out->incarnation &&
		is_pid(s.claim.pid, s.claim.start_time)) {
		out->pid = s.claim.pid;
		out->start_time = s.claim.start_time;
	}
	return 0;
}

void record_remove(int slots_fd, const char *name)
{
	if (sys_unlinkat(slots_fd, name, 0) == -1 && errno == EISDIR)
		sys_unlinkat(slots_fd, name, AT_REMOVEDIR);
}

/* Calls `each` with every file: r NULL when it is no sound record. One that cannot be opened for
 * want of descriptors or memory may be sound. @return 0 or negative errno */
static int walk(
	int slots_fd, void (*each)(void *arg, const char *name, const struct record *r), void *arg)
{
	int copy = sys_openat(slots_fd, ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = copy == -1 ? NULL : fdopendir(copy);
	if (!dir) {
		if (copy != -1)
			sys_close(copy);
		return -errno;
	}
	int rc = 0;
	for (const struct dirent *d; (d = readdir(dir));) {
		struct record r;
		if (d->d_name[0] == '.')
			continue;
		CLEANUP(closep)
		int fd = sys_openat(slots_fd, d->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0);
		if (fd == -1 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM)) {
			rc = -errno;
			continue;
		}
		bool sound = fd != -1 && record_read(fd, &r) == 0 && strcmp(r.name, d->d_name) == 0;
		each(arg, d->d_name, sound ? &r : NULL);
	}
	closedir(dir);
	return rc;
}

struct reading {
	int slots_fd;
	void (*found)(void *arg, const struct record *record);
	void *arg;
};

static void tell_or_remove(void *arg, const char *name, const struct record *r)
{
	const struct reading *reading = arg;
	if (r)
		reading->found(reading->arg, r);
	else
		record_remove(reading->slots_fd, name);
}

int records_read(int slots_fd, void (*found)(void *arg, const struct record *record), void *arg)
{
	struct reading reading = { slots_fd, found, arg };
	return walk(slots_fd, tell_or_remove, &reading);
}

struct counts {
	int sound, unsound;
};

static void count(void *arg, const char *name UNUSED, const struct record *r)
{
	struct counts *counts = arg;
	*(r ? &counts->sound : &counts->unsound) += 1;
}

int records_check(int slots_fd, int *sound)
{
	struct counts counts = { 0 };
	(void)walk(slots_fd, count, &counts);
	*sound = counts.sound;
	return counts.unsound;
}

struct copying {
	int from_fd, to_fd, count, rc;
};

/* With its claim: the whole file. */
static int copy_file(const struct copying *c, const char *name)
{
	struct stored s;
	CLEANUP(closep) int from = sys_openat(c->from_fd, name, O_RDONLY | O_NOFOLLOW, 0);
	ssize_t n = from == -1 ? -1 : pread(from, &s, sizeof(s), 0);
	CLEANUP(closep)
	int to = n <= 0 ? -1
			: sys_openat(
				  c->to_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
	if (n <= 0 || to == -1)
		return errno ? -errno : -EIO;
	return write_part(to, &s, (size_t)n, 0);
}

static void copy(void *arg, const char *name, const struct record *r)
{
	struct copying *c = arg;
	if (!r || c->rc < 0)
		return;
	c->rc = copy_file(c, name);
	c->count++;
}

int records_copy(int slots_fd, int to_fd)
{
	struct copying c = { slots_fd, to_fd, 0, 0 };
	walk(slots_fd, copy, &c);
	return c.rc < 0 ? c.rc : c.count;
}
