/* SPDX-License-Identifier: MIT */
/* drover demo: everything at work on real data, without root, network or configuration. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "demo.h"
#include "files.h"
#include "where.h"
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int verb_demo(struct cli *cli);
extern const struct cli_option verb_demo_options[];
const struct cli_option verb_demo_options[] = {
	{ "keep", 'k', NULL, "stay up at the end until Ctrl-C: to look at it" },
	{ 0 },
};

static const struct {
	const char *path, *package;
} needed[] = {
	{ "/usr/sbin/nginx", "nginx-light" },
	{ demo_iso_639_3, "iso-codes" },
	{ "/usr/share/doc/python3-doc/html/index.html", "python3-doc" },
	{ "/usr/bin/python3", "python3" },
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signo)
{
	interrupted = signo;
}

bool demo_interrupted(void)
{
	return interrupted != 0;
}

void demo_say(struct demo *d, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_addv(&text, fmt, ap);
	va_end(ap);
	fprintf(d->cli->out, "%6.1f s  %s\n", (double)(clock_mono_ms() - d->started_ms) / 1000,
		buf_str(&text));
	fflush(d->cli->out);
	buf_finish(&text);
}

static int check_needed(struct cli *cli)
{
	struct buf missing = BUF_INIT;
	for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
		if (access(needed[i].path, R_OK) == -1)
			buf_addf(&missing, " %s", needed[i].package);
	int code = missing.len == 0 ? CLI_DONE
				    : cli_fail(cli, CLI_FAILED,
					      "the demo shows real data from Debian packages that "
					      "are missing here. "
					      "Install them:\n  sudo apt-get install -y "
					      "--no-install-recommends%s",
					      buf_str(&missing));
	buf_finish(&missing);
	return code;
}

static int make_folder(struct demo *d, struct err *err)
{
	const char *tmp = getenv("TMPDIR");
	/* Short: the control socket's path may have 107 bytes. */
	if (!tmp || tmp[0] != '/' || strlen(tmp) > 30)
		tmp = "/tmp";
	snprintf(d->folder, sizeof(d->folder), "%s/drover-demo-XXXXXX", tmp);
	if (!mkdtemp(d->folder))
		return err_sys(err, -errno, "make a folder in %s", tmp);
	if (!realpath("/usr/share/doc/python3-doc/html", d->docs))
		return err_sys(err, -errno, "find python3-doc");
	snprintf(d->socket, sizeof(d->socket), "%s/run/control.sock", d->folder);
	return 0;
}

static const char configuration[] =
	"# What `drover demo` runs with. Everything is on this machine and ours, hence three "
	"settings that a\n"
	"# configuration for other people's servers would not have: private, no delay, short "
	"intervals.\n"
	"supervisor:\n"
	"  state_dir: %s/state\n"
	"  runtime_dir: %s/run\n"
	"  probe: {interval: 500ms, timeout: 400ms, failures: 3}  # 1m and 10s unless written: the "
	"demo has 30 s in all\n"
	"  restart: {min_interval: 1s, jitter: 50ms}              # 5m unless written, for the "
	"same reason\n"
	"  stop: {timeout: 3s}\n"
	"logs: {dir: %s/log}\n"
	"http: {listen: \"127.0.0.1:%d\"}\n"
	"workers:\n"
	"  collect: {processes: 1}        # so that the one we kill is the one that works\n"
	"\n"
	"providers:\n"
	"  iso:\n"
	"    base_url: %s\n"
	"    private: true                # it is on loopback, where drover goes only when told "
	"to\n"
	"    limits: {min_delay: 50ms}    # slow enough for a middle in which a worker can be "
	"killed\n"
	"\n"
	"jobs:\n"
	"  languages:\n"
	"    kind: collect\n"
	"    request: {provider: iso, path: /api/languages}\n"
	"    paginate: {by: page, param: page, size: %d}\n"
	"    records: 639-3\n"
	"    fields:\n"
	"      alpha_3: alpha_3\n"
	"      alpha_2: alpha_2\n"
	"      bibliographic: bibliographic\n"
	"      common_name: common_name\n"
	"      inverted_name: inverted_name\n"
	"      name: name\n"
	"      scope: scope\n"
	"      type: type\n"
	"    store: {table: languages, key: [alpha_3], batch: 100}\n"
	"  docs:\n"
	"    kind: crawl\n"
	"    start: [\"%s/\"]\n"
	"    follow: {depth: 50, max_pages: 10000, private: true}   # loopback again\n"
	"    politeness: {delay: 0s, per_host: 8}                   # our own server: no need to "
	"be gentle\n"
	"    extract:\n"
	"      - {match: \".*\", fields: {title: {xpath: \"string(//title)\"}}}\n"
	"    store: {table: pages, key: [url]}\n"
	"\n"
	"services:\n"
	"  web:\n"
	"    command: [/usr/bin/python3, %s/service.py, \"%d\", %s/first-life]\n"
	"    probe: {http: \"http://127.0.0.1:%d/\", start_period: 2s}\n";

static int write_configuration(struct demo *d, struct err *err)
{
	struct buf yaml = BUF_INIT;
	const char *f = d->folder;
	buf_addf(&yaml, configuration, f, f, f, d->http_port, d->site, DEMO_RECORDS_A_PAGE, d->site,
		f, d->service_port, f, d->service_port);
	int rc = demo_write(d, "drover.yaml", buf_str(&yaml), err);
	buf_finish(&yaml);
	if (rc == 0)
		rc = demo_write(d, "service.py", file_demo_service_py, err);
	return rc == 0 ? demo_write(d, "audit.py", file_demo_audit_py, err) : rc;
}

static int start_droverd(struct demo *d, struct err *err)
{
	char program[PATH_MAX], yaml[DEMO_PATH], output[DEMO_PATH];
	snprintf(yaml, sizeof(yaml), "%s/drover.yaml", d->folder);
	snprintf(output, sizeof(output), "%s/droverd-output.log", d->folder);
	int rc = where_program(program, "droverd", err);
	char *argv[] = { program, (char[]) { "--config" }, yaml, NULL };
	struct child_spec spec = { .argv = argv, .output = output, .signal_when_orphan = SIGTERM };
	return rc < 0 ? rc : child_start(&d->droverd, &spec, err);
}

static int prepare(struct demo *d, struct err *err)
{
	int rc = make_folder(d, err);
	if (rc < 0)
		return rc;
	fprintf(d->cli->out,
		"drover demo: real data from Debian, served on loopback; everything lies in %s\n",
		d->folder);
	fflush(d->cli->out);
	rc = demo_site_prepare(d, err);
	if (rc == 0)
		rc = write_configuration(d, err);
	if (rc == 0)
		rc = demo_site_start(d, err);
	return rc == 0 ? start_droverd(d, err) : rc;
}

static void catch_signals(void)
{
	struct sigaction act = { .sa_handler = on_interrupt };
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	signal(SIGPIPE, SIG_IGN); /* who reads us may go: what we started must still be ended */
}

static void stay_up(struct demo *d)
{
	fprintf(d->cli->out,
		"\nIt stays up until Ctrl-C. In another terminal:\n"
		"  drover status --socket %s\n",
		d->socket);
	fflush(d->cli->out);
	int code = 0;
	while (!interrupted && !child_ended(&d->droverd, &code))
		usleep(100000);
}

int verb_demo(struct cli *cli)
{
	int code = check_needed(cli);
	if (code != CLI_DONE)
		return code;
	struct demo d = {
		.cli = cli,
		.asking = *cli,
		.reserved = -1,
		.nginx = CHILD_NONE,
		.droverd = CHILD_NONE,
		.started_ms = clock_mono_ms(),
	};
	struct err err = { 0 };
	catch_signals();
	d.asking.socket = d.socket;
	code = prepare(&d, &err) < 0 ? cli_fail(cli, CLI_FAILED, "%s", err.text) : demo_story(&d);
	if (code == CLI_DONE && cli_value(cli, "keep"))
		stay_up(&d);
	cli_finish(&d.asking);
	child_stop(&d.droverd, SIGTERM, 15000);
	child_stop(&d.nginx, SIGTERM, 5000);
	if (d.reserved >= 0)
		close(d.reserved);
	if (interrupted && !cli_value(cli, "keep"))
		return cli_fail(cli, CLI_FAILED,
			"interrupted; what was started has been stopped, %s stays", d.folder);
	return code;
}
