/* SPDX-License-Identifier: BSD-3-Clause */

/* The firewall stage: each verb and error, versions that live side by side, many filters. Its
 * verdicts are in test_stage_firewall_model.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cowset.h"
#include "stages.h"

extern const struct msh_stage msh_stage_firewall;

/* ---- verbs ---- */

static void
test_register(void **state)
{
	const void *fw = NULL;

	expect(&fw, "R F 52:54:00:00:00 10.0.0.1", MSH_BAD, "52:54:00:00:00 is not a MAC");
	expect(&fw, "R F " MAC_A " 10.0.0.256", MSH_BAD, "10.0.0.256 is not");
	expect(&fw, "R F 01:00:5e:00:00:01 10.0.0.1", MSH_BAD, "group");
	expect(&fw, "R F " MAC_A, MSH_BAD, "usage");
	assert_null(fw);
	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "registered for firewall");
	expect(&fw, "R F " MAC_A " 10.0.0.2", MSH_EXISTS, MAC_A);
	expect(&fw, "R F " MAC_B " 2001:db8::1", MSH_OK, "2001:db8::1");
	assert_roundtrip(fw);
	for (unsigned int i = 2; i < MSH_VM_MACS_MAX; i++) {
		char line[64];
		snprintf(line, sizeof(line), "R F 52:54:00:00:01:%02x 10.0.1.%u", i, i);
		expect(&fw, line, MSH_OK, "");
	}
	expect(&fw, "R F 52:54:00:00:02:00 10.0.0.1", MSH_FULL, "no room");
	done(fw);
}

static void
test_cancel(void **state)
{
	struct rte_ether_addr a, b;
	const void *fw = NULL, *next;

	msh_parse_mac(MAC_A, &a);
	msh_parse_mac(MAC_B, &b);
	next = &a;
	assert_int_equal(stage->cancel(NULL, &a, &next), -ENOENT);
	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	expect(&fw, "A " MAC_A " T 2 d 80", MSH_OK, "");
	assert_int_equal(stage->cancel(fw, &b, &next), -ENOENT);
	expect(&fw, "R F " MAC_B " 10.0.0.2", MSH_OK, "");
	expect(&fw, "A " MAC_B " T 2 d 81", MSH_OK, "");
	assert_int_equal(stage->cancel(fw, &a, &next), 0);
	done(fw);
	fw = next;
	expect(&fw, "T " MAC_A, MSH_NOTFOUND, "not registered for firewall");
	assert_dump(fw, "R F " MAC_B " 10.0.0.2\nA " MAC_B " T 2 d 81\n");
	assert_int_equal(stage->cancel(fw, &b, &next), 0);
	assert_null(next);
	done(fw);
}

static void
test_add_errors(void **state)
{
	static const struct {
		const char *rest, *text;
	} bad[] = {
		{"X 4 s 10.0.0.1", "X is none of the layers"},
		{"i 4 s 10.0.0.1", "i is none of the layers"},
		{"IM 4 s 10.0.0.1", "IM is none of the layers"},
		{"I 16 s 10.0.0.1", "value 16"},
		{"I x s 10.0.0.1", "value x"},
		{"I 4", "value 4 names s, but the command gives no field"},
		{"I 6 s 10.0.0.1", "value 6 names s d, but the command gives s"},
		{"I 4 d 10.0.0.1", "value 4 names s, but the command gives d"},
		{"I 0 p 6", "value 0 names no field, but the command gives p"},
		{"I 15 p 6 t 1 d ::1", "value 15 names s d t p, but the command gives d t p"},
		{"I 4 s 10.0.0.1 s 10.0.0.1", "field s is given more than once"},
		{"I 4 q 10.0.0.1", "q is none of the fields"},
		{"I 4 S 10.0.0.1", "S is none of the fields"},
		{"I 4 s 10.0.0.1 10.0.0.2", "10.0.0.2 is none of the fields"},
		{"I 4 s", "no value given for s"},
		{"I 12 s t 3", "no value given for s"},
		{"I 4 s 10.0.0", "s 10.0.0 is not an IP"},
		{"I 2 d " MAC_A, "d " MAC_A " is not an IP"},
		{"I 6 s 10.0.0.1 d ::1", "different families"},
		{"I 6 s ::1 d 10.0.0.1", "different families"},
		{"I 8 t 256", "t 256 is not a type of service from 0 to 255"},
		{"I 1 p 256", "p 256 is not a protocol"},
		{"I 1 p http", "p http is not a protocol"},
		{"I 1 p arp", "p arp is not a protocol"},
		{"M 4 s 10.0.0.1", "s 10.0.0.1 is not a MAC"},
		{"M 8 t 8", "t 8 is not a priority (802.1p) from 0 to 7"},
		{"M 1 p 0x5ff", "p 0x5ff is not an EtherType"},
		{"M 1 p 65536", "p 65536 is not an EtherType"},
		{"M 1 p tcp", "p tcp is not an EtherType"},
		{"T 4 s 65536", "s 65536 is not a port"},
		{"T 2 d http", "d http is not a port"},
		{"T 8 t -1", "t -1 is not a type of service"},
		{"T 1 p 300", "p 300 is not a protocol"},
	};
	const void *fw = NULL;
	char line[256];

	expect(&fw, "A " MAC_A " I 4 s 10.0.0.1", MSH_NOTFOUND,
		"MAC " MAC_A " is not registered for firewall");
	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	expect(&fw, "A " MAC_B " I 4 s 10.0.0.1", MSH_NOTFOUND,
		"MAC " MAC_B " is not registered for firewall");
	expect(&fw, "A 5254 I 4 s 10.0.0.1", MSH_BAD, "5254 is not a MAC");
	expect(&fw, "A " MAC_A " I", MSH_BAD, "usage");
	for (size_t i = 0; i < RTE_DIM(bad); i++) {
		snprintf(line, sizeof(line), "A " MAC_A " %s", bad[i].rest);
		expect(&fw, line, MSH_BAD, bad[i].text);
	}
	struct lines lines = dump(fw);
	assert_int_equal(lines.count, 1);
	free(lines.text);
	done(fw);
}

static void
test_add(void **state)
{
	static const struct {
		const char *given, *shown;
	} good[] = {
		{"I 4 s 10.0.0.1", "I 4 s 10.0.0.1"},
		{"I 4 s 2001:DB8::0:1", "I 4 s 2001:db8::1"},
		{"I 15 p tcp t 0xff d 10.0.0.2 s 10.0.0.1",
			"I 15 s 10.0.0.1 d 10.0.0.2 t 255 p tcp"},
		{"I 0x1 p 58", "I 1 p ipv6-icmp"},
		{"I 1 p 200", "I 1 p 200"},
		{"M 4 s 52:54:00:AA:bb:cc", "M 4 s 52:54:00:aa:bb:cc"},
		{"M 9 p 0x86DD t 7", "M 9 t 7 p ipv6"},
		{"M 1 p ipv4", "M 1 p ip"},
		{"M 1 p 35020", "M 1 p 0x88cc"},
		{"T 15 s 0 d 65535 t 0 p sctp", "T 15 s 0 d 65535 t 0 p sctp"},
		{"T 1 p icmpv6", "T 1 p ipv6-icmp"},
	};
	const void *fw = NULL;
	char line[256];

	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	for (size_t i = 0; i < RTE_DIM(good); i++) {
		snprintf(line, sizeof(line), "A " MAC_A " %s", good[i].given);
		expect(&fw, line, MSH_OK, good[i].shown);
		expect(&fw, line, MSH_EXISTS, good[i].shown);
		snprintf(line, sizeof(line), "A " MAC_A " %s", good[i].shown);
		expect(&fw, line, MSH_EXISTS, good[i].shown);
	}
	expect(&fw, "A " MAC_A " I 0", MSH_OK,
		"every IP packet that comes for " MAC_A " is dropped");
	expect(&fw, "A " MAC_A " T 0", MSH_OK,
		"every IP packet that comes for " MAC_A " is dropped");
	expect(&fw, "A " MAC_A " M 0", MSH_OK, "every frame that comes for " MAC_A " is dropped");
	expect(&fw, "A " MAC_A " M 0", MSH_EXISTS, "M 0");
	assert_roundtrip(fw);
	done(fw);
}

static void
test_delete(void **state)
{
	const void *fw = NULL;

	expect(&fw, "D " MAC_A " I 4 s", MSH_NOTFOUND, "not registered");
	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	expect(&fw, "D " MAC_A " I 4 s", MSH_NOTFOUND, "no filter of value 4 at I");
	expect(&fw, "D " MAC_A " I 0", MSH_NOTFOUND, "no filter of value 0 at I");
	expect(&fw, "A " MAC_A " I 4 s 10.0.0.1", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 4 s 10.0.0.2", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 4 s ::1", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 2 d 10.0.0.1", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 12 s 10.0.0.1 t 4", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 0", MSH_OK, "");
	expect(&fw, "A " MAC_A " M 4 s " MAC_B, MSH_OK, "");

	expect(&fw, "D " MAC_A " I 4", MSH_BAD, "value 4 names s, but the command gives no field");
	expect(&fw, "D " MAC_A " I 4 d", MSH_BAD, "value 4 names s, but the command gives d");
	expect(&fw, "D " MAC_A " I 12 s 10.0.0.1 t", MSH_BAD, "no value given for t");
	expect(&fw, "D " MAC_A " I 12 s t 4", MSH_BAD, "no value given for s");
	expect(&fw, "D " MAC_A " I 12 s t t", MSH_BAD, "field t is given more than once");
	expect(&fw, "D " MAC_A " I 4 s 10.0.0.300", MSH_BAD, "10.0.0.300");
	expect(&fw, "D " MAC_A " I 4 s 10.0.0.3", MSH_NOTFOUND, "no filter I 4 s 10.0.0.3");
	expect(&fw, "D " MAC_A " I 4 s ::2", MSH_NOTFOUND, "no filter I 4 s ::2");
	expect(&fw, "D " MAC_A " T 4 s 1", MSH_NOTFOUND, "no filter T 4 s 1");

	expect(&fw, "D " MAC_A " I 4 s 10.0.0.1", MSH_OK, "1 filter removed");
	expect(&fw, "D " MAC_A " I 4 s 10.0.0.1", MSH_NOTFOUND, "");
	expect(&fw, "D " MAC_A " I 4 s", MSH_OK, "2 filters removed");
	expect(&fw, "D " MAC_A " I 12 t s", MSH_OK, "1 filter removed");
	expect(&fw, "D " MAC_A " I 0", MSH_OK, "1 filter removed");
	assert_dump(fw, "R F " MAC_A " 10.0.0.1\nA " MAC_A " I 2 d 10.0.0.1\nA " MAC_A
			" M 4 s " MAC_B "\n");
	done(fw);
}

static void
test_status(void **state)
{
	const void *fw = NULL, *before;

	expect(&fw, "I " MAC_A, MSH_NOTFOUND, "MAC " MAC_A " is not registered for firewall");
	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	expect(&fw, "M " MAC_A, MSH_OK, "no filters at M");
	assert_true(json_is_array(answer.data) && json_array_size(answer.data) == 0);
	expect(&fw, "A " MAC_A " T 9 t 4 p tcp", MSH_OK, "");
	expect(&fw, "A " MAC_A " T 6 s 1 d 2", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 4 s ::1", MSH_OK, "");
	before = fw;
	expect(&fw, "T " MAC_A, MSH_OK, "");
	assert_ptr_equal(fw, before);
	char *text = json_dumps(answer.data, JSON_COMPACT);
	assert_string_equal(text,
		"[{\"mac\":\"" MAC_A
		"\",\"ip\":\"10.0.0.1\",\"layer\":\"T\",\"value\":9,\"s\":\"-\","
		"\"d\":\"-\",\"t\":\"4\",\"p\":\"tcp\",\"packets\":0,\"bytes\":0},"
		"{\"mac\":\"" MAC_A
		"\",\"ip\":\"10.0.0.1\",\"layer\":\"T\",\"value\":6,\"s\":\"1\","
		"\"d\":\"2\",\"t\":\"-\",\"p\":\"-\",\"packets\":0,\"bytes\":0}]");
	free(text);
	json_t *rows = json_array();
	stage->show(fw, rows);
	text = json_dumps(rows, JSON_COMPACT);
	assert_string_equal(text,
		"[{\"stage\":\"firewall\",\"mac\":\"" MAC_A
		"\",\"ip\":\"10.0.0.1\",\"filters\":3,\"rules\":0,\"packets\":0,\"bytes\":0}]");
	free(text);
	json_decref(rows);
	done(fw);
}

/* ---- packets ---- */

static void
test_only_the_mask(void **state)
{
	struct frame frame = udp_frame(1, 1, 2);
	const void *fw = NULL;
	struct msh_burst two = {.count = 2};
	struct rte_mbuf m = frame_mbuf(&frame);

	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	expect(&fw, "A " MAC_A " M 0", MSH_OK, "");
	for (unsigned int i = 0; i < 2; i++)
		msh_packet_parse(&two.packet[i], &m);
	stage->classify(fw, MSH_IN, &two, 2);
	assert_int_equal(two.verdict[0].action, MSH_DELIVER);
	assert_int_equal(two.verdict[1].action, MSH_DROP);
	done(fw);
}

/* ---- versions, and many filters ---- */

/* Is this datagram dropped? */
static bool
port_drops(const void *fw, uint16_t port, unsigned int worker)
{
	struct frame f = udp_frame(1, 1, 2);

	put16(f.data + UDP_DPORT, port);
	return classify_drops(fw, &f, 1, worker, MSH_DROP_FIREWALL) != 0;
}

#define VERSIONS 200

/* Version i has filters for ports 0 to i - 1. */
static void
assert_version(const void *fw, unsigned int filters)
{
	for (unsigned int port = 0; port < VERSIONS; port += 13)
		assert_int_equal(port_drops(fw, (uint16_t)port, 0), port < filters);
}

static void
test_versions(void **state)
{
	for (unsigned int order = 0; order < 3; order++) {
		const void *version[VERSIONS];
		char line[64];
		assert_int_equal(apply(NULL, "R F " MAC_A " 10.0.0.1", &version[0]), MSH_OK);
		for (unsigned int i = 1; i < VERSIONS; i++) {
			snprintf(line, sizeof(line), "A " MAC_A " T 2 d %u", i - 1);
			assert_int_equal(apply(version[i - 1], line, &version[i]), MSH_OK);
		}
		for (unsigned int i = 0; i < VERSIONS; i++) {
			/* oldest first, newest first, and 7 is prime to the number of versions */
			unsigned int at = order == 0   ? i
					  : order == 1 ? VERSIONS - 1 - i
						       : i * 7 % VERSIONS;
			assert_version(version[at], at);
			stage->destroy(version[at]);
		}
	}
	msh_answer_clear(&answer);
}

static void
test_many(void **state)
{
	const unsigned int count = 10000;
	double start = seconds();
	const void *fw = NULL;
	char line[128];

	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	for (unsigned int i = 0; i < count; i++) {
		snprintf(line, sizeof(line), "A " MAC_A " T 7 s 1000 d %u p udp", i);
		assert_int_equal(run(&fw, line), MSH_OK);
	}
	printf("# %u filters one by one: %.3f s\n", count, seconds() - start);
	assert_true(seconds() - start < 20); /* sanitizers, valgrind, shared hosts; else 0.1 s */
	for (unsigned int i = 0; i < count + 1000; i++)
		assert_int_equal(port_drops(fw, (uint16_t)i, i % MSH_WORKERS_MAX), i < count);
	struct lines lines = dump(fw);
	assert_int_equal(lines.count, count + 1);
	free(lines.text);
	for (unsigned int i = 0; i < count; i += 2) {
		snprintf(line, sizeof(line), "D " MAC_A " T 7 s 1000 d %u p udp", i);
		assert_int_equal(run(&fw, line), MSH_OK);
	}
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(port_drops(fw, (uint16_t)i, 0), i % 2);
	expect(&fw, "D " MAC_A " T 7 s d p", MSH_OK, "5000 filters removed");
	done(fw);
}

static unsigned int released;

static void
count_release(struct msh_object *object)
{
	released++;
}

/* Keys whose hashes are equal are still told apart; and when too many are, adding fails and keeps
 * what is there. */
static void
test_equal_hashes(void **state)
{
	static struct msh_object object[MSH_PAGE_OBJECTS + 1];
	struct msh_set *set = NULL, *next;

	for (unsigned int i = 0; i <= MSH_PAGE_OBJECTS; i++)
		object[i] = (struct msh_object){
			.key = {1, i}, .hash = 77, .refs = 1, .release = count_release};
	for (unsigned int i = 0; i < MSH_PAGE_OBJECTS; i++) {
		next = msh_set_add(set, &object[i]);
		assert_non_null(next);
		msh_set_unref(set);
		set = next;
	}
	assert_null(msh_set_add(set, &object[MSH_PAGE_OBJECTS]));
	for (unsigned int i = 0; i <= MSH_PAGE_OBJECTS; i++)
		assert_ptr_equal(msh_set_find(set, 77, object[i].key, 2),
			i < MSH_PAGE_OBJECTS ? &object[i] : NULL);
	next = msh_set_remove(set, &object[5]);
	assert_null(msh_set_find(next, 77, object[5].key, 2));
	assert_ptr_equal(msh_set_find(set, 77, object[5].key, 2), &object[5]);
	msh_set_unref(set);
	msh_set_unref(next);
	for (unsigned int i = 0; i <= MSH_PAGE_OBJECTS; i++)
		assert_int_equal(object[i].refs, 1);
	assert_int_equal(released, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_add_errors),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_delete),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_only_the_mask),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_equal_hashes),
	};

	stage = &msh_stage_firewall;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
