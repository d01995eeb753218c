/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Finds tags in HTML without building a tree: the rules of the WHATWG tokenizer (13.2.5) that
 * decide what is a tag and what is text: comments, raw text of script, style, title and their like,
 * CDATA in svg and math, all quotings of attributes. Linear in the input, memory does not depend on
 * it; never fails, whatever the bytes are.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>

struct buf;

enum {
	HTML_ATTRS_MAX = 1000,	/* further attributes of a tag are counted, not kept */
	HTML_VALUE_MAX = 65536, /* longer names and values are read as cut here */
};

/* Spans of the source, not yet decoded. */
struct html_attr {
	const char *name, *value;
	size_t name_len, value_len;
};
struct html_tag {
	const char *name;
	size_t name_len;
	bool end;	   /* </name> */
	bool self_closing; /* <name/> */
	size_t attr_count; /* at most HTML_ATTRS_MAX */
	size_t attr_total; /* with those that were not kept */
	struct html_attr attrs[HTML_ATTRS_MAX];
};

struct html_scanner;
/** Scans html (UTF-8, borrowed as long as the scanner lives). NULL: no memory. */
struct html_scanner *html_scanner_new(const char *html, size_t len);
void html_scanner_free(struct html_scanner *s);
DEFINE_FREEP(struct html_scanner, html_scanner)
/** The next start or end tag, valid until the next call; NULL at the end. */
const struct html_tag *html_scanner_next(struct html_scanner *s);

/** ASCII case-insensitive. */
bool html_tag_is(const struct html_tag *tag, const char *name);
/** The first attribute of that name (lower case), as HTML keeps it; NULL when absent. */
const struct html_attr *html_tag_attr(const struct html_tag *tag, const char *name);

/** Appends the decoded value: references replaced, newlines normalised, NUL as U+FFFD. */
void html_attr_value(const struct html_attr *attr, struct buf *out);
/** Appends the name as the tree shows it: ASCII lower case, NUL as U+FFFD. */
void html_attr_name(const struct html_attr *attr, struct buf *out);
