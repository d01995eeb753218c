/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/mem.h"
#include "reading.h"
#include "record/xml.h"
#include "json/path.h"
#include <stdlib.h>

/* The same whole and in pieces. */
static void reads_at(const char *path_text, const char *text, const char *expected)
{
	struct err err;
	CLEANUP(json_path_freep) struct json_path *path = NULL;
	assert_int_equal(json_path_new(&path, path_text, &err), 0);
	const struct record_options options = { .format = RECORD_XML, .path = path };
	size_t len = strlen(text);
	for (size_t piece = 1; piece <= len + 1; piece += piece < 5 ? 1 : len)
		assert_string_equal(reading(&options, text, len, piece), expected);
}

static void the_path_begins_with_the_root(void **state)
{
	(void)state;
	static const char text[] =
		"<?xml version='1.0' encoding=\"UTF-8\"?>\n<!DOCTYPE r [<!ELEMENT a (b)>]>\n"
		"<r><head><item><id>0</id></item></head><!-- no > item -->\n"
		" <items><item><id>1</id></item><other/><item><id>2</id></item></items>\n"
		" <items><item><id>3</id></item></items></r>\n<?done ?>\n";
	reads_at("r.items.item", text, "{\"id\":\"1\"}\n{\"id\":\"2\"}\n{\"id\":\"3\"}\n");
	reads_at("r.items[1].item", text, "{\"id\":\"3\"}\n");
	reads_at("$.r.items[*].item[0]", text, "{\"id\":\"1\"}\n{\"id\":\"3\"}\n");
	reads_at("r.*.item", text,
		"{\"id\":\"0\"}\n{\"id\":\"1\"}\n{\"id\":\"2\"}\n{\"id\":\"3\"}\n");
	reads_at("r.items.thing", text, "");
	reads_at("", "<a><b>1</b></a>", "{\"b\":\"1\"}\n");
}

static void an_element_becomes_what_it_holds(void **state)
{
	(void)state;
	reads_at("r.x",
		"<r><x id='7' xmlns:q='urn:q' q:lang=\"ko\"> <q:name>A &amp; &lt;B&gt; "
		"&#xD55C;&#44397;&quot;</q:name><e/><e2></e2><tag>1</tag><n>5</n><tag>2</tag>"
		"<geo lat='1'>here</geo><m>a<b>c</b>d</m><c><![CDATA[<&]]>]]></c></x></r>",
		"{\"@id\":\"7\",\"@lang\":\"ko\",\"name\":\"A & <B> 한국\\\"\",\"e\":null,"
		"\"e2\":null,\"tag\":[\"1\",\"2\"],\"n\":\"5\",\"geo\":{\"@lat\":\"1\",\"#text\":"
		"\"here\"},\"m\":{\"b\":\"c\",\"#text\":\"ad\"},\"c\":\"<&]]>\"}\n");
	reads_at("r.x", "<r><x>5</x><x a=''/></r>", "{\"#text\":\"5\"}\n{\"@a\":\"\"}\n");
	reads_at("", "<r><a>x\r\ny\rz</a><b c='1\r\n2\t3'/></r>",
		"{\"a\":\"x\\ny\\nz\",\"b\":{\"@c\":\"1 2 3\"}}\n");
}

static void what_the_path_lacks_is_named(void **state)
{
	struct err err;
	struct json_path *path;
	struct record_reader *reader;
	static const struct {
		const char *text, *missing;
	} cases[] = { { "<r><body><item/></body></r>", NULL }, { "<r><body/></r>", NULL },
		{ "<r><body><other/></body></r>", "item" }, { "<r><x/></r>", "body" },
		{ "<html/>", "r" } };
	(void)state;
	assert_int_equal(json_path_new(&path, "r.body.item", &err), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct record_options options = { .format = RECORD_XML, .path = path };
		const struct record_ops ops = { .record = reading_record,
			.rejected = reading_rejected };
		reading_text[0] = '\0';
		assert_int_equal(record_reader_new(&reader, &options, &ops, NULL, &err), 0);
		assert_int_equal(
			record_reader_feed(reader, cases[i].text, strlen(cases[i].text), &err), 0);
		assert_int_equal(record_reader_end(reader, &err), 0);
		const char *missing = record_reader_missing(reader);
		if (cases[i].missing)
			assert_string_equal(missing, cases[i].missing);
		else
			assert_null(missing);
		record_reader_free(reader);
	}
	json_path_free(path);
}

static void what_is_no_xml_is_refused_at_its_byte(void **state)
{
	static const struct {
		const char *text, *words;
	} bad[] = {
		{ "", "0: the text ends too early" },
		{ "<a>", "3: the text ends too early" },
		{ "<a><b></a>", "9: an end tag that fits no start tag" },
		{ "<a></a><b/>", "9: something follows the root element" },
		{ "<a/>x", "4: text outside of the root element" },
		{ "{\"a\":1}", "0: text outside of the root element" },
		{ "<a>&b;</a>", "5: an entity that is not known" },
		{ "<a>&#0;</a>", "6: a reference to what is no character" },
		{ "<a>&#xD800;</a>", "10: a reference to what is no character" },
		{ "<a b='1' b='2'/>", "10: an attribute comes twice" },
		{ "<a b=1/>", "5: a value in quotes is expected" },
		{ "<a b='<'/>", "6: < inside of a value" },
		{ "<a b/>", "4: = is expected" },
		{ "<1/>", "1: a name is expected" },
		{ "<a><![CDAT[x]]></a>", "10: <! is followed by what is not known" },
		{ "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "35: an entity that is not known" },
	};
	char expected[200];
	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(expected, sizeof(expected), "error: malformed XML at byte %s\n",
			bad[i].words);
		reads_at("q", bad[i].text, expected);
	}
}

static int put(char *at, const char *text)
{
	memcpy(at, text, strlen(text) + 1);
	return (int)strlen(text);
}

static void depth_and_size_are_bounded(void **state)
{
	size_t size = (size_t)3 << 20, n = 0;
	char *text = calloc(1, size + 100);
	(void)state;
	for (int i = 0; i < XML_DEPTH + 1; i++)
		n += (size_t)put(text + n, "<a>");
	reads_at("a", text, "error: malformed XML at byte 386: nested too deeply\n");
	n = (size_t)put(text, "<r><x>");
	memset(text + n, 'y', size - 100);
	put(text + size - 100 + n, "</x><x>1</x></r>");
	struct err err;
	struct json_path *path;
	assert_int_equal(json_path_new(&path, "r.x", &err), 0);
	const struct record_options options = { .format = RECORD_XML, .path = path };
	assert_string_equal(reading(&options, text, strlen(text), 16384),
		"! larger than 1048576 bytes\n{\"#text\":\"1\"}\n");
	n = (size_t)put(text, "<r><x>");
	for (int i = 0; i < XML_RECORD_NODES; i++)
		n += (size_t)put(text + n, "<b/>");
	put(text + n, "</x><x>\xff</x><x>2</x></r>");
	assert_string_equal(reading(&options, text, strlen(text), 16384),
		"! more than 10000 elements, attributes and texts\n! not valid UTF-8\n"
		"{\"#text\":\"2\"}\n");
	json_path_free(path);
	free(text);
}

static void the_declaration_says_what_it_is(void **state)
{
	(void)state;
#define DECLARED(text) xml_declared_charset(text, strlen(text))
	assert_string_equal(DECLARED("<?xml version=\"1.0\" encoding='EUC-KR'?><a/>"), "euc-kr");
	assert_string_equal(DECLARED("<?xml encoding = \"latin1\" ?>"), "windows-1252");
	assert_null(DECLARED("<?xml version='1.0'?><a encoding='euc-kr'/>"));
	assert_null(DECLARED("<?xml encoding='klingon'?>"));
	assert_null(DECLARED("<?xml encoding='utf-16'?>"));
	assert_null(DECLARED("<a/>"));
	assert_null(DECLARED("<?xml encoding='euc-kr"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_path_begins_with_the_root),
		cmocka_unit_test(an_element_becomes_what_it_holds),
		cmocka_unit_test(what_the_path_lacks_is_named),
		cmocka_unit_test(what_is_no_xml_is_refused_at_its_byte),
		cmocka_unit_test(depth_and_size_are_bounded),
		cmocka_unit_test(the_declaration_says_what_it_is),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
