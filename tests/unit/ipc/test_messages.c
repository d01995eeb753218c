/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "ipc/messages.h"
#include <errno.h>
#include <string.h>

static struct buf packet;

static void encode(enum message_id id, const void *body)
{
	buf_reset(&packet);
	assert_int_equal(message_encode(&packet, id, body), 0);
}

static void refused(enum message_direction direction, const char *why)
{
	struct message m;
	struct err err = { 0 };
	assert_int_equal(message_decode(&m, packet.data, packet.len, direction, &err), -EPROTO);
	assert_non_null(strstr(err.text, why));
}

static void every_type_of_field_comes_back(void **state)
{
	const struct msg_setup in = { .name = "collect:2",
		.owner = "node/0123/collect:2/7",
		.node = "",
		.incarnation = UINT64_MAX,
		.stats_slot = 3,
		.log_level = UINT32_MAX,
		.state_dir = "/var/lib/drover" };
	struct message m;
	(void)state;
	encode(MSG_SETUP, &in);
	assert_int_equal(message_decode(&m, packet.data, packet.len, TO_WORKER, NULL), 0);
	assert_int_equal(m.id, MSG_SETUP);
	assert_string_equal(m.body.setup.name, in.name);
	assert_string_equal(m.body.setup.owner, in.owner);
	assert_string_equal(m.body.setup.node, "");
	assert_true(m.body.setup.incarnation == UINT64_MAX);
	assert_int_equal(m.body.setup.stats_slot, 3);
	assert_true(m.body.setup.log_level == UINT32_MAX);
	assert_string_equal(m.body.setup.state_dir, in.state_dir);
	assert_int_equal(m.fd_count, 0);
}

static void bytes_may_hold_anything(void **state)
{
	const struct msg_page in = { .last = 1, .exit_code = 4, .json = { "a\0b", 3 } };
	struct message m;
	(void)state;
	encode(MSG_PAGE, &in);
	assert_int_equal(message_decode(&m, packet.data, packet.len, TO_CLIENT, NULL), 0);
	assert_int_equal(m.body.page.json.len, 3);
	assert_memory_equal(m.body.page.json.data, "a\0b", 3);
}

static void a_missing_text_is_an_empty_one(void **state)
{
	const struct msg_wake in = { .kind = NULL };
	struct message m;
	(void)state;
	encode(MSG_WAKE, &in);
	assert_int_equal(message_decode(&m, packet.data, packet.len, FROM_WORKER, NULL), 0);
	assert_string_equal(m.body.wake.kind, "");
}

static void the_wrong_way_is_refused(void **state)
{
	const struct msg_probe in = { .seq = 1 };
	(void)state;
	encode(MSG_PROBE, &in);
	refused(FROM_WORKER, "may not come this way");
	refused(FROM_CLIENT, "PROBE");
}

static void every_cut_is_refused(void **state)
{
	const struct msg_log_open in = {
		.name = "a", .file = "a.log", .max_size = 10, .backups = 2
	};
	struct message m;
	struct err err;
	(void)state;
	encode(MSG_LOG_OPEN, &in);
	size_t whole = packet.len;
	for (size_t len = 0; len < whole; len++) {
		encode(MSG_LOG_OPEN, &in);
		assert_int_equal(message_decode(&m, packet.data, len, TO_LOGGER, &err), -EPROTO);
	}
	encode(MSG_LOG_OPEN, &in);
	buf_add_char(&packet, 'x');
	refused(TO_LOGGER, "1 bytes too many");
}

static void a_nul_inside_a_text_is_refused(void **state)
{
	const struct msg_wake in = { .kind = "crawl" };
	(void)state;
	encode(MSG_WAKE, &in);
	packet.data[packet.len - 2] = '\0';
	refused(FROM_WORKER, "malformed");
}

static void an_unknown_id_and_too_much_are_refused(void **state)
{
	static const char zero[MESSAGE_MAX + 1];
	(void)state;
	buf_reset(&packet);
	buf_add(&packet, "\xff\xff\0\0", 4);
	refused(FROM_WORKER, "unknown message id 65535");
	buf_reset(&packet);
	buf_add(&packet, zero, sizeof(zero));
	refused(FROM_WORKER, "more than");
	const struct msg_page big = { .json = { zero, sizeof(zero) } };
	buf_reset(&packet);
	assert_int_equal(message_encode(&packet, MSG_PAGE, &big), -EMSGSIZE);
}

static void a_length_beyond_the_end_is_refused(void **state)
{
	const struct msg_wake in = { .kind = "crawl" };
	(void)state;
	encode(MSG_WAKE, &in);
	memset(packet.data + 4, 0xff, 4);
	refused(FROM_WORKER, "cut short");
}

static int tear_down(void **state)
{
	(void)state;
	buf_finish(&packet);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_of_field_comes_back),
		cmocka_unit_test(bytes_may_hold_anything),
		cmocka_unit_test(a_missing_text_is_an_empty_one),
		cmocka_unit_test(the_wrong_way_is_refused),
		cmocka_unit_test(every_cut_is_refused),
		cmocka_unit_test(a_nul_inside_a_text_is_refused),
		cmocka_unit_test(an_unknown_id_and_too_much_are_refused),
		cmocka_unit_test(a_length_beyond_the_end_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, tear_down);
}
