/* SPDX-License-Identifier: MIT */
#include "html/charset.h"

#include "base/buf.h"
#include "base/str.h"
#include "html/scan.h"
#include <errno.h>
#include <string.h>
#include <strings.h>

struct label {
	const char *label, *name;
};
static const struct label labels[] = {
#include "html/labels.inc"
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

const char *html_charset_find(const char *label, size_t len)
{
	while (len && is_space(*label))
		label++, len--;
	while (len && is_space(label[len - 1]))
		len--;
	for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
		if (strlen(labels[i].label) == len && strncasecmp(labels[i].label, label, len) == 0)
			return labels[i].name;
	return NULL;
}

/* The next parameter of a media type: name and value as spans. @return what follows, NULL at the
 * end */
static const char *next_parameter(
	const char *p, const char **name, size_t *name_len, struct buf *value)
{
	p += strcspn(p, ";,");
	if (*p != ';')
		return NULL;
	p++;
	p += strspn(p, " \t");
	*name = p;
	*name_len = strcspn(p, "=;, \t");
	p += *name_len;
	buf_reset(value);
	if (*p != '=')
		return p;
	p++;
	if (*p != '"') {
		size_t len = strcspn(p, ";,\"' \t\r\n");
		if (p[len] != '\'')
			buf_add(value, p, len);
		return p + len;
	}
	for (p++; *p && *p != '"'; p++) {
		if (*p == '\\' && p[1])
			p++;
		buf_add_char(value, *p);
	}
	if (*p == '"')
		p++;
	if (*p && !strchr(";, \t\r\n", *p))
		buf_reset(value); /* "utf-8"extra is not a value */
	return p;
}

const char *html_charset_of_type(const char *content_type)
{
	CLEANUP(buf_finish) struct buf value = BUF_INIT;
	const char *name, *found = NULL;
	size_t name_len;
	for (const char *p = content_type; !found && p;) {
		p = next_parameter(p, &name, &name_len, &value);
		if (p && name_len == 7 && strncasecmp(name, "charset", 7) == 0 && value.len)
			return html_charset_find(buf_str(&value), value.len);
	}
	return NULL;
}

bool html_type_is_html(const char *content_type)
{
	size_t len = strcspn(content_type, ";, \t\r\n");
	return (len == 9 && strncasecmp(content_type, "text/html", 9) == 0) ||
	       (len == 21 && strncasecmp(content_type, "application/xhtml+xml", 21) == 0);
}

bool html_sniff(const char *body, size_t len)
{
	static const char *const tags[] = { "!doctype html", "html", "head", "script", "iframe",
		"h1", "div", "font", "table", "a", "style", "title", "b", "body", "br", "p", NULL };
	if (len >= 3 && memcmp(body, "\xEF\xBB\xBF", 3) == 0)
		body += 3, len -= 3;
	while (len && is_space(*body))
		body++, len--;
	if (len >= 4 && memcmp(body, "<!--", 4) == 0)
		return true;
	for (size_t i = 0; tags[i]; i++) {
		size_t n = strlen(tags[i]);
		if (len > n + 1 && body[0] == '<' && strncasecmp(body + 1, tags[i], n) == 0 &&
			(body[n + 1] == '>' || body[n + 1] == ' ' || body[n + 1] == '\n'))
			return true;
	}
	return false;
}

/* "charset" "=" value inside a meta's content (WHATWG 2.5.4). */
static const char *charset_of_content(const char *text)
{
	const char *p = text;
	while ((p = strcasestr(p, "charset"))) {
		p += 7;
		p += strspn(p, " \t\n\f\r");
		if (*p != '=')
			continue;
		p++;
		p += strspn(p, " \t\n\f\r");
		if (*p == '"' || *p == '\'') {
			const char *close = strchr(p + 1, *p);
			return close ? html_charset_find(p + 1, (size_t)(close - p - 1)) : NULL;
		}
		return html_charset_find(p, strcspn(p, " \t\n\f\r;"));
	}
	return NULL;
}

static const char *charset_of_tag(const struct html_tag *tag, struct buf *value)
{
	const struct html_attr *charset = html_tag_attr(tag, "charset");
	const struct html_attr *equiv = html_tag_attr(tag, "http-equiv");
	const struct html_attr *content = html_tag_attr(tag, "content");
	buf_reset(value);
	if (charset) {
		html_attr_value(charset, value);
		return html_charset_find(buf_str(value), value->len);
	}
	if (!equiv || !content || equiv->value_len != 12 ||
		strncasecmp(equiv->value, "content-type", 12) != 0)
		return NULL;
	html_attr_value(content, value);
	return charset_of_content(buf_str(value));
}

const char *html_charset_of_meta(const char *body, size_t len)
{
	CLEANUP(buf_finish) struct buf value = BUF_INIT;
	CLEANUP(html_scanner_freep)
	struct html_scanner *scanner = html_scanner_new(body, MIN(len, (size_t)HTML_PRESCAN_BYTES));
	const struct html_tag *tag;
	const char *name = NULL;
	while (scanner && !name && (tag = html_scanner_next(scanner)))
		if (!tag->end && html_tag_is(tag, "meta"))
			name = charset_of_tag(tag, &value);
	/* The declaration was read as ASCII, so it cannot be true. */
	if (name && str_starts(name, "utf-16"))
		return "utf-8";
	return name && str_eq(name, "x-user-defined") ? "windows-1252" : name;
}

const char *html_charset_detect(const char *body, size_t len, const char *content_type)
{
	if (len >= 3 && memcmp(body, "\xEF\xBB\xBF", 3) == 0)
		return "utf-8";
	if (len >= 2 && memcmp(body, "\xFE\xFF", 2) == 0)
		return "utf-16be";
	if (len >= 2 && memcmp(body, "\xFF\xFE", 2) == 0)
		return "utf-16le";
	const char *name = html_charset_of_type(content_type);
	if (!name)
		name = html_charset_of_meta(body, len);
	if (name)
		return name;
	bool ascii = true;
	for (size_t i = 0; i < len && ascii; i++)
		ascii = (unsigned char)body[i] < 0x80;
	return !ascii && str_is_utf8(body, len, NULL) ? "utf-8" : "windows-1252";
}
