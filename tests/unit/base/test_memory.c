/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include <errno.h>
#include <string.h>

static void a_bounded_buffer_refuses_what_does_not_fit_and_says_so(void **state)
{
	(void)state;
	struct buf b = { .max = 10 };
	buf_add_str(&b, "12345");
	buf_add_str(&b, "678901");
	assert_true(buf_failed(&b));
	assert_int_equal(b.len, 5);
	buf_add_str(&b, "6");
	assert_int_equal(b.len, 5);
	assert_null(buf_detach(&b));
	buf_add_str(&b, "1234567890");
	assert_false(buf_failed(&b));
	assert_string_equal(buf_str(&b), "1234567890");
	buf_finish(&b);
	assert_int_equal(b.max, 10);
}

static void a_buffer_is_consumed_from_the_front(void **state)
{
	(void)state;
	struct buf b = BUF_INIT;
	buf_addf(&b, "%s-%d", "abc", 42);
	buf_consume(&b, 4);
	assert_string_equal(buf_str(&b), "42");
	buf_consume(&b, 99);
	assert_string_equal(buf_str(&b), "");
	char *empty = buf_detach(&b);
	assert_string_equal(empty, "");
	free(empty);
}

static void an_arena_keeps_its_bound_and_aligns(void **state)
{
	(void)state;
	struct arena *a = arena_new(100000);
	for (int i = 1; i < 200; i++) {
		char *p = arena_alloc(a, (size_t)i);
		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 16, 0);
		for (int k = 0; k < i; k++)
			assert_int_equal(p[k], 0);
		memset(p, 0xAA, (size_t)i);
	}
	assert_non_null(arena_alloc(a, 50000));
	assert_null(arena_alloc(a, 50000));
	assert_null(arena_alloc(a, SIZE_MAX));
	assert_string_equal(arena_printf(a, "%d%s", 7, "x"), "7x");
	assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
	assert_true(arena_used(a) <= 100000);
	arena_free(a);
	arena_free(NULL);
}

static void context_is_put_before_the_words_of_an_error(void **state)
{
	(void)state;
	struct err err = { 0 };
	assert_int_equal(err_sys(&err, -ENOENT, "open %s", "x"), -ENOENT);
	assert_int_equal(err_wrap(&err, "spool %d", 3), -ENOENT);
	assert_string_equal(err.text, "spool 3: open x: No such file or directory");
	assert_int_equal(err_set(NULL, -EIO, "nobody listens"), -EIO);
	for (int i = 0; i < 100; i++)
		err_wrap(&err, "%s",
			"a long context that is put before again and again until nothing more "
			"fits");
	assert_true(strlen(err.text) < sizeof(err.text));
}

static void arrays_grow_and_overflow_is_a_failure(void **state)
{
	(void)state;
	int *numbers = NULL;
	size_t cap = 0;
	for (size_t i = 0; i < 1000; i++) {
		assert_int_equal(mem_grow((void **)&numbers, &cap, i, sizeof(*numbers)), 0);
		numbers[i] = (int)i;
	}
	assert_int_equal(numbers[999], 999);
	assert_int_equal(
		mem_grow((void **)&numbers, &cap, SIZE_MAX / 2, sizeof(*numbers)), -ENOMEM);
	free(numbers);
}

static void a_list_may_lose_its_node_while_it_is_walked(void **state)
{
	(void)state;
	struct item {
		struct list node;
		int value;
	} items[5];
	struct list head;
	int sum = 0;
	list_init(&head);
	for (int i = 0; i < 5; i++) {
		items[i].value = i;
		list_add_tail(&head, &items[i].node);
	}
	LIST_FOR_EACH_SAFE (node, &head)
		if (LIST_ENTRY(node, struct item, node)->value % 2)
			list_remove(node);
	LIST_FOR_EACH (node, &head)
		sum += LIST_ENTRY(node, struct item, node)->value;
	assert_int_equal(sum, 6);
	assert_ptr_equal(LIST_FIRST(&head, struct item, node), &items[0]);
	list_remove(&items[1].node);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bounded_buffer_refuses_what_does_not_fit_and_says_so),
		cmocka_unit_test(a_buffer_is_consumed_from_the_front),
		cmocka_unit_test(an_arena_keeps_its_bound_and_aligns),
		cmocka_unit_test(context_is_put_before_the_words_of_an_error),
		cmocka_unit_test(arrays_grow_and_overflow_is_a_failure),
		cmocka_unit_test(a_list_may_lose_its_node_while_it_is_walked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
