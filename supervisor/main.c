/* SPDX-License-Identifier: MIT */
/* droverd: options, the first configuration, the loop, the exit code. */
#include "accept.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "config/config.h"
#include "config/kind.h"
#include "hand_over.h"
#include "loop/loop.h"
#include "place.h"
#include "records.h"
#include "service_manager.h"
#include "supervisor.h"
#include "worker_link.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_CONFIG = 78, LARGE = 16384 };
#define DEFAULT_CONFIG "/etc/drover/drover.yaml"

static const char help[] =
	"usage: droverd [--config FILE] [--state-dir DIR] [--runtime-dir DIR] [--log-dir DIR] "
	"[--check | --sweep | --rehearse DIR]\n"
	"\n"
	"Runs drover in the foreground: starts, watches and restarts its workers and services.\n"
	"  --config FILE      configuration (default " DEFAULT_CONFIG
	"), with conf.d/*.yaml beside it\n"
	"  --state-dir DIR    database and shared limits\n"
	"  --runtime-dir DIR  control socket, pipes, slot records\n"
	"  --log-dir DIR      log files\n"
	"  --check            judge the configuration and exit: 0, or 78 with all errors\n"
	"  --sweep            end what a droverd left that was killed (not one that runs), then "
	"exit\n"
	"  --rehearse DIR     judge, as before an upgrade: the configuration, the programs beside "
	"us and\n"
	"                     the slot records copied to DIR; change nothing\n"
	"  --version          print the version\n"
	"  --help             print this\n"
	"Signals: TERM, INT stop (twice: at once); HUP reload; USR1 rotate logs; USR2 upgrade in "
	"place;\n"
	"QUIT kill and leave.\n";

struct arguments {
	struct config_options options;
	bool check, sweep;
	const char *rehearse; /* NULL: no */
};

/* @return -1 to go on, else the exit code */
static int read_arguments(int argc, char **argv, struct arguments *out)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "state-dir", required_argument, NULL, 's' },
		{ "runtime-dir", required_argument, NULL, 'r' },
		{ "log-dir", required_argument, NULL, 'l' },
		{ "check", no_argument, NULL, 'k' },
		{ "sweep", no_argument, NULL, 'w' },
		{ "rehearse", required_argument, NULL, 'e' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	out->options = (struct config_options) { .file = DEFAULT_CONFIG, .kinds = worker_kinds };
	for (int c; (c = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		switch (c) {
		case 'c': out->options.file = optarg; break;
		case 's': out->options.state_dir = optarg; break;
		case 'r': out->options.runtime_dir = optarg; break;
		case 'l': out->options.log_dir = optarg; break;
		case 'k': out->check = true; break;
		case 'w': out->sweep = true; break;
		case 'e': out->rehearse = optarg; break;
		case 'v': puts("droverd " DROVER_VERSION); return EXIT_SUCCESS;
		case 'h': fputs(help, stdout); return EXIT_SUCCESS;
		default: fputs("droverd --help lists the options\n", stderr); return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "droverd takes no argument \"%s\"\n", argv[optind]);
		return EXIT_USAGE;
	}
	if (out->check + out->sweep + (out->rehearse != NULL) > 1) {
		fputs("--check, --sweep and --rehearse exclude each other\n", stderr);
		return EXIT_USAGE;
	}
	out->options.color = isatty(STDERR_FILENO) && !getenv("NO_COLOR");
	return -1;
}

/* Children get 0 to 2 anew; ours must not become a socket or a lock by accident. */
static void fill_standard_descriptors(void)
{
	int fd;
	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/*
 * What comes before the loop listens waits for it: a reload that is asked for too early must not
 * end us, and an end must not leave behind what was started already.
 */
static void hold_signals(const int *numbers)
{
	sigset_t held;
	sigemptyset(&held);
	for (; *numbers; numbers++)
		sigaddset(&held, *numbers);
	sigprocmask(SIG_BLOCK, &held, NULL);
}

/*
 * Workers, which are told of the folders, live in "/", and the next droverd after an upgrade may.
 * The names are only made absolute: a link that is turned to another file or folder is followed at
 * the next reload. They last as long as we do.
 */
static int resolve_names(struct config_options *options)
{
	static char paths[4][PATH_MAX];
	const char **const given[] = { &options->file, &options->state_dir, &options->runtime_dir,
		&options->log_dir };
	char here[PATH_MAX];
	for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
		const char *name = *given[i];
		if (!name || name[0] == '/')
			continue;
		int len = getcwd(here, sizeof(here))
				  ? snprintf(paths[i], PATH_MAX, "%s/%s", here, name)
				  : PATH_MAX;
		if (!*name || len >= PATH_MAX) {
			fprintf(stderr, "\"%s\" is no %s's name\n", name, i ? "folder" : "file");
			return -EINVAL;
		}
		*given[i] = paths[i];
	}
	return 0;
}

static int load(struct config **out, const struct config_options *options)
{
	CLEANUP(buf_finish) struct buf report = BUF_INIT;
	char program_dir[PROGRAM_PATH];
	struct config *config = NULL;
	place_program_dir(program_dir, sizeof(program_dir));
	int rc = config_load(&config, options, &report);
	if (rc == 0)
		rc = accept_config(config, program_dir, SLOTS_MAX, &report);
	fputs(buf_str(&report), stderr);
	if (rc < 0) {
		config_free(config);
		return rc;
	}
	*out = config;
	return 0;
}

static int run(struct config *config, const struct config_options *options,
	struct hand_over *hand_over, bool sweep)
{
	struct loop *loop = NULL;
	struct supervisor *sv = NULL;
	struct err err = { 0 };
	hold_signals((const int[]) { SIGTERM, SIGINT, SIGQUIT, 0 });
	int rc = loop_new(&loop, &err);
	if (rc == 0)
		rc = supervisor_start(&sv, loop, config, options, hand_over, sweep, &err);
	if (rc < 0) {
		fprintf(stderr, "droverd: %s\n", err.text);
		config_free(config);
		loop_free(loop);
		return EXIT_FAILURE;
	}
	loop_run(loop);
	/* All is ended: one more must not make an end by a signal of it. */
	hold_signals((const int[]) { SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, 0 });
	int exit_code = supervisor_stop(sv);
	loop_free(loop);
	return exit_code;
}

/* What was left is ended whatever the file says by now, even when nobody can read it. */
static int load_for_sweep(struct config **out, struct config_options *options)
{
	CLEANUP(buf_finish) struct buf report = BUF_INIT;
	static char path[64];
	if (config_load(out, options, &report) == 0)
		return 0;
	fputs("droverd: the configuration cannot be read; its default folders are swept\n", stderr);
	int fd = memfd_create("no configuration", MFD_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	options->file = path;
	buf_reset(&report);
	int rc = fd == -1 ? -errno : config_load(out, options, &report);
	fputs(buf_str(&report), stderr);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int sweep(const struct arguments *arguments)
{
	struct config_options options = arguments->options;
	struct config *config = NULL;
	if (!service_manager_wants_sweep()) {
		puts("nothing is swept after a crash: the next droverd takes the services over");
		return EXIT_SUCCESS;
	}
	if (load_for_sweep(&config, &options) < 0)
		return EXIT_CONFIG;
	if (access(config->supervisor.runtime_dir, F_OK) == -1) {
		config_free(config);
		return EXIT_SUCCESS;
	}
	return run(config, &options, NULL, true);
}

static bool access_program(char *directory, size_t size, const char *program)
{
	place_program_dir(directory, size);
	const char *path = worker_link_find(directory, program);
	if (access(path, X_OK) == 0)
		return true;
	perror(path);
	return false;
}

static bool have_programs(void)
{
	char directory[PROGRAM_PATH];
	bool all = access_program(directory, sizeof(directory), "drover-log");
	for (size_t i = 0; worker_kinds[i]; i++)
		if (worker_kinds[i]->program)
			all = access_program(
				      directory, sizeof(directory), worker_kinds[i]->program) &&
			      all;
	return all;
}

/* The configuration was loaded and is accepted. The last line is read by who tries us. */
static int rehearse(const char *directory)
{
	int sound = 0;
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd == -1) {
		perror(directory);
		return EXIT_FAILURE;
	}
	int unsound = records_check(fd, &sound);
	close(fd);
	if (unsound > 0)
		fprintf(stderr,
			"%d of %d slot records cannot be read by droverd " DROVER_VERSION "\n",
			unsound, sound + unsound);
	if (!have_programs() || unsound > 0)
		return EXIT_FAILURE;
	printf("rehearsed: version " DROVER_VERSION " records %d\n", sound);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct arguments arguments = { 0 };
	struct config *config = NULL;
	/* What is large goes back at once, or leaves holes between what is small and stays. */
	mallopt(M_MMAP_THRESHOLD, LARGE);
	mallopt(M_TRIM_THRESHOLD, LARGE);
	mallopt(M_TOP_PAD, LARGE);
	fill_standard_descriptors();
	hold_signals((const int[]) { SIGHUP, SIGUSR1, SIGUSR2, 0 });
	struct hand_over *hand_over = hand_over_read();
	int exit_code = read_arguments(argc, argv, &arguments);
	if (exit_code < 0 && resolve_names(&arguments.options) < 0)
		exit_code = EXIT_USAGE;
	if (exit_code >= 0) {
		hand_over_free(hand_over);
		return exit_code;
	}
	/* Half a file is no configuration for what runs already. */
	arguments.options.refuse_empty = hand_over || arguments.rehearse;
	if (arguments.sweep) {
		exit_code = sweep(&arguments);
	} else if (load(&config, &arguments.options) < 0) {
		exit_code = EXIT_CONFIG;
	} else if (arguments.rehearse) {
		exit_code = rehearse(arguments.rehearse);
		config_free(config);
	} else if (arguments.check) {
		printf("%s: %zu jobs, %zu providers, %zu services\n", arguments.options.file,
			config->job_count, config->provider_count, config->service_count);
		config_free(config);
		exit_code = EXIT_SUCCESS;
	} else {
		exit_code = run(config, &arguments.options, TAKE(hand_over), false);
	}
	hand_over_free(hand_over);
	return exit_code;
}
