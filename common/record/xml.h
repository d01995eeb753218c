/* SPDX-License-Identifier: MIT */
#pragma once
/*
 * XML 1.0 as data: elements, attributes, text, CDATA, the five entities and numeric references.
 * Comments, processing instructions and a document type are passed over; entities that it defines
 * are not known, and nothing is ever fetched. Names are without their prefix.
 *
 * A record becomes a JSON object: attributes "@name", children by name (those that come again a
 * list), text "#text". A child with nothing but text is that text, one with nothing at all null.
 * The path begins with the root element: `response.body.items.item`, as the same API has it in
 * JSON; [n] counts the elements of that name.
 */
#include "record/reader.h"

struct xml;
/** @return 0; -EINVAL with words, of the path; -ENOMEM */
int xml_new(struct xml **out, const struct json_path *path, const struct record_ops *ops, void *arg,
	struct err *err) MUST_CHECK;
void xml_free(struct xml *xml);
void xml_restart(struct xml *xml);
/** As record_reader_feed(), _end(), _missing(). */
int xml_feed(struct xml *xml, const char *data, size_t len, struct err *err) MUST_CHECK;
int xml_end(struct xml *xml, struct err *err) MUST_CHECK;
const char *xml_missing(const struct xml *xml);

/** The encoding that the declaration at the beginning names; NULL: none that is known. */
const char *xml_declared_charset(const char *head, size_t len);

enum {
	XML_HEAD_MAX = 512, /* of a declaration */
	XML_RECORD_MAX = 1024 * 1024,
	XML_RECORD_NODES = 10000, /* elements, attributes and texts of a record */
	XML_DEPTH = 128,
	XML_NAME_MAX = 255,
};
