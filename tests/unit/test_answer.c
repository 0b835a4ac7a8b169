/* SPDX-License-Identifier: BSD-3-Clause */

/* Answers as people and guests read them. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"

static void
check_render(const char *json, const char *expected)
{
	json_t *data = json_loads(json, JSON_DECODE_ANY, NULL);
	char *text = msh_render(data);
	assert_string_equal(text, expected);
	free(text);
	json_decref(data);
}

static void
test_tables(void **state)
{
	check_render("[{\"port\": \"a\", \"rx_packets\": 7}, {\"port\": \"uplink\", "
		     "\"rx_packets\": 1234, \"vm\": \"x\"}]",
		"PORT    RX PACKETS  VM\n"
		"a                7  -\n"
		"uplink        1234  x\n");
	check_render("[]", "");
	check_render("[{\"busy\": 1.25, \"up\": true, \"list\": [1,2]}]",
		"BUSY  UP   LIST\n 1.2  yes  [1,2]\n");
}

static void
test_objects(void **state)
{
	check_render("{\"name\": \"x\", \"packets\": 5, \"none\": []}", "name:    x\npackets: 5\n");
	check_render("{\"n\": 1, \"rows\": [{\"a\": 1}]}", "n: 1\n\nrows:\nA\n1\n");
	check_render("{\"in\": {\"b\": 2, \"ccc\": 3}}", "in:\n  b:   2\n  ccc: 3\n");
}

static void
test_strings(void **state)
{
	check_render("\"one\\ntwo\\n\"", "one\ntwo\n");
	check_render("\"one\"", "one\n");
	check_render("\"\"", "");
	check_render("[\"a\", 2]", "a\n2\n");
}

static void
test_set(void **state)
{
	struct msh_answer a = {0};
	assert_int_equal(msh_answer_set(&a, MSH_OK, "fine"), 0);
	assert_int_equal(msh_answer_set(&a, MSH_DENIED, "no %d", 5), -MSH_DENIED);
	assert_string_equal(a.text, "no 5");
	assert_string_equal(msh_status_word(a.status), "DENIED");
	char long_text[1000];
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	msh_answer_set(&a, MSH_BAD, "%s", long_text);
	assert_int_equal(strlen(a.text), sizeof(a.text) - 1);
}

static void
test_text(void **state)
{
	struct msh_answer a = {0};
	char buffer[256];
	assert_int_equal(msh_answer_text(&a, buffer, sizeof(buffer)), 3);
	assert_string_equal(buffer, "OK\n");
	msh_answer_set(&a, MSH_BAD, "why");
	msh_answer_text(&a, buffer, sizeof(buffer));
	assert_string_equal(buffer, "BAD why\n");
	a.status = MSH_OK;
	a.data = json_pack("[{s:i}]", "n", 1);
	msh_answer_text(&a, buffer, sizeof(buffer));
	assert_string_equal(buffer, "OK why\nN\n1\n");
	msh_answer_clear(&a);
	assert_null(a.data);
}

/* What does not fit is cut at a line, with a notice, and never written past the end. */
static void
test_text_is_cut(void **state)
{
	struct msh_answer a = {.data = json_array()};
	for (int i = 0; i < 200; i++)
		json_array_append_new(a.data, json_pack("{s:i}", "number", i));
	size_t whole = strlen("OK\nNUMBER\n") + 200 * strlen("     0\n");
	for (size_t size = 0; size < 400; size++) {
		char *buffer = malloc(size + 1);
		buffer[size] = 0x55;
		size_t n = msh_answer_text(&a, buffer, size);
		assert_int_equal(buffer[size], 0x55);
		assert_true(size == 0 || (n < size && strlen(buffer) == n));
		if (size >= 80) {
			const char *notice = strstr(buffer, "\n... ");
			assert_non_null(notice);
			assert_int_equal(strtoul(notice + 5, NULL, 10),
				whole - (size_t)(notice + 1 - buffer));
			assert_string_equal(buffer + n - strlen(" bytes more\n"), " bytes more\n");
		}
		free(buffer);
	}
	msh_answer_clear(&a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_is_cut),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
