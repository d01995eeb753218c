/* SPDX-License-Identifier: MIT */
/*
 * A service of the chaos tests. It keeps records of its own life, which no supervisor touches:
 *
 *   FOLDER/NAME.records   one line a fact, appended whole: BOOT_US WHAT PID START INCARNATION
 * DETAIL FOLDER/NAME.lock      held by the whole tree, as far as its members keep descriptors
 *   FOLDER/lives/KEY      KEY is NAME.PID.START: how many numbered lines it has written, and
 * whether half a line follows FOLDER/double         whoever meets a member of an earlier instance
 * complains here
 *
 *   chaos_actor CHARACTER NAME FOLDER [PORT]
 *   chaos_actor strike-rename DIR PID     kills PID at the first rename in DIR; 0: in the middle of
 * a rotation, 5: not chaos_actor strike-exec FILE PID      kills PID when a child of it is about to
 * execute FILE
 *
 * Real-time signals are orders of the harness; see obey().
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	TICK_MS = 20,
	FLOOD_LINES = 1500,
	LINE_MAX_SIZE = 512,
	STRIKE_MS = 1000,
	SLOW_MS = 250,
	CLIENTS = 16,
	LOGS = 32,
	FORKS_MAX = 12,
};

enum order {
	FORK_SESSION,
	FORK_DAEMON,
	FLOOD,
	PROBE_FAIL,
	PROBE_HANG,
	PROBE_FAIL_TWICE,
	CRASH,
	HALF_LINE,
	ORDERS
};

/* What others may read at any instant, also after a SIGKILL. */
struct life {
	uint64_t lines, half;
};

static struct actor {
	const char *character, *name, *folder, *incarnation, *program;
	int records, signals, server, port;
	unsigned long long start;
	struct life *life;
	char key[128];
	int failing; /* so many probes fail; -1: all */
	bool hanging;
	int forks;
	int clients[CLIENTS];
	bool terminated;
	int64_t leave_us; /* 0: not asked to */
} me;

static int64_t boot_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(3);
}

/* 0 when it is dead: gone, a zombie, or another with that number. */
static unsigned long long start_of(pid_t pid)
{
	char path[64], text[1024], state;
	unsigned long long start;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd != -1)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	const char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1,
			     " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			     "%*d %*d %llu",
			     &state, &start) != 2)
		return 0;
	return state == 'Z' || state == 'X' ? 0 : start;
}

static int open_in_folder(const char *name, const char *suffix, int flags)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s%s", me.folder, name, suffix);
	int fd = open(path, flags | O_CREAT, 0666);
	if (fd == -1)
		die(path);
	return fd;
}

static void append(int fd, char what, const char *detail)
{
	char line[256];
	int n = snprintf(line, sizeof(line), "%lld %c %d %llu %s %s\n", (long long)boot_us(), what,
		(int)getpid(), start_of(getpid()), me.incarnation, detail);
	if (write(fd, line, (size_t)n) != n)
		die("records");
}

static void record(char what, const char *detail)
{
	append(me.records, what, detail);
}

static void complain(const char *what, int pid)
{
	char line[256];
	int fd = open_in_folder("double", "", O_WRONLY | O_APPEND);
	int n = snprintf(line, sizeof(line), "%lld %s.%d.%llu meets %s %d\n", (long long)boot_us(),
		me.name, (int)getpid(), me.start, what, pid);
	if (write(fd, line, (size_t)n) != n)
		die("double");
	close(fd);
}

/* S1, twice: by the lock that a tree shares, and by asking for each member that was ever recorded.
 */
static void look_for_others(void)
{
	struct flock lock = { .l_type = F_WRLCK };
	int fd = open_in_folder(me.name, ".lock", O_RDWR);
	if (fcntl(fd, F_OFD_SETLK, &lock) == -1)
		complain("a holder of the lock", 0);
	char path[512], line[512];
	snprintf(path, sizeof(path), "%s/%s.records", me.folder, me.name);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		char what;
		int pid;
		unsigned long long start;
		if (sscanf(line, "%*d %c %d %llu", &what, &pid, &start) == 3 &&
			(what == 'S' || what == 'J') && start != 0 && start_of(pid) == start)
			complain("a member", pid);
	}
	if (file)
		fclose(file);
}

static void begin_life(void)
{
	char path[512];
	snprintf(me.key, sizeof(me.key), "%s.%d.%llu", me.name, (int)getpid(), me.start);
	snprintf(path, sizeof(path), "lives/%s", me.key);
	int fd = open_in_folder(path, "", O_RDWR);
	if (ftruncate(fd, sizeof(struct life)) == -1)
		die("lives");
	me.life = mmap(NULL, sizeof(struct life), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (me.life == MAP_FAILED)
		die("lives");
	close(fd);
}

/* The number is stored after the line was written: killed in between, one line more may be there.
 */
static void write_line(void)
{
	char line[LINE_MAX_SIZE];
	uint64_t n = me.life->lines + 1;
	int len = snprintf(line, sizeof(line), "line %s %llu ", me.key, (unsigned long long)n);
	int padding = (int)(n * 7919 % 300);
	memset(line + len, 'a' + (int)(n % 26), (size_t)padding);
	len += padding;
	line[len++] = '\n';
	if (write(STDOUT_FILENO, line, (size_t)len) != len)
		die("log");
	me.life->lines = n;
}

static void write_half_line(void)
{
	char line[LINE_MAX_SIZE];
	int len = snprintf(line, sizeof(line), "half %s", me.key);
	me.life->half = 1;
	if (write(STDOUT_FILENO, line, (size_t)len) != len)
		die("log");
	me.life->half = 2;
}

static void flood(void)
{
	char detail[64];
	unsigned long long first = me.life->lines + 1;
	for (int i = 0; i < FLOOD_LINES; i++)
		write_line();
	snprintf(detail, sizeof(detail), "%llu %llu", first, (unsigned long long)me.life->lines);
	record('F', detail);
}

/* A member that wants to stay: deaf to TERM; a daemon has neither environment nor descriptors of
 * the tree. */
static void join(bool daemon)
{
	char *const argv[] = { (char *)(uintptr_t)me.program, (char *)(uintptr_t) "member", NULL };
	char *const environment[] = { NULL };
	sigset_t none;
	if (fork() != 0)
		return;
	if (daemon) {
		setsid();
		if (fork() != 0)
			_exit(0);
	}
	setsid();
	record('J', daemon ? "daemon" : "session");
	signal(SIGTERM, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (daemon) {
		closefrom(0);
		for (int i = 0; i < 3; i++)
			open("/dev/null", O_RDWR);
		execve(me.program, argv, environment);
	}
	for (;;)
		pause();
}

static bool flag(const char *name)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s.%s", me.folder, me.name, name);
	return access(path, F_OK) == 0;
}

static void leave(int code, const char *why)
{
	record('X', why);
	_exit(code);
}

/* --- probes --- */

static void open_server(void)
{
	const int on = 1;
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)me.port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	me.server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(me.server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(me.server, (struct sockaddr *)&address, sizeof(address)) == -1 ||
		listen(me.server, 64) == -1)
		complain("somebody at the port", me.port);
	memset(me.clients, 0xff, sizeof(me.clients));
}

static void accept_one(void)
{
	int fd = accept4(me.server, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	for (int i = 0; i < CLIENTS && fd != -1; i++)
		if (me.clients[i] == -1) {
			me.clients[i] = fd;
			return;
		}
	if (fd != -1)
		close(fd);
}

static void answer(int *client)
{
	char text[2048];
	ssize_t n = read(*client, text, sizeof(text));
	if (n == -1 && errno == EAGAIN)
		return;
	if (n > 0 && me.hanging) {
		record('P', "hang");
		return; /* the connection stays until the asker leaves */
	}
	if (n > 0) {
		bool fails = me.failing != 0;
		const char *reply =
			fails ? "HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
			      : "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
		record('P', fails ? "fail" : "ok");
		if (me.failing > 0)
			me.failing--;
		if (write(*client, reply, strlen(reply)) == -1)
			record('P', "unheard");
	}
	close(*client);
	*client = -1;
}

/* --- orders --- */

static void obey(enum order order)
{
	switch (order) {
	case FORK_SESSION:
	case FORK_DAEMON:
		if (me.forks++ < FORKS_MAX)
			join(order == FORK_DAEMON);
		break;
	case FLOOD: flood(); break;
	case PROBE_FAIL: me.failing = -1; break;
	case PROBE_HANG: me.hanging = true; break;
	case PROBE_FAIL_TWICE: me.failing = 2; break;
	case CRASH: leave(1, "ordered"); break;
	case HALF_LINE:
		write_half_line();
		leave(1, "half");
		break;
	case ORDERS: break;
	}
}

static void on_term(pid_t sender)
{
	char detail[32];
	snprintf(detail, sizeof(detail), "%d", (int)sender);
	if (!me.terminated)
		record('T', detail);
	me.terminated = true;
	if (strcmp(me.character, "stubborn") == 0 || me.leave_us)
		return;
	me.leave_us = boot_us() + (strcmp(me.character, "slow") == 0 ? SLOW_MS * 1000 : 0);
}

static void read_signals(void)
{
	struct signalfd_siginfo info;
	while (read(me.signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGTERM)
			on_term((pid_t)info.ssi_pid);
		else
			obey((enum order)((int)info.ssi_signo - SIGRTMIN));
	}
}

static void take_signals(void)
{
	sigset_t mine;
	sigemptyset(&mine);
	sigaddset(&mine, SIGTERM);
	for (int i = 0; i < ORDERS; i++)
		sigaddset(&mine, SIGRTMIN + i);
	sigprocmask(SIG_BLOCK, &mine, NULL);
	me.signals = signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK);
	/* Nobody waits for the members. */
	signal(SIGCHLD, SIG_IGN);
}

static void turn(void)
{
	struct pollfd fds[2 + CLIENTS] = { { .fd = me.signals, .events = POLLIN },
		{ .fd = me.server, .events = POLLIN } };
	for (int i = 0; i < CLIENTS; i++)
		fds[2 + i] = (struct pollfd) { .fd = me.server == -1 ? -1 : me.clients[i],
			.events = POLLIN };
	poll(fds, 2 + CLIENTS, TICK_MS);
	read_signals();
	if (fds[1].revents)
		accept_one();
	for (int i = 0; i < CLIENTS; i++)
		if (fds[2 + i].revents)
			answer(&me.clients[i]);
	write_line();
	if (me.leave_us && boot_us() >= me.leave_us)
		leave(0, "asked");
}

/* What the characters do before they work; what crashes and what daemonizes does so as long as its
 * flag is there. */
static void begin(void)
{
	if (strcmp(me.character, "forking") == 0) {
		join(false);
		join(true);
		me.forks = 2;
	}
	if (strcmp(me.character, "slow") == 0)
		usleep(SLOW_MS * 1000);
	if (strcmp(me.character, "flooding") == 0)
		flood();
	if (strcmp(me.character, "crashing") == 0 && flag("crash")) {
		write_line();
		write_half_line();
		leave(1, "crash");
	}
	if (strcmp(me.character, "daemonizing") == 0 && flag("daemon")) {
		join(true);
		write_line();
		usleep(TICK_MS * 1000);
		leave(0, "daemonized");
	}
}

static _Noreturn void act(int argc, char **argv)
{
	const char *instance = getenv("DROVER_INSTANCE");
	const char *number = instance ? strchr(instance, ':') : NULL;
	me.character = argv[1];
	me.name = argv[2];
	me.folder = argv[3];
	me.port = argc > 4 ? atoi(argv[4]) : 0;
	me.program = argv[0];
	me.incarnation = number ? number + 1 : "-";
	me.server = -1;
	me.start = start_of(getpid());
	take_signals();
	me.records = open_in_folder(me.name, ".records", O_WRONLY | O_APPEND | O_CLOEXEC);
	look_for_others();
	record('S', me.character);
	begin_life();
	if (me.port)
		open_server();
	begin();
	for (;;)
		turn();
}

/* --- strikes: what is too fast for a script --- */

static void armed(void)
{
	puts("armed");
	fflush(stdout);
}

struct numbered {
	char name[64];
	int count, largest;
};

/* In the middle of a rotation a number is free below one that is taken. */
static bool has_hole(const char *folder)
{
	struct numbered logs[LOGS] = { 0 };
	bool hole = false;
	DIR *dir = opendir(folder);
	for (const struct dirent *d; dir && (d = readdir(dir));) {
		const char *end = strstr(d->d_name, ".log.");
		int n = end ? atoi(end + 5) : 0, i = 0;
		size_t len = end ? (size_t)(end - d->d_name) : 0;
		if (n <= 0 || len >= sizeof(logs[0].name))
			continue;
		while (i < LOGS - 1 && logs[i].name[0] &&
			(strlen(logs[i].name) != len || memcmp(logs[i].name, d->d_name, len) != 0))
			i++;
		memcpy(logs[i].name, d->d_name, len);
		logs[i].count++;
		if (n > logs[i].largest)
			logs[i].largest = n;
	}
	if (dir)
		closedir(dir);
	for (int i = 0; i < LOGS; i++)
		hole = hole || logs[i].largest > logs[i].count;
	return hole;
}

/* A rename takes microseconds: who waits for one goes before all others, if we may. */
static int strike_rename(const char *dir, int victim)
{
	const struct sched_param first = { .sched_priority = 1 };
	char events[4096] __attribute__((aligned(8)));
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (fd == -1 || inotify_add_watch(fd, dir, IN_MOVED_FROM | IN_MOVED_TO) == -1)
		die(dir);
	sched_setscheduler(0, SCHED_FIFO, &first);
	armed();
	if (poll(&p, 1, STRIKE_MS) != 1 || read(fd, events, sizeof(events)) <= 0)
		return 2;
	p = (struct pollfd) { .fd = victim, .events = POLLIN };
	if (pidfd_send_signal(victim, SIGKILL, NULL, 0) == -1 || poll(&p, 1, STRIKE_MS) != 1)
		return 1;
	/* Before the next one is there and goes on. */
	return has_hole(dir) ? 0 : 5;
}

static pid_t parent_of(pid_t pid)
{
	char path[64], text[1024];
	int parent = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd == -1 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd != -1)
		close(fd);
	text[n > 0 ? n : 0] = '\0';
	const char *rest = strrchr(text, ')');
	return rest && sscanf(rest + 1, " %*c %d", &parent) == 1 ? parent : 0;
}

/* Waits until a child of the victim executes the file; members of the actors' trees may go on. */
static pid_t wait_for_exec(int fd, pid_t parent)
{
	struct fanotify_event_metadata event;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	while (poll(&p, 1, STRIKE_MS) == 1 &&
		read(fd, &event, sizeof(event)) == (ssize_t)sizeof(event)) {
		const struct fanotify_response go = { .fd = event.fd, .response = FAN_ALLOW };
		if (parent_of(event.pid) == parent)
			return event.pid;
		if (write(fd, &go, sizeof(go)) == -1)
			die("fanotify");
		close(event.fd);
	}
	return 0;
}

/* Whoever waits at the file is a child with a record and without a program; our end lets it go on.
 */
static int strike_exec(const char *file, int victim, pid_t victim_pid)
{
	int fd = fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	struct pollfd gone = { .fd = victim, .events = POLLIN };
	if (fd == -1 || fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN_EXEC_PERM, AT_FDCWD, file) == -1)
		return 4;
	armed();
	pid_t child = wait_for_exec(fd, victim_pid);
	if (!child)
		return 2;
	if (pidfd_send_signal(victim, SIGKILL, NULL, 0) == -1 || poll(&gone, 1, STRIKE_MS) != 1)
		return 1;
	printf("%d\n", (int)child);
	return 0;
}

static int strike(const char *what, const char *path, const char *pid)
{
	int victim = pidfd_open((pid_t)atoi(pid), 0);
	if (victim == -1)
		return 1;
	return strcmp(what, "strike-exec") == 0 ? strike_exec(path, victim, (pid_t)atoi(pid))
						: strike_rename(path, victim);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "member") == 0)
		for (;;)
			pause();
	if (argc < 4)
		return 2;
	if (strncmp(argv[1], "strike-", 7) == 0)
		return strike(argv[1], argv[2], argv[3]);
	act(argc, argv);
}
