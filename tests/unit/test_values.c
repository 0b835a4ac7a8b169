/* SPDX-License-Identifier: BSD-3-Clause */

/* The values that words of a command can hold. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "command.h"

static void
test_mac(void **state)
{
	static const char *const bad[] = {"", "5", "52:54:00:12:34",
		"52:54:00:12:34:", "52:54:00:12:34:5", "52:54:00:12:34:567", "52:54:00:12:34:56:78",
		"52-54-00-12-34-56", "5254.0012.3456", "g2:54:00:12:34:56", " 52:54:00:12:34:56",
		"52:54:00:12:34:56 ", "0x:54:00:12:34:56", "52:54:00:12:34:\xff\xff"};
	static const uint8_t want[6] = {0x52, 0x54, 0x00, 0xab, 0xcd, 0xef};
	struct rte_ether_addr mac, before;
	char text[MSH_MAC_TEXT];

	assert_int_equal(msh_parse_mac("52:54:00:ab:CD:eF", &mac), 0);
	assert_memory_equal(&mac, want, sizeof(want));
	assert_string_equal(msh_mac_text(&mac, text), "52:54:00:ab:cd:ef");
	before = mac;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(msh_parse_mac(bad[i], &mac), -EINVAL);
		assert_memory_equal(&mac, &before, sizeof(mac));
	}
}

static void
test_ip(void **state)
{
	static const struct {
		const char *word, *text;
		int version;
	} good[] = {
		{"10.129.26.115", "10.129.26.115", 4},
		{"0.0.0.0", "0.0.0.0", 4},
		{"255.255.255.255", "255.255.255.255", 4},
		{"::", "::", 6},
		{"2001:DB8:0:0:0:0:0:1", "2001:db8::1", 6},
		{"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
			"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6},
		{"::ffff:1.2.3.4", "::ffff:1.2.3.4", 6},
	};
	static const char *const bad[] = {"", "10", "10.0.0", "10.0.0.1.2", "10.0.0.256",
		"10.0.0.1/8", " 10.0.0.1", "10.0.0.1 ", ":", "1::2::3", "fe80::1%eth0",
		"12345::", "localhost", "0x0a.0.0.1"};
	struct msh_ip ip, before;
	char text[MSH_IP_TEXT];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		memset(&ip, 0x5a, sizeof(ip));
		assert_int_equal(msh_parse_ip(good[i].word, &ip), 0);
		assert_int_equal(ip.version, good[i].version);
		assert_string_equal(msh_ip_text(&ip, text), good[i].text);
	}
	before = ip;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(msh_parse_ip(bad[i], &ip), -EINVAL);
		assert_memory_equal(&ip, &before, sizeof(ip));
	}
}

static void
test_number(void **state)
{
	static const struct {
		const char *word;
		uint64_t max, want;
	} good[] = {
		{"0", 0, 0},
		{"15", 15, 15},
		{"010", 15, 10}, /* not octal */
		{"0x0800", 0xffff, 0x800},
		{"0XfF", 255, 255},
		{"18446744073709551615", UINT64_MAX, UINT64_MAX},
		{"0xffffffffffffffff", UINT64_MAX, UINT64_MAX},
	};
	static const struct {
		const char *word;
		uint64_t max;
	} bad[] = {
		{"", 9},
		{"16", 15},
		{"-1", UINT64_MAX},
		{"+1", 9},
		{" 1", 9},
		{"1 ", 9},
		{"0x", 9},
		{"x1", 9},
		{"a", 99},
		{"1e1", 99},
		{"0x1g", 99},
		{"1.0", 9},
		{"18446744073709551616", UINT64_MAX},
		{"18446744073709551620", UINT64_MAX},
		{"0x10000000000000000", UINT64_MAX},
		{"99999999999999999999999", UINT64_MAX},
	};
	uint64_t value = 42;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(msh_parse_number(bad[i].word, bad[i].max, &value), -EINVAL);
		assert_int_equal(value, 42);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(msh_parse_number(good[i].word, good[i].max, &value), 0);
		assert_true(value == good[i].want);
	}
}

static void
test_name(void **state)
{
	static const char *const good[] = {
		"a", "0", "vm1", "fw-a_b.c", "Z9", "a123456789012345678901234567890"};
	static const char *const bad[] = {"", "-a", "_a", ".", "..", "a b", "a/b", "a\n", "a\"",
		"\xc3\xa4", "a\xc3\xa4", "a1234567890123456789012345678901"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(msh_is_name(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(msh_is_name(bad[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mac),
		cmocka_unit_test(test_ip),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
