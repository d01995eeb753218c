/* SPDX-License-Identifier: MIT */
#include "demo.h"

#include "ask.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { START_MS = 5000, POLL_MS = 10 };

const char demo_iso_639_3[] = "/usr/share/iso-codes/json/iso_639-3.json";

int demo_write(const struct demo *d, const char *name, const char *text, struct err *err)
{
	char path[DEMO_PATH];
	snprintf(path, sizeof(path), "%s/%s", d->folder, name);
	CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t len = strlen(text), at = 0;
	while (fd != -1 && at < len) {
		ssize_t n = write(fd, text + at, len - at);
		if (n == -1)
			return err_sys(err, -errno, "write %s", path);
		at += (size_t)n;
	}
	return fd == -1 ? err_sys(err, -errno, "write %s", path) : 0;
}

/*
 * A socket on a port of the kernel's choice that does not listen: it keeps the port from others,
 * while a program of ours that asks for `reuseport` may serve there.
 */
static int reserve_port(int *port, struct err *err)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == -1 ||
		bind(fd, (struct sockaddr *)&address, len) == -1 ||
		getsockname(fd, (struct sockaddr *)&address, &len) == -1) {
		int rc = err_sys(err, -errno, "take a port on loopback");
		if (fd != -1)
			close(fd);
		return rc;
	}
	*port = ntohs(address.sin_port);
	return fd;
}

/* Ports that are free now, for programs that do not share: held together, so that they differ. */
static int choose_ports(struct demo *d, struct err *err)
{
	int service = reserve_port(&d->service_port, err);
	if (service < 0)
		return service;
	int http = reserve_port(&d->http_port, err);
	close(service);
	if (http < 0)
		return http;
	d->reserved = reserve_port(&d->site_port, err);
	close(http);
	return MIN(d->reserved, 0);
}

static int write_page(
	const struct demo *d, json_t *records, size_t from, const char *name, struct err *err)
{
	CLEANUP(json_freep) json_t *list = json_array();
	for (size_t i = from; i < json_array_size(records) && i < from + DEMO_RECORDS_A_PAGE; i++)
		json_array_append(list, json_array_get(records, i));
	CLEANUP(json_freep) json_t *page = json_pack("{s:O}", "639-3", list);
	CLEANUP(freep) char *text = page ? json_dumps(page, JSON_INDENT(2)) : NULL;
	return text ? demo_write(d, name, text, err) : err_set(err, -ENOMEM, "out of memory");
}

/* page=1, page=2, ... and an empty one for what comes after the last. */
static int cut_into_pages(struct demo *d, struct err *err)
{
	json_error_t why;
	CLEANUP(json_freep) json_t *file = json_load_file(demo_iso_639_3, 0, &why);
	json_t *records = json_object_get(file, "639-3");
	if (!json_is_array(records))
		return err_set(err, -EINVAL, "%s: %s", demo_iso_639_3,
			file ? "no list \"639-3\"" : why.text);
	d->records = (int64_t)json_array_size(records);
	int rc = write_page(d, records, json_array_size(records), "api/empty.json", err);
	for (size_t from = 0; rc == 0 && from < json_array_size(records);
		from += DEMO_RECORDS_A_PAGE) {
		char name[64];
		snprintf(name, sizeof(name), "api/%lld.json", (long long)++d->pages_of_api);
		rc = write_page(d, records, from, name, err);
	}
	return rc;
}

/* One process: whatever becomes of us, no worker of a master is left behind. */
static const char nginx_conf[] =
	"daemon off;\nmaster_process off;\npid %s/nginx.pid;\nerror_log %s/nginx-error.log;\n"
	"events { worker_connections 512; }\n"
	"http {\n"
	"\tinclude /etc/nginx/mime.types;\n"
	"\tclient_body_temp_path %s/nginx-body; proxy_temp_path %s/nginx-proxy; fastcgi_temp_path "
	"%s/nginx-fastcgi;\n"
	"\tuwsgi_temp_path %s/nginx-uwsgi; scgi_temp_path %s/nginx-scgi;\n"
	"\taccess_log %s/nginx-access.log;\n"
	"\tkeepalive_requests 100000;\n"
	"\tmap $arg_page $page { default empty; \"~^(?<number>[0-9]+)$\" $number; }\n"
	"\tserver {\n"
	"\t\tlisten 127.0.0.1:%d reuseport;\n"
	"\t\troot %s;\n"
	"\t\tlocation = /api/languages {\n"
	"\t\t\troot %s/api; types { } default_type application/json;\n"
	"\t\t\ttry_files /$page.json /empty.json =404;\n"
	"\t\t}\n"
	"\t}\n"
	"}\n";

int demo_site_prepare(struct demo *d, struct err *err)
{
	char path[DEMO_PATH];
	snprintf(path, sizeof(path), "%s/api", d->folder);
	if (mkdir(path, 0700) == -1)
		return err_sys(err, -errno, "make %s", path);
	int rc = cut_into_pages(d, err);
	if (rc == 0)
		rc = choose_ports(d, err);
	if (rc < 0)
		return rc;
	snprintf(d->site, sizeof(d->site), "http://127.0.0.1:%d", d->site_port);
	snprintf(d->http, sizeof(d->http), "http://127.0.0.1:%d", d->http_port);
	struct buf conf = BUF_INIT;
	const char *f = d->folder;
	buf_addf(&conf, nginx_conf, f, f, f, f, f, f, f, f, d->site_port, d->docs, f);
	rc = demo_write(d, "nginx.conf", buf_str(&conf), err);
	buf_finish(&conf);
	return rc;
}

static bool is_served(int port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	CLEANUP(closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd != -1 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

int demo_site_start(struct demo *d, struct err *err)
{
	char conf[DEMO_PATH], errors[DEMO_PATH], output[DEMO_PATH];
	snprintf(conf, sizeof(conf), "%s/nginx.conf", d->folder);
	snprintf(errors, sizeof(errors), "%s/nginx-error.log", d->folder);
	snprintf(output, sizeof(output), "%s/nginx-output.log", d->folder);
	char *argv[] = { (char[]) { "/usr/sbin/nginx" }, (char[]) { "-p" }, d->folder,
		(char[]) { "-e" }, errors, (char[]) { "-c" }, conf, NULL };
	struct child_spec spec = { .argv = argv, .output = output, .signal_when_orphan = SIGKILL };
	int code = 0, rc = child_start(&d->nginx, &spec, err);
	int64_t until = clock_mono_ms() + START_MS;
	while (rc == 0 && !is_served(d->site_port)) {
		if (child_wait(&d->nginx, POLL_MS, &code))
			return err_set(err, -EIO, "nginx ended with code %d; see %s", code, errors);
		if (clock_mono_ms() > until || demo_interrupted())
			return err_set(err, -ETIMEDOUT, "nginx does not serve; see %s", errors);
	}
	return rc;
}
