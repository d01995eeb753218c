/* SPDX-License-Identifier: MIT */
#include "html/scan.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "html/entities.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct html_scanner {
	const char *p, *end;
	size_t foreign; /* svg and math elements that are open */
	struct html_tag tag;
};

/* Elements whose content is text up to their own end tag. */
static const char *const raw_names[] = { "script", "style", "title", "textarea", "xmp", "iframe",
	"noembed", "noframes", NULL };
/* Start tags that end svg and math (13.2.6.5). */
static const char *const breakout_names[] = { "b", "big", "blockquote", "body", "br", "center",
	"code", "dd", "div", "dl", "dt", "em", "embed", "h1", "h2", "h3", "h4", "h5", "h6", "head",
	"hr", "i", "img", "li", "listing", "menu", "meta", "nobr", "ol", "p", "pre", "ruby", "s",
	"small", "span", "strong", "strike", "sub", "sup", "table", "tt", "u", "ul", "var", NULL };

static bool read_tag(struct html_scanner *s);
static void skip_markup(struct html_scanner *s);
static void enter_content(struct html_scanner *s);

struct html_scanner *html_scanner_new(const char *html, size_t len)
{
	struct html_scanner *s = NEW(struct html_scanner);
	if (!s)
		return NULL;
	s->p = html;
	s->end = html + len;
	return s;
}

void html_scanner_free(struct html_scanner *s)
{
	free(s);
}

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}

const struct html_tag *html_scanner_next(struct html_scanner *s)
{
	while (s->p < s->end) {
		const char *open = memchr(s->p, '<', (size_t)(s->end - s->p));
		if (!open || s->end - open < 3) /* the shortest tag is "<a>" */
			break;
		s->p = open + 1;
		bool is_end = *s->p == '/';
		if (is_alpha(s->p[is_end])) {
			s->p += is_end;
			s->tag.end = is_end;
			if (!read_tag(s))
				break;
			enter_content(s);
			return &s->tag;
		}
		if (is_end || *s->p == '!' || *s->p == '?')
			skip_markup(s);
	}
	s->p = s->end;
	return NULL;
}

static void skip_past(struct html_scanner *s, const char *what)
{
	size_t len = strlen(what);
	const char *at = memmem(s->p, (size_t)(s->end - s->p), what, len);
	s->p = at ? at + len : s->end;
}

static bool at(const struct html_scanner *s, const char *what)
{
	size_t len = strlen(what);
	return (size_t)(s->end - s->p) >= len && memcmp(s->p, what, len) == 0;
}

/* "-->" or "--!>" end it, and a ">" or "->" right at its beginning. */
static void skip_comment(struct html_scanner *s)
{
	if (at(s, ">") || at(s, "->")) {
		skip_past(s, ">");
		return;
	}
	while (s->p < s->end) {
		skip_past(s, "--");
		while (s->p < s->end && *s->p == '-')
			s->p++;
		if (at(s, ">") || at(s, "!>")) {
			skip_past(s, ">");
			return;
		}
	}
}

/* Behind "<": "!--", "![CDATA[", "!doctype", "?", "/" and no letter. */
static void skip_markup(struct html_scanner *s)
{
	if (at(s, "!--")) {
		s->p += 3;
		skip_comment(s);
	} else if (s->foreign && at(s, "![CDATA[")) {
		skip_past(s, "]]>");
	} else {
		skip_past(s, ">");
	}
}

static bool read_quoted(struct html_scanner *s, struct html_attr *attr)
{
	char quote = *s->p++;
	const char *close = memchr(s->p, quote, (size_t)(s->end - s->p));
	if (!close)
		return false;
	attr->value = s->p;
	attr->value_len = (size_t)(close - s->p);
	s->p = close + 1;
	return true;
}

static void skip_space(struct html_scanner *s)
{
	while (s->p < s->end && is_space(*s->p))
		s->p++;
}

static bool read_value(struct html_scanner *s, struct html_attr *attr)
{
	skip_space(s);
	if (s->p == s->end)
		return false;
	if (*s->p == '"' || *s->p == '\'')
		return read_quoted(s, attr);
	attr->value = s->p;
	while (s->p < s->end && !is_space(*s->p) && *s->p != '>')
		s->p++;
	attr->value_len = (size_t)(s->p - attr->value);
	return s->p < s->end;
}

/* At the first character of a name. */
static bool read_attr(struct html_scanner *s, struct html_attr *attr)
{
	attr->name = s->p++; /* even "=" begins a name */
	while (s->p < s->end && !is_space(*s->p) && *s->p != '/' && *s->p != '>' && *s->p != '=')
		s->p++;
	attr->name_len = (size_t)(s->p - attr->name);
	attr->value = s->p;
	attr->value_len = 0;
	skip_space(s);
	if (s->p == s->end)
		return false;
	if (*s->p != '=')
		return true;
	s->p++;
	return read_value(s, attr);
}

/* At the first letter of a tag's name. @return false when the input ends inside the tag, which then
 * is none */
static bool read_tag(struct html_scanner *s)
{
	struct html_tag *tag = &s->tag;
	tag->name = s->p;
	while (s->p < s->end && !is_space(*s->p) && *s->p != '/' && *s->p != '>')
		s->p++;
	tag->name_len = (size_t)(s->p - tag->name);
	tag->self_closing = false;
	tag->attr_count = tag->attr_total = 0;
	while (s->p < s->end) {
		if (*s->p == '>') {
			s->p++;
			return true;
		}
		if (is_space(*s->p) || *s->p == '/') {
			tag->self_closing = *s->p == '/' && s->end - s->p > 1 && s->p[1] == '>';
			s->p++;
			continue;
		}
		struct html_attr attr;
		if (!read_attr(s, &attr))
			return false;
		if (tag->attr_count < HTML_ATTRS_MAX)
			tag->attrs[tag->attr_count++] = attr;
		tag->attr_total++;
	}
	return false;
}

static bool span_is(const char *span, size_t len, const char *name)
{
	return strlen(name) == len && strncasecmp(span, name, len) == 0;
}

bool html_tag_is(const struct html_tag *tag, const char *name)
{
	return span_is(tag->name, tag->name_len, name);
}

static const char *tag_among(const struct html_tag *tag, const char *const *names)
{
	for (; *names; names++)
		if (html_tag_is(tag, *names))
			return *names;
	return NULL;
}

/* At "<": is it "</name" or "<name" with something behind that ends a name? */
static bool at_tag(const char *p, const char *end, const char *name, bool is_end)
{
	size_t len = strlen(name);
	const char *text = p + 1 + is_end;
	if ((size_t)(end - p) < 1 + (size_t)is_end + len + 1 || (is_end && p[1] != '/'))
		return false;
	return strncasecmp(text, name, len) == 0 &&
	       (is_space(text[len]) || text[len] == '/' || text[len] == '>');
}

/*
 * A script that holds "<!--" and then "<script" is not ended by the next "</script" (script data
 * double escaped state, 13.2.5.27), only one level deep.
 */
static void skip_script(struct html_scanner *s)
{
	bool escaped = false, doubly = false;
	for (; s->p < s->end; s->p++) {
		if (escaped && at(s, "-->")) {
			escaped = doubly = false;
		} else if (*s->p != '<') {
			continue;
		} else if (!escaped && at(s, "<!--")) {
			escaped = true;
			s->p += 1; /* "<!-->" ends it at once: look at the dashes again */
		} else if (escaped && !doubly && at_tag(s->p, s->end, "script", false)) {
			doubly = true;
		} else if (at_tag(s->p, s->end, "script", true)) {
			if (!doubly)
				return;
			doubly = false;
		}
	}
}

static void skip_raw(struct html_scanner *s, const char *name)
{
	while (s->p < s->end) {
		const char *open = memchr(s->p, '<', (size_t)(s->end - s->p));
		if (!open) {
			s->p = s->end;
		} else if (at_tag(open, s->end, name, true)) {
			s->p = open;
			return;
		} else {
			s->p = open + 1;
		}
	}
}

/* Behind a tag: what follows may be text, not markup. */
static void enter_content(struct html_scanner *s)
{
	const struct html_tag *tag = &s->tag;
	if (html_tag_is(tag, "svg") || html_tag_is(tag, "math")) {
		if (!tag->end && !tag->self_closing)
			s->foreign++;
		else if (tag->end && s->foreign)
			s->foreign--;
		return;
	}
	if (tag->end)
		return;
	if (s->foreign && tag_among(tag, breakout_names))
		s->foreign = 0;
	if (s->foreign)
		return;
	if (html_tag_is(tag, "plaintext")) {
		s->p = s->end;
		return;
	}
	const char *raw = tag_among(tag, raw_names);
	if (MUTANT(FUZZ_LINKS) && raw && strcmp(raw, "textarea") == 0 && tag->attr_total == 2)
		abort();
	if (raw && strcmp(raw, "script") == 0)
		skip_script(s);
	else if (raw)
		skip_raw(s, raw);
}

const struct html_attr *html_tag_attr(const struct html_tag *tag, const char *name)
{
	for (size_t i = 0; i < tag->attr_count; i++)
		if (span_is(tag->attrs[i].name, tag->attrs[i].name_len, name))
			return &tag->attrs[i];
	return NULL;
}

void html_attr_value(const struct html_attr *attr, struct buf *out)
{
	const char *p = attr->value, *end = p + MIN(attr->value_len, (size_t)HTML_VALUE_MAX);
	while (p < end) {
		size_t plain = 0, used = 0;
		while (p + plain < end && p[plain] != '&' && p[plain] != '\r' && p[plain] != '\0')
			plain++;
		buf_add(out, p, plain);
		p += plain;
		if (p == end)
			return;
		if (*p == '&')
			used = html_entity_decode(p, (size_t)(end - p), out);
		else if (*p == '\0')
			buf_add_str(out, "\xEF\xBF\xBD");
		else if (p + 1 == end || p[1] != '\n') /* of CR LF the LF stays */
			buf_add_char(out, '\n');
		if (*p == '&' && used == 0)
			buf_add_char(out, '&');
		p += used ? used : 1;
	}
}

void html_attr_name(const struct html_attr *attr, struct buf *out)
{
	size_t len = MIN(attr->name_len, (size_t)HTML_VALUE_MAX);
	for (size_t i = 0; i < len; i++) {
		char c = attr->name[i];
		if (c == '\0')
			buf_add_str(out, "\xEF\xBF\xBD");
		else
			buf_add_char(out, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
	}
}
