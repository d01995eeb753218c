/* SPDX-License-Identifier: MIT */
#include "cli/typed.h"

static void expect(int code, const char *says, const char *const *words)
{
	struct typed t;
	typed_in(&t, 0, words);
	assert_int_equal(t.code, code);
	assert_says(t.err, says);
	assert_int_equal(t.out_len, 0);
	typed_free(&t);
}
#define refused(says, ...) expect(CLI_USAGE, says, (const char *const[]) { __VA_ARGS__, NULL })

static void what_was_mistyped_gets_a_suggestion(void **state)
{
	(void)state;
	refused("no verb 'stauts', did you mean 'status'?", "stauts");
	refused("no verb 'hlep', did you mean 'help'?", "hlep");
	refused("no option --frm, did you mean --from?", "next", "@daily", "--frm", "x");
	refused("no option --sockt, did you mean --socket?", "--sockt", "x", "status");
	refused("did you mean 'list'?", "dead", "lst");
}

static void nothing_near_gets_no_suggestion(void **state)
{
	(void)state;
	refused("no verb 'xyzzy'; see: drover help", "xyzzy");
	refused("no option --qqq of next", "next", "@daily", "--qqq");
	refused("no option -q of next", "next", "@daily", "-q");
}

static void too_few_and_too_many_arguments_are_named(void **state)
{
	(void)state;
	refused("usage: drover run JOB", "run");
	refused("'b' is one argument too many", "run", "a", "b");
	refused("which verb?", "--json");
	refused("option --from needs a value", "next", "@daily", "--from");
	refused("option --json takes no value", "next", "@daily", "--json=1");
}

static void numbers_have_a_range(void **state)
{
	(void)state;
	refused("from 1 to 1000000, not '0'", "next", "@daily", "-n", "0");
	refused("from 1 to 1000000, not '5x'", "next", "@daily", "-n5x");
	refused("from 1 to 1000000, not ''", "next", "@daily", "--count=");
}

static void options_stand_before_and_after_the_verb(void **state)
{
	(void)state;
	struct typed a, b;
	typed(&a, "--json", "next", "--from=2026-01-01T00:00:00Z", "-n2", "@daily");
	typed(&b, "next", "@daily", "-n", "2", "--from", "2026-01-01T00:00:00Z", "--json");
	assert_int_equal(a.code, 0);
	assert_string_equal(a.out, b.out);
	assert_says(a.out, "2026-01-03T00:00:00Z");
	typed_free(&a);
	typed_free(&b);
}

static void help_and_version_are_data(void **state)
{
	(void)state;
	struct typed t;
	typed(&t, "--version");
	assert_int_equal(t.code, 0);
	assert_string_equal(t.out, "drover " DROVER_VERSION "\n");
	typed_free(&t);
	for (const struct cli_verb *v = cli_verbs; v->name; v++) {
		typed(&t, v->name, "--help");
		assert_int_equal(t.code, 0);
		assert_int_equal(t.err_len, 0);
		assert_says(t.out, v->summary);
		for (const struct cli_option *o = v->options; o->name; o++)
			assert_says(t.out, o->doc);
		typed_free(&t);
	}
	typed(&t, "help");
	for (const struct cli_verb *v = cli_verbs; v->name; v++)
		assert_says(t.out, v->summary);
	typed_free(&t);
}

static void after_two_dashes_everything_is_a_name(void **state)
{
	(void)state;
	struct typed t;
	typed(&t, "next", "--", "--json");
	assert_int_equal(t.code, CLI_USAGE); /* "--json" is no cron expression */
	assert_says(t.err, "cron");
	typed_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_mistyped_gets_a_suggestion),
		cmocka_unit_test(nothing_near_gets_no_suggestion),
		cmocka_unit_test(too_few_and_too_many_arguments_are_named),
		cmocka_unit_test(numbers_have_a_range),
		cmocka_unit_test(options_stand_before_and_after_the_verb),
		cmocka_unit_test(help_and_version_are_data),
		cmocka_unit_test(after_two_dashes_everything_is_a_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
