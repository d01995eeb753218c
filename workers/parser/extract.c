/* SPDX-License-Identifier: MIT */
#include "parser/extract.h"

#include "base/arena.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "html/frame.h"
#include <errno.h>
#include <libxml/HTMLparser.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/xpath.h>
#include <libxml/xpathInternals.h>
#include <stdlib.h>
#include <string.h>

struct extract_set {
	size_t count;
	xmlXPathCompExprPtr *compiled; /* NULL: wrong */
};

static const char sample[] =
	"<!DOCTYPE html><html><head><title>t</title></head><body><div id='a' class='b'>"
	"<p><a href='c'>d</a></p></div></body></html>";

static xmlParserInputPtr load_nothing(const char *url, const char *id, xmlParserCtxtPtr ctxt)
{
	(void)url;
	(void)id;
	(void)ctxt;
	return NULL;
}

static void say_nothing(void *arg, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void say_nothing(void *arg, const char *fmt, ...)
{
	(void)arg;
	(void)fmt;
}

void extract_init(void)
{
	xmlInitParser();
	xmlSetExternalEntityLoader(load_nothing);
	xmlSetGenericErrorFunc(NULL, say_nothing);
	xmlParserMaxDepth = PARSE_DEPTH_MAX;
}

struct complaint {
	const char *text; /* NULL: none */
	size_t offset;	  /* characters, from 0 */
};

/* libxml2 gives a code to its handler, no words; and the place, in bytes of str1, in int1. */
static const char *const complaints[] = {
	[XPATH_NUMBER_ERROR] = "wrong number",
	[XPATH_UNFINISHED_LITERAL_ERROR] = "a quote is not closed",
	[XPATH_START_LITERAL_ERROR] = "a quote is missing",
	[XPATH_VARIABLE_REF_ERROR] = "wrong variable",
	[XPATH_UNDEF_VARIABLE_ERROR] = "there are no variables",
	[XPATH_INVALID_PREDICATE_ERROR] = "wrong predicate",
	[XPATH_EXPR_ERROR] = "wrong expression",
	[XPATH_UNCLOSED_ERROR] = "a parenthesis is not closed",
	[XPATH_UNKNOWN_FUNC_ERROR] = "there is no such function",
	[XPATH_INVALID_OPERAND] = "wrong operand",
	[XPATH_INVALID_TYPE] = "a function got the wrong type",
	[XPATH_INVALID_ARITY] = "wrong number of arguments",
	[XPATH_UNDEF_PREFIX_ERROR] = "there is no such prefix",
	[XPATH_INVALID_CHAR_ERROR] = "a character that cannot stand here",
	[XPATH_RECURSION_LIMIT_EXCEEDED] = "nested too deeply",
};

static void take_complaint(void *arg, xmlErrorPtr error)
{
	struct complaint *c = arg;
	if (c->text)
		return;
	size_t kind = (size_t)(error->code - XML_XPATH_EXPRESSION_OK);
	c->text = kind < ARRAY_SIZE(complaints) && complaints[kind] ? complaints[kind]
								    : "wrong expression";
	for (int i = 0; error->str1 && i < error->int1 && error->str1[i]; i++)
		c->offset += ((unsigned char)error->str1[i] & 0xC0) != 0x80;
}

static xmlXPathCompExprPtr compile(const char *xpath, struct complaint *complaint)
{
	xmlXPathContextPtr context = xmlXPathNewContext(NULL);
	if (!context)
		return NULL;
	context->userData = complaint;
	context->error = take_complaint;
	xmlXPathCompExprPtr compiled = xmlXPathCtxtCompile(context, BAD_CAST xpath);
	xmlXPathFreeContext(context);
	return compiled;
}

struct extract_set *extract_compile(const char *const *xpaths, size_t count, struct err *err)
{
	CLEANUP(extract_set_freep) struct extract_set *set = NEW(struct extract_set);
	if (!set)
		return NULL;
	set->compiled = calloc(count + 1, sizeof(xmlXPathCompExprPtr));
	if (!set->compiled)
		return NULL;
	for (; set->count < count; set->count++) {
		struct complaint complaint = { 0 };
		set->compiled[set->count] = compile(xpaths[set->count], &complaint);
		if (!set->compiled[set->count] && !err->code)
			err_set(err, -EINVAL, "XPath %s: %s", xpaths[set->count],
				complaint.text ? complaint.text : "no memory");
	}
	return TAKE(set);
}

void extract_set_free(struct extract_set *set)
{
	for (size_t i = 0; set && i < set->count; i++)
		if (set->compiled[i])
			xmlXPathFreeCompExpr(set->compiled[i]);
	if (set)
		free(set->compiled);
	free(set);
}

/* One expression on one tree; NULL when it cannot be evaluated. Caller frees. */
static xmlXPathObjectPtr evaluate(
	xmlXPathCompExprPtr compiled, htmlDocPtr doc, struct complaint *complaint)
{
	xmlXPathContextPtr context = xmlXPathNewContext(doc);
	if (!context)
		return NULL;
	context->userData = complaint;
	context->error = take_complaint;
	context->node = xmlDocGetRootElement(doc);
	xmlXPathObjectPtr result = xmlXPathCompiledEval(compiled, context);
	xmlXPathFreeContext(context);
	return result;
}

/* *too_deep: the parser stopped where elements were nested more than PARSE_DEPTH_MAX deep. */
static htmlDocPtr parse(const char *html, size_t len, const char *url, bool *too_deep)
{
	htmlParserCtxtPtr ctxt = htmlNewParserCtxt();
	if (!ctxt)
		return NULL;
	htmlDocPtr doc = htmlCtxtReadMemory(ctxt, html, (int)len, url, "UTF-8",
		HTML_PARSE_RECOVER | HTML_PARSE_NONET | HTML_PARSE_NOERROR | HTML_PARSE_NOWARNING |
			HTML_PARSE_IGNORE_ENC);
	*too_deep = ctxt->disableSAX != 0;
	htmlFreeParserCtxt(ctxt);
	return doc;
}

int extract_check(const char *xpath, size_t *offset, struct err *err)
{
	struct complaint complaint = { 0 };
	bool too_deep;
	*offset = 0;
	xmlXPathCompExprPtr compiled = compile(xpath, &complaint);
	if (compiled) {
		htmlDocPtr doc = parse(sample, sizeof(sample) - 1, "", &too_deep);
		xmlXPathFreeObject(evaluate(compiled, doc, &complaint));
		xmlFreeDoc(doc);
		xmlXPathFreeCompExpr(compiled);
	}
	if (compiled && !complaint.text)
		return 0;
	*offset = complaint.offset;
	return err_set(err, -EINVAL, "%s", complaint.text ? complaint.text : "no memory");
}

/* normalize-space(): runs of XPath's white space are one blank, none at the ends. */
static size_t normalize(char *text, size_t len)
{
	size_t to = 0;
	for (size_t i = 0; i < len; i++) {
		bool blank = text[i] == ' ' || text[i] == '\t' || text[i] == '\n' ||
			     text[i] == '\r';
		if (!blank)
			text[to++] = text[i];
		else if (to && text[to - 1] != ' ')
			text[to++] = ' ';
	}
	return to && text[to - 1] == ' ' ? to - 1 : to;
}

/* At most max bytes, not inside a character. */
static size_t cut(const char *text, size_t len, size_t max)
{
	if (len <= max)
		return len;
	while (max && ((unsigned char)text[max] & 0xC0) == 0x80)
		max--;
	return max;
}

static int take_value(
	xmlXPathObjectPtr result, struct arena *arena, size_t *room, const char **value)
{
	*value = NULL;
	if (!result ||
		(result->type == XPATH_NODESET && xmlXPathNodeSetIsEmpty(result->nodesetval)))
		return 0;
	char *text = (char *)xmlXPathCastToString(result);
	if (!text)
		return -ENOMEM;
	size_t len = normalize(text, strlen(text));
	len = cut(text, len, MIN((size_t)PARSE_VALUE_MAX, *room));
	*room -= len;
	*value = arena_strndup(arena, text, len);
	xmlFree(text);
	return *value ? 0 : -ENOMEM;
}

int extract_values(const struct extract_set *set, const uint16_t *asked, size_t count,
	const char *html, size_t len, const char *url, struct arena *arena, const char **values,
	struct err *err)
{
	bool too_deep = false;
	size_t room = PARSE_VALUES_MAX;
	int r = 0;
	memset(values, 0, count * sizeof(*values));
	htmlDocPtr doc = parse(html, len, url, &too_deep);
	if (!doc || too_deep) {
		xmlFreeDoc(doc);
		return too_deep ? err_set(err, -E2BIG, "elements nested more than %d deep",
					  PARSE_DEPTH_MAX)
				: err_set(err, -ENOMEM, "no memory for the page's tree");
	}
	for (size_t i = 0; i < count && r == 0; i++) {
		struct complaint complaint = { 0 };
		if (asked[i] >= set->count) {
			r = err_set(err, -EINVAL, "no expression %u", asked[i]);
		} else if (set->compiled[asked[i]]) {
			xmlXPathObjectPtr result = evaluate(
				set->compiled[asked[i]], doc, &complaint);
			r = take_value(result, arena, &room, &values[i]);
			xmlXPathFreeObject(result);
			if (r < 0)
				err_set(err, r, "no memory for a field's text");
		}
	}
	xmlFreeDoc(doc);
	if (r < 0)
		memset(values, 0, count * sizeof(*values));
	return r;
}
