/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "grammar.h"

/* The words of the line, each in brackets. */
static void
splits(const char *line, const char *expected)
{
	struct msh_words words;
	struct msh_answer why = {0};
	char found[4 * MSH_LINE_MAX] = "";
	size_t at = 0;

	assert_int_equal(msh_words_split(&words, line, strlen(line), &why), 0);
	for (int i = 0; i < words.count; i++) {
		assert_true(words.word[i] >= words.text &&
			    words.word[i] < words.text + sizeof(words.text));
		at += (size_t)snprintf(found + at, sizeof(found) - at, "[%s]", words.word[i]);
	}
	assert_string_equal(found, expected);
}

static void
refuses(const char *line, size_t length, const char *part)
{
	struct msh_words words;
	struct msh_answer why = {0};

	assert_int_equal(msh_words_split(&words, line, length, &why), -MSH_BAD);
	assert_int_equal(why.status, MSH_BAD);
	assert_int_equal(words.count, 0);
	if (!strstr(why.text, part))
		fail_msg("'%s' does not say '%s'", why.text, part);
}

static void
test_words(void **state)
{
	splits("", "");
	splits(" \t ", "");
	splits("R F 52:34:56:00:12:22 10.129.26.115", "[R][F][52:34:56:00:12:22][10.129.26.115]");
	splits("  a\t b  ", "[a][b]");
	splits("a!~", "[a!~]");
}

static void
test_comments(void **state)
{
	splits("# all of it", "");
	splits("a # b", "[a]");
	splits("a #", "[a]");
	splits("a#b", "[a#b]");
	splits("a \"#b\" c", "[a][#b][c]");
	splits("a # \"not closed, \xc3\xa9\n", "[a]");
}

static void
test_quotes(void **state)
{
	splits("a \"b c\" d", "[a][b c][d]");
	splits("a\"b c\"d", "[ab cd]");
	splits("\"\" \"\"\"\" x", "[][][x]");
	splits("\"\t\"", "[\t]");
	splits("\"a\" \"b\"", "[a][b]");
	refuses("a \"b c", 6, "offset 2");
	refuses("\"", 1, "offset 0");
	refuses("\"a\"\"", 4, "offset 3");
}

static void
test_bytes(void **state)
{
	char line[] = "ab?d";

	for (int c = 0; c < 256; c++) {
		char where[32];

		line[2] = (char)c;
		if (c == '\t' || c == '"' || (c >= ' ' && c < 127))
			continue;
		snprintf(where, sizeof(where), "0x%02x at offset 2", c);
		refuses(line, 4, where);
	}
	refuses("a \"b\nc\"", 7, "0x0a at offset 4");
	refuses("a\0b", 3, "0x00 at offset 1");
	refuses("a\r\n", 3, "0x0d at offset 1");
}

static void
test_limits(void **state)
{
	char line[MSH_LINE_MAX + 1];
	struct msh_words words;
	struct msh_answer why = {0};

	memset(line, 'x', sizeof(line));
	assert_int_equal(msh_words_split(&words, line, MSH_LINE_MAX, &why), 0);
	assert_int_equal(words.count, 1);
	assert_int_equal(strlen(words.word[0]), MSH_LINE_MAX);
	refuses(line, MSH_LINE_MAX + 1, "1025");

	for (int i = 0; i <= MSH_WORDS_MAX; i++)
		memcpy(line + 2 * i, "y ", 2);
	assert_int_equal(msh_words_split(&words, line, 2 * MSH_WORDS_MAX, &why), 0);
	assert_int_equal(words.count, MSH_WORDS_MAX);
	refuses(line, 2 * MSH_WORDS_MAX + 1, "more than 64 words");
	/* A comment is no word. */
	line[2 * MSH_WORDS_MAX] = '#';
	assert_int_equal(msh_words_split(&words, line, 2 * MSH_WORDS_MAX + 1, &why), 0);

	/* As many empty words as there can be: the text does not run over. */
	memset(line, '"', sizeof(line));
	assert_int_equal(msh_words_split(&words, line, MSH_LINE_MAX, &why), 0);
	assert_int_equal(words.count, 1);
	assert_string_equal(words.word[0], "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_comments),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
