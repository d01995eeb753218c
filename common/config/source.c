/* SPDX-License-Identifier: MIT */
#include "config/source.h"

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "config/report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

static bool check(const struct source *source, struct report *report);

size_t source_char_bytes(const char *p, size_t left)
{
	unsigned char c = (unsigned char)*p;
	size_t n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
	return n <= left && str_is_utf8(p, n, NULL) ? n : 1;
}

const char *source_line(const struct source *source, size_t line, size_t *len)
{
	const char *p = source->data, *end = source->data + source->len;
	for (size_t i = 1; i < line && p < end; i++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		p = nl ? nl + 1 : end;
	}
	const char *nl = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
	*len = (size_t)((nl ? nl : end) - p);
	if (*len && p[*len - 1] == '\r')
		--*len;
	return p;
}

static void whole_file_error(struct report *report, const char *name, const char *what)
{
	struct config_mark mark = { .file = name };
	report_add(report, &mark, "%s", what);
}

bool source_from_memory(struct source *source, const char *name, const void *data, size_t len,
	struct report *report)
{
	*source = (struct source) { .name = name, .data = data ? data : "", .len = len };
	if (len > SOURCE_MAX_BYTES) {
		source->len = 0;
		whole_file_error(report, name, "is larger than 1 MiB");
		return false;
	}
	if (len >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
		source->data += 3;
		source->len -= 3;
	}
	return check(source, report);
}

static bool read_all(int fd, char *data, size_t size, size_t *len)
{
	for (*len = 0; *len < size;) {
		ssize_t n = read(fd, data + *len, size - *len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return false;
		if (n == 0)
			break;
		*len += (size_t)n;
	}
	return true;
}

/* Half of a file may be good YAML: what is being written is not believed. */
static bool unchanged(int fd, const struct stat *before, size_t len)
{
	struct stat now;
	return fstat(fd, &now) == 0 && now.st_size == before->st_size &&
	       now.st_mtim.tv_sec == before->st_mtim.tv_sec &&
	       now.st_mtim.tv_nsec == before->st_mtim.tv_nsec &&
	       (before->st_size > SOURCE_MAX_BYTES || (off_t)len == before->st_size);
}

bool source_read(
	struct source *source, struct arena *arena, const char *path, struct report *report)
{
	*source = (struct source) { .name = path, .data = "" };
	/* O_NONBLOCK: a FIFO in conf.d must not hold the supervisor up. */
	CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	if (fd == -1 || fstat(fd, &st) == -1) {
		struct config_mark mark = { .file = path };
		report_add(report, &mark, "cannot be read: %s", strerror(errno));
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		whole_file_error(report, path, "is not a regular file");
		return false;
	}
	size_t size = st.st_size > SOURCE_MAX_BYTES ? SOURCE_MAX_BYTES + 1 : (size_t)st.st_size;
	char *data = arena_alloc(arena, size + 1);
	size_t len;
	if (!data) {
		report->out_of_memory = true;
		return false;
	}
	if (!read_all(fd, data, size, &len)) {
		struct config_mark mark = { .file = path };
		report_add(report, &mark, "cannot be read: %s", strerror(errno));
		return false;
	}
	if (!unchanged(fd, &st, len)) {
		whole_file_error(report, path, "was changed while it was read: try again");
		return false;
	}
	return source_from_memory(source, path, data, len, report);
}

/* What a line is, for the tabs: the text of a block scalar may begin with anything. */
struct tab_state {
	bool in_block;
	size_t block_indent; /* spaces before the line that opened it */
};

/* `key: |`, `- >-2`: the rest of the lines indented deeper are text. */
static bool opens_block(const char *line, size_t len)
{
	const char *hash = len > 1 ? memmem(line, len, " #", 2) : NULL;
	if (hash)
		len = (size_t)(hash - line);
	while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	while (len && strchr("+-123456789", line[len - 1]))
		len--;
	if (!len || (line[len - 1] != '|' && line[len - 1] != '>'))
		return false;
	return len == 1 || line[len - 2] == ' ' || line[len - 2] == '\t';
}

/* The offset of a tab that indents, or len. */
static size_t indenting_tab(struct tab_state *state, const char *line, size_t len)
{
	size_t spaces = 0, white;
	while (spaces < len && line[spaces] == ' ')
		spaces++;
	for (white = spaces; white < len && (line[white] == ' ' || line[white] == '\t'); white++)
		;
	if (white == len)
		return len;
	if (state->in_block && spaces > state->block_indent)
		return len;
	state->in_block = opens_block(line, len);
	state->block_indent = spaces;
	return white > spaces ? spaces : len;
}

static bool is_control(uint32_t c)
{
	/* U+0085, U+2028 and U+2029 end lines for libyaml and for no editor: places would be wrong.
	 */
	return (c < 0x20 && c != '\t') || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 ||
	       c == 0xfeff || c == 0xfffe || c == 0xffff;
}

static uint32_t decode(const char *p, size_t bytes)
{
	const unsigned char *u = (const unsigned char *)p;
	switch (bytes) {
	case 1: return u[0];
	case 2: return (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
	case 3: return (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	default:
		return (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 | (u[2] & 0x3fu) << 6 |
		       (u[3] & 0x3fu);
	}
}

/* Reports the first bad character of a line. @return false: this is no text, the rest is not looked
 * at */
static bool check_characters(
	struct config_mark *mark, const char *line, size_t len, struct report *report)
{
	for (size_t i = 0, n; i < len; i += n, mark->column++) {
		n = source_char_bytes(line + i, len - i);
		uint32_t c = decode(line + i, n);
		if (n == 1 && c >= 0x80) {
			report_add(report, mark, "byte 0x%02x is not UTF-8", c);
			return false;
		}
		if (c == 0) {
			report_add(report, mark, "a NUL byte cannot stand in a configuration");
			return false;
		}
		if (is_control(c)) {
			report_add(report, mark, "control character U+%04X cannot stand here", c);
			return true;
		}
	}
	return true;
}

static bool check(const struct source *source, struct report *report)
{
	struct config_mark mark = { .file = source->name, .width = 1 };
	struct tab_state tabs = { 0 };
	const char *p = source->data, *end = source->data + source->len;
	size_t before = report->count + report->dropped;
	for (mark.line = 1; p < end; mark.line++) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const char *next = nl ? nl + 1 : end;
		size_t len = (size_t)((nl ? nl : end) - p);
		if (nl && len && p[len - 1] == '\r')
			len--;
		mark.column = 1;
		if (!check_characters(&mark, p, len, report))
			return false;
		size_t tab = indenting_tab(&tabs, p, len);
		mark.column = tab + 1;
		if (tab < len)
			report_add(report, &mark, "a tab cannot indent: use spaces");
		p = next;
	}
	return report->count + report->dropped == before;
}
