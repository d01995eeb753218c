/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * Which encoding a page is in, and the page as UTF-8. The order of WHATWG 13.2.3.2: byte order
 * mark, Content-Type, a meta element; without any, UTF-8 when the bytes are that, else
 * windows-1252.
 */
#include "base/compiler.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Where a declaring meta is looked for. Browsers guess from 1,024 bytes and start again when a
 * later meta says else. */
enum { HTML_PRESCAN_BYTES = 16384 };

/** 0x80..0x9F of windows-1252; numeric references to C1 controls mean these too. */
extern const uint16_t charset_windows_1252[32];

/** The WHATWG name of a label, case and surrounding white space aside; NULL when unknown. */
const char *html_charset_find(const char *label, size_t len);
/** The encoding that a Content-Type names (RFC 9110 8.3.1); NULL when none or unknown. */
const char *html_charset_of_type(const char *content_type);
/** The encoding declared by a meta element of the first HTML_PRESCAN_BYTES; NULL when none. */
const char *html_charset_of_meta(const char *body, size_t len);
/** Never NULL. */
const char *html_charset_detect(const char *body, size_t len, const char *content_type);
/**
 * Appends the page as UTF-8, without a byte order mark; what cannot be decoded, and NUL, becomes
 * U+FFFD.
 * @param name  a WHATWG name, as the functions above return
 * @return 0; -ENOMEM (also when out->max was passed)
 */
int html_charset_to_utf8(
	const char *name, const char *body, size_t len, struct buf *out) MUST_CHECK;
/** How iconv calls it; NULL: utf-8, windows-1252 and what nobody should read. */
const char *html_charset_iconv(const char *name);
/** Loads all converters now: a sandbox that may open no file does it before it closes. */
void html_charset_preload(void);

/** text/html or application/xhtml+xml. */
bool html_type_is_html(const char *content_type);
/** Looks like HTML (the tags of WHATWG mimesniff 7.1): for answers without a type. */
bool html_sniff(const char *body, size_t len);
