/* SPDX-License-Identifier: BSD-3-Clause */

/* The load balancer stage: its verb and errors, backends that get known and move, versions that
 * live side by side, many services. Random traffic is in test_stage_lb_model.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stages.h"

extern const struct msh_stage msh_stage_lb;

#define BACKEND_MAC "52:54:00:00:01:07"

/* ---- commands ---- */

static void
test_errors(void **state)
{
	static const struct {
		const char *line;
		int status;
		const char *text;
	} bad[] = {
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0", MSH_BAD, "usage"},
		{"R L 525400 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_BAD, "525400 is not a MAC"},
		{"R L 33:33:00:00:00:01 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_BAD, "group"},
		{"R L " MAC_A " 10.0.0.1 2 0.0.0.0 10.0.0.7", MSH_BAD, "type 2"},
		{"R L " MAC_A " 10.0.0.1 x 0.0.0.0 10.0.0.7", MSH_BAD, "type x"},
		{"R L " MAC_A " 10.0.0 0 0.0.0.0 10.0.0.7", MSH_BAD, "IP 10.0.0 is not"},
		{"R L " MAC_A " 10.0.0.1 0 any 10.0.0.7", MSH_BAD, "SRCIP any is not"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 web", MSH_BAD, "DSTIP web is not"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.1", MSH_BAD,
			"DSTIP 10.0.0.1 is the middle"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 0.0.0.0", MSH_BAD, "DSTIP 0.0.0.0 is not the"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 224.0.0.1", MSH_BAD,
			"DSTIP 224.0.0.1 is not the"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 255.255.255.255", MSH_BAD, "DSTIP 255"},
		{"R L " MAC_A " 239.0.0.1 0 0.0.0.0 10.0.0.7", MSH_BAD, "IP 239.0.0.1 is not the"},
		{"R L " MAC_A " ::1 0 0.0.0.0 10.0.0.7", MSH_UNSUPPORTED, "IP ::1 is an IPv6"},
		{"R L " MAC_A " 10.0.0.1 1 0.0.0.0 10.0.0.9", MSH_BAD, "SRCIP 0.0.0.0 is not the"},
		{"R L " MAC_A " 10.0.0.1 1 ::2 10.0.0.7", MSH_UNSUPPORTED, "SRCIP ::2 is an IPv6"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 ::3", MSH_UNSUPPORTED, "DSTIP ::3 is an IPv6"},
	};
	const void *lb = NULL;

	for (size_t i = 0; i < RTE_DIM(bad); i++)
		expect(&lb, bad[i].line, bad[i].status, bad[i].text);
	assert_null(lb);
}

static void
test_register(void **state)
{
	const void *lb = NULL;

	expect(&lb, "R L " MAC_A " 10.0.0.1 0 9.9.9.9 10.0.0.7", MSH_OK, "redirected to 10.0.0.7");
	expect(&lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.8", MSH_EXISTS, "type 0");
	expect(&lb, "R L " MAC_A " 10.0.0.1 1 9.9.9.9 10.0.0.8", MSH_OK, "traffic from 9.9.9.9");
	expect(&lb, "R L " MAC_A " 10.0.0.1 1 9.9.9.9 10.0.0.9", MSH_EXISTS, "from 9.9.9.9");
	expect(&lb, "R L " MAC_A " 10.0.0.1 1 9.9.9.8 10.0.0.9", MSH_OK, "from 9.9.9.8");
	expect(&lb, "R L " MAC_A " 10.0.0.2 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	expect(&lb, "R L " MAC_B " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	assert_dump(lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7\n"
			"R L " MAC_A " 10.0.0.1 1 9.9.9.9 10.0.0.8\n"
			"R L " MAC_A " 10.0.0.1 1 9.9.9.8 10.0.0.9\n"
			"R L " MAC_A " 10.0.0.2 0 0.0.0.0 10.0.0.7\n"
			"R L " MAC_B " 10.0.0.1 0 0.0.0.0 10.0.0.7\n");
	assert_roundtrip(lb);
	done(lb);
}

static void
test_show(void **state)
{
	const void *lb = NULL;
	json_t *rows = json_array();

	expect(&lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	expect(&lb, "R L " MAC_A " 10.0.0.1 1 9.9.9.9 10.0.0.8", MSH_OK, "");
	resolve(&lb, "10.0.0.8", BACKEND_MAC, true);
	stage->show(lb, rows);
	char *text = json_dumps(rows, JSON_COMPACT);
	assert_string_equal(text,
		"[{\"stage\":\"lb\",\"mac\":\"" MAC_A "\",\"ip\":\"10.0.0.1\",\"type\":0,"
		"\"source\":\"-\",\"backend\":\"10.0.0.7\",\"backend_mac\":\"-\",\"packets\":0,"
		"\"bytes\":0,\"unresolved\":0,\"ttl\":0},"
		"{\"stage\":\"lb\",\"mac\":\"" MAC_A "\",\"ip\":\"10.0.0.1\",\"type\":1,"
		"\"source\":\"9.9.9.9\",\"backend\":\"10.0.0.8\",\"backend_mac\":\"" BACKEND_MAC
		"\",\"packets\":0,\"bytes\":0,\"unresolved\":0,\"ttl\":0}]");
	free(text);
	json_decref(rows);
	done(lb);
}

static void
test_cancel(void **state)
{
	struct rte_ether_addr a, b, c = {{0x52}};
	const void *lb = NULL, *next;

	msh_parse_mac(MAC_A, &a);
	msh_parse_mac(MAC_B, &b);
	assert_int_equal(stage->cancel(NULL, &a, &next), -ENOENT);
	expect(&lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	expect(&lb, "R L " MAC_B " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	expect(&lb, "R L " MAC_A " 10.0.0.1 1 9.9.9.9 10.0.0.7", MSH_OK, "");
	assert_int_equal(stage->cancel(lb, &c, &next), -ENOENT);
	assert_int_equal(stage->cancel(lb, &a, &next), 0);
	done(lb);
	lb = next;
	assert_dump(lb, "R L " MAC_B " 10.0.0.1 0 0.0.0.0 10.0.0.7\n");
	assert_int_equal(stage->cancel(lb, &b, &next), 0);
	assert_null(next);
	done(lb);
}

/* ---- neighbours ---- */

static void
collect_neighbor(void *context, rte_be32_t wanted, rte_be32_t asker,
	const struct rte_ether_addr *asker_mac, bool known)
{
	char line[128], mac[MSH_MAC_TEXT], from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &wanted, to, sizeof(to));
	inet_ntop(AF_INET, &asker, from, sizeof(from));
	snprintf(line, sizeof(line), "%s for %s %s%s", to, from, msh_mac_text(asker_mac, mac),
		known ? " known" : "");
	collect(context, line);
}

static void
assert_neighbors(const void *lb, const char *want)
{
	struct lines lines = no_lines();

	stage->neighbors(lb, collect_neighbor, &lines);
	assert_string_equal(lines.text, want);
	free(lines.text);
}

static void
test_neighbors(void **state)
{
	const void *lb = NULL;

	expect(&lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.8", MSH_OK, "");
	expect(&lb, "R L " MAC_A " 10.0.0.2 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	expect(&lb, "R L " MAC_B " 10.0.0.3 0 0.0.0.0 10.0.0.8", MSH_OK, "");
	assert_neighbors(lb, "10.0.0.7 for 10.0.0.2 " MAC_A "\n10.0.0.8 for 10.0.0.1 " MAC_A "\n");
	resolve(&lb, "10.0.0.9", BACKEND_MAC, false);
	resolve(&lb, "10.0.0.8", BACKEND_MAC, true);
	resolve(&lb, "10.0.0.8", BACKEND_MAC, false);
	resolve(&lb, "10.0.0.8", MAC_B, true);
	/* RFC 1812 3.3.2: no host has such a MAC */
	resolve(&lb, "10.0.0.7", "ff:ff:ff:ff:ff:ff", false);
	resolve(&lb, "10.0.0.7", "01:00:5e:00:00:01", false);
	resolve(&lb, "10.0.0.7", "00:00:00:00:00:00", false);
	assert_neighbors(
		lb, "10.0.0.7 for 10.0.0.2 " MAC_A "\n10.0.0.8 for 10.0.0.1 " MAC_A " known\n");
	/* a new service of a known backend need not wait */
	expect(&lb, "R L " MAC_A " 10.0.0.4 0 0.0.0.0 10.0.0.8", MSH_OK, "");
	json_t *rows = json_array();
	stage->show(lb, rows);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(rows, 3), "backend_mac")), MAC_B);
	json_decref(rows);
	done(lb);
}

/* ---- packets ---- */

static void
test_redirect(void **state)
{
	struct frame f = udp_frame(1, 9, 1);
	struct rte_ether_addr mac, backend_mac;
	const void *lb = NULL;

	msh_parse_mac(MAC_A, &mac);
	msh_parse_mac(BACKEND_MAC, &backend_mac);
	expect(&lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	classify(lb, &f, 1, 3);
	assert_int_equal(burst.verdict[0].action, MSH_DELIVER); /* not known: to the VM */
	assert_int_equal(counter(lb, 0, "unresolved"), 1);

	resolve(&lb, "10.0.0.7", BACKEND_MAC, true);
	assert_int_equal(counter(lb, 0, "unresolved"), 1); /* counters stay */
	classify(lb, &f, 1, 4);
	assert_int_equal(burst.verdict[0].action, MSH_REDIRECT);
	const struct msh_redirect *r = burst.verdict[0].redirect;
	assert_true(r->vip == inet_addr("10.0.0.1") && r->backend == inet_addr("10.0.0.7"));
	assert_memory_equal(&r->vip_mac, &mac, 6);
	assert_memory_equal(&r->backend_mac, &backend_mac, 6);
	assert_int_equal(counter(lb, 0, "packets"), 1);
	assert_int_equal(counter(lb, 0, "bytes"), 46);

	for (uint8_t ttl = 0; ttl < 3; ttl++) {
		f.data[UDP_TTL] = ttl;
		classify(lb, &f, 1, 0);
		assert_int_equal(burst.verdict[0].action, ttl > 1 ? MSH_REDIRECT : MSH_DELIVER);
	}
	assert_int_equal(counter(lb, 0, "ttl"), 2);
	f = udp_frame(1, 9, 2); /* another IP of the middlebox */
	classify(lb, &f, 1, 0);
	assert_int_equal(burst.verdict[0].action, MSH_DELIVER);
	f = udp_frame(2, 9, 1); /* another MAC */
	classify(lb, &f, 1, 0);
	assert_int_equal(burst.verdict[0].action, MSH_DELIVER);
	assert_int_equal(counter(lb, 0, "packets"), 2);
	done(lb);
}

/* Workers that still hold the old instance must see the old redirect, whole. */
static void
test_moved_backend(void **state)
{
	struct frame f = udp_frame(1, 9, 1);
	const void *old = NULL, *new;
	struct msh_redirect before;
	struct rte_ether_addr mac;

	expect(&old, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	resolve(&old, "10.0.0.7", BACKEND_MAC, true);
	classify(old, &f, 1, 0);
	const struct msh_redirect *held = burst.verdict[0].redirect;
	before = *held;
	msh_parse_mac(MAC_B, &mac);
	assert_int_equal(stage->resolved(old, inet_addr("10.0.0.7"), &mac, &new), 0);
	assert_memory_equal(held, &before, sizeof(before));
	classify(new, &f, 1, 1);
	assert_ptr_not_equal(burst.verdict[0].redirect, held);
	assert_memory_equal(&burst.verdict[0].redirect->backend_mac, &mac, 6);
	assert_memory_equal(held, &before, sizeof(before));
	stage->destroy(old);
	assert_int_equal(counter(new, 0, "packets"), 2);
	done(new);
}

/* ---- versions, and many services ---- */

#define VERSIONS 100

static void
test_versions(void **state)
{
	for (unsigned int order = 0; order < 3; order++) {
		const void *version[VERSIONS + 1];
		struct rte_ether_addr mac = {{2}};
		struct frame f = udp_frame(1, 9, 1);
		char line[128];
		assert_int_equal(
			apply(NULL, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7", &version[0]),
			MSH_OK);
		for (unsigned int i = 1; i < VERSIONS; i++) {
			snprintf(line, sizeof(line), "R L " MAC_A " 10.0.0.1 1 9.0.0.%u 10.0.0.7",
				i);
			mac.addr_bytes[5] = (uint8_t)i;
			if (i % 2)
				assert_int_equal(apply(version[i - 1], line, &version[i]), MSH_OK);
			else
				assert_int_equal(stage->resolved(version[i - 1],
							 inet_addr("10.0.0.7"), &mac, &version[i]),
					0);
		}
		for (unsigned int i = 0; i < VERSIONS; i++) {
			unsigned int at = order == 0   ? i
					  : order == 1 ? VERSIONS - 1 - i
						       : i * 7 % VERSIONS;
			classify(version[at], &f, 1, 0);
			assert_int_equal(
				burst.verdict[0].action, at < 2 ? MSH_DELIVER : MSH_REDIRECT);
			if (at >= 2)
				assert_int_equal(
					burst.verdict[0].redirect->backend_mac.addr_bytes[5],
					at / 2 * 2);
			assert_int_equal(counter(version[at], 0, "packets") +
						 counter(version[at], 0, "unresolved"),
				i + 1);
			stage->destroy(version[at]);
		}
	}
	msh_answer_clear(&answer);
}

static void
test_many(void **state)
{
	const unsigned int count = 10000;
	double start = seconds(), took;
	const void *lb = NULL;
	char line[128];

	for (unsigned int i = 0; i < count; i++) {
		snprintf(line, sizeof(line), "R L " MAC_A " 10.0.0.1 1 10.1.%u.%u 10.0.0.%u",
			i / 256, i % 256, 7 + i % 8);
		expect(&lb, line, MSH_OK, "");
	}
	for (unsigned int i = 0; i < 8; i++) {
		snprintf(line, sizeof(line), "10.0.0.%u", 7 + i);
		resolve(&lb, line, BACKEND_MAC, true);
	}
	took = seconds() - start;
	printf("# %u services one by one, 8 backends resolved: %.3f s\n", count, took);
	assert_true(took < 20); /* sanitizers, valgrind, shared hosts; else well below 1 s */
	for (unsigned int i = 0; i < count + 500; i++) {
		struct frame f = udp_frame(1, 0, 1);
		f.data[UDP_SOURCE + 1] = 1;
		put16(f.data + UDP_SOURCE + 2, (uint16_t)i);
		classify(lb, &f, 1, 0);
		assert_int_equal(burst.verdict[0].action, i < count ? MSH_REDIRECT : MSH_DELIVER);
	}
	done(lb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_register),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_neighbors),
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_moved_backend),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_many),
	};

	stage = &msh_stage_lb;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
