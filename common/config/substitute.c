/* SPDX-License-Identifier: MIT */
#include "config/context.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct substitution {
	struct config_context *ctx;
	const struct node *node;
	struct buf out;
	bool ok;
};

static void fail(struct substitution *s, const char *at, size_t width, const char *fmt, ...)
	PRINTF_LIKE(4, 5);
static void fail(struct substitution *s, const char *at, size_t width, const char *fmt, ...)
{
	struct config_mark mark = context_mark_in_value(
		s->ctx, s->node, (size_t)(at - s->node->text), width);
	va_list ap;
	va_start(ap, fmt);
	report_addv(&s->ctx->report, &mark, fmt, ap);
	va_end(ap);
	s->ok = false;
}

static bool is_name(const char *p, size_t len)
{
	if (!len || (*p >= '0' && *p <= '9'))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = p[i];
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			    c == '_'))
			return false;
	}
	return true;
}

static const char *secret_path(
	struct substitution *s, const char *at, size_t width, const char *path)
{
	if (*path == '/')
		return path;
	const char *dir = s->ctx->getenv("CREDENTIALS_DIRECTORY");
	if (!dir || *dir != '/') {
		fail(s, at, width,
			"a relative secret is looked for in $CREDENTIALS_DIRECTORY, which is not "
			"set");
		return NULL;
	}
	if (strchr(path, '/') || str_eq(path, "..") || !*path) {
		fail(s, at, width, "a relative secret is a name without \"/\"");
		return NULL;
	}
	return arena_printf(s->ctx->scratch, "%s/%s", dir, path);
}

/* Reads at most SUBSTITUTE_MAX bytes of a regular file into the value, line ends at its end
 * dropped. */
static void add_file(struct substitution *s, const char *at, size_t width, const char *name)
{
	const char *path = secret_path(s, at, width, name);
	if (!path)
		return;
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	if (fd == -1 || fstat(fd, &st) == -1) {
		fail(s, at, width, "secret %s: %s", path, strerror(errno));
		return;
	}
	char *room = S_ISREG(st.st_mode) ? buf_reserve(&s->out, SUBSTITUTE_MAX) : NULL;
	ssize_t n = room ? read(fd, room, SUBSTITUTE_MAX) : -1;
	if (n == -1 || n == SUBSTITUTE_MAX) {
		fail(s, at, width, "secret %s: %s", path,
			!room	  ? "is not a regular file"
			: n == -1 ? strerror(errno)
				  : "is larger than 64 KiB");
		return;
	}
	while (n > 0 && (room[n - 1] == '\n' || room[n - 1] == '\r'))
		n--;
	for (ssize_t i = 0; i < n; i++) {
		if ((unsigned char)room[i] < 0x20 || room[i] == 0x7f) {
			fail(s, at, width, "secret %s: holds a control character", path);
			return;
		}
	}
	if (!str_is_utf8(room, (size_t)n, NULL)) {
		fail(s, at, width, "secret %s: is not UTF-8 text", path);
		return;
	}
	s->out.len += (size_t)n;
	s->out.data[s->out.len] = '\0';
}

static void add_variable(struct substitution *s, const char *at, size_t width, const char *name,
	const char *fallback)
{
	const char *value = s->ctx->getenv(name);
	if (fallback && (!value || !*value))
		value = fallback;
	if (!value) {
		fail(s, at, width, "${%s} is not set: write ${%s:-} to allow an empty value", name,
			name);
		return;
	}
	for (const char *p = value; *p; p++) {
		if (((unsigned char)*p < 0x20 && *p != '\t' && *p != '\n') || *p == 0x7f) {
			fail(s, at, width, "${%s} holds a control character", name);
			return;
		}
	}
	if (!str_is_utf8(value, strlen(value), NULL))
		fail(s, at, width, "${%s} is not UTF-8 text", name);
	else
		buf_add_str(&s->out, value);
}

/* at: "${...". @return the first byte behind it */
static const char *replace(struct substitution *s, const char *at)
{
	const char *end = strchr(at, '}');
	if (!end) {
		fail(s, at, strlen(at),
			"this ${ has no }: write $${ for the characters themselves");
		return at + strlen(at);
	}
	size_t width = (size_t)(end - at) + 1;
	char *inside = arena_strndup(s->ctx->scratch, at + 2, width - 3);
	if (!inside) {
		context_no_memory(s->ctx);
		s->ok = false;
		return end + 1;
	}
	if (MUTANT(FUZZ_CONFIG) && strlen(inside) < 4)
		abort();
	char *fallback = strstr(inside, ":-");
	if (str_starts(inside, "file:")) {
		add_file(s, at, width, inside + strlen("file:"));
		return end + 1;
	}
	if (fallback) {
		*fallback = '\0';
		fallback += 2;
	}
	if (!is_name(inside, strlen(inside)))
		fail(s, at, width, "${%.60s} is none of ${VAR}, ${VAR:-default}, ${file:PATH}",
			inside);
	else if (fallback && strstr(fallback, "${"))
		fail(s, at, width, "a default cannot hold another ${");
	else
		add_variable(s, at, width, inside, fallback);
	return end + 1;
}

bool substitute(struct config_context *ctx, const struct node *node, const char **out, bool *secret)
{
	*secret = false;
	*out = node->text;
	if (!strstr(node->text, "${"))
		return true;
	struct substitution s = {
		.ctx = ctx, .node = node, .ok = true, .out = { .max = 2 * SUBSTITUTE_MAX }
	};
	for (const char *p = node->text; *p;) {
		const char *next = strstr(p, "${");
		if (!next) {
			buf_add_str(&s.out, p);
			break;
		}
		bool literal = next > p && next[-1] == '$';
		buf_add(&s.out, p, (size_t)(next - p) - literal);
		if (literal) {
			buf_add_str(&s.out, "${");
			p = next + 2;
		} else {
			*secret = true;
			p = replace(&s, next);
		}
	}
	if (s.ok && (buf_failed(&s.out) || s.out.len > SUBSTITUTE_MAX))
		fail(&s, node->text, 1, "is longer than 64 KiB once substituted");
	const char *text = s.ok ? arena_strdup(ctx->scratch, buf_str(&s.out)) : NULL;
	buf_finish(&s.out);
	if (s.ok && !text)
		context_no_memory(ctx);
	if (text)
		*out = text;
	return text;
}
