/* SPDX-License-Identifier: BSD-3-Clause */

/* The flow table beside a naive one that compares all fields. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <rte_eal.h>
#include <string.h>

#include "flow.h"
#include "frames.h"

#define ROOM 65536
#define KNOWN 20000

static struct msh_flow_table *table;
static struct msh_burst burst;
static struct rte_mbuf mbuf[MSH_BURST_MAX];
static struct frame frames[MSH_BURST_MAX];

static int
set_up(void **state)
{
	memset(&burst, 0, sizeof(burst));
	table = msh_flow_create(ROOM);
	return table == NULL;
}

static int
tear_down(void **state)
{
	msh_flow_free(table);
	return 0;
}

static void
put(unsigned int i, const struct frame *frame)
{
	frames[i] = *frame;
	mbuf[i] = frame_mbuf(&frames[i]);
	msh_packet_take(&burst.packet[i], &mbuf[i]);
}

/* All that stages may look at. */
struct fields {
	uint8_t macs[12], addresses[32];
	uint16_t vm, ether_type, tci, sport, dport;
	uint16_t info;
	uint8_t tagged, version, proto, tos, fragment, has_ports, has_info;
};

static struct fields
fields_of(unsigned int i, uint16_t vm)
{
	struct msh_packet p;
	struct fields f;
	msh_packet_parse(&p, &mbuf[i]);
	memset(&f, 0, sizeof(f));
	memcpy(f.macs, frames[i].data, sizeof(f.macs));
	f.vm = vm;
	f.ether_type = p.ether_type;
	f.tci = p.tci;
	f.tagged = p.tagged;
	f.version = p.ip_version;
	f.proto = p.proto;
	f.tos = p.tos;
	f.fragment = p.fragment;
	f.has_ports = p.has_ports;
	f.sport = p.sport;
	f.dport = p.dport;
	if (p.proto != 6 && msh_packet_info(&p, &f.info))
		f.has_info = 1;
	if (p.ip_version == 4)
		memcpy(f.addresses, frames[i].data + p.l3 + 12, 8);
	else if (p.ip_version == 6)
		memcpy(f.addresses, frames[i].data + p.l3 + 8, 32);
	return f;
}

/* One byte of little choice, so that flows that differ in one field alone are common. */
static uint8_t
few(uint8_t a, uint8_t b)
{
	return any(4) == 0 ? b : a;
}

static struct frame
random_frame(void)
{
	struct frame f = {.data = {0x52, 0x54, 0, 0, 0, few(1, 2), 0x52, 0x54, 0, 0, 0, few(1, 2)}};
	unsigned int o = 12;
	for (unsigned int tags = any(4) == 0 ? 1 + any(2) : 0; tags > 0; tags--, o += 4) {
		f.data[o] = 0x81;
		f.data[o + 2] = few(0, 0x20);
		f.data[o + 3] = few(0, 1);
	}
	bool v6 = any(4) == 0;
	memcpy(f.data + o, any(10) == 0 ? "\x08\x06" : v6 ? "\x86\xdd" : "\x08\x00", 2);
	o += 2;
	uint8_t proto = any(8) == 0 ? 1 : few(17, 6);
	f.total = f.first = (uint16_t)(o + 60);
	if (v6) {
		f.data[o] = few(0x60, 0x61);
		f.data[o + 5] = 20;
		f.data[o + 6] = proto;
		f.data[o + 23] = few(1, 2);
		f.data[o + 39] = few(1, 2);
		o += 40;
	} else {
		f.data[o] = any(10) == 0 ? 0x46 : 0x45;
		f.data[o + 1] = few(0, 8);
		f.data[o + 3] = any(10) == 0 ? (uint8_t)any(64) : 40;
		f.data[o + 6] = any(8) == 0 ? few(0x20, 0x40) : 0;
		f.data[o + 7] = any(16) == 0;
		f.data[o + 9] = proto;
		f.data[o + 15] = few(1, 2);
		f.data[o + 19] = few(1, 2);
		o += (f.data[o] & 15u) * 4;
	}
	f.data[o + 1] = (uint8_t)any(4);
	f.data[o + 3] = few(1, 2);
	if (any(20) == 0)
		f.first = (uint16_t)(14 + any(f.total - 13u));
	if (any(20) == 0)
		f.total = f.first;
	return f;
}

/* Look up packet 0; what is new is kept with this verdict. Returns the verdict's mark. */
static uint32_t
mark_of(const struct msh_flow_scope *scope, uint32_t mark, uint32_t now)
{
	if (msh_flow_find(table, scope, &burst, 1, now) == 1)
		return burst.verdict[0].tally[0];
	burst.verdict[0] = (struct msh_verdict){.action = MSH_DELIVER, .tally = {mark}};
	msh_flow_keep(table, scope, &burst, 1, now);
	return mark;
}

static void
test_model(void **state)
{
	static struct fields known[KNOWN];
	uint32_t count = 1, found = 0;
	for (unsigned int n = 0; n < 60000; n++) {
		struct frame f = random_frame();
		const struct msh_flow_scope scope = {.vm = (uint16_t)(1 + any(2)), .generation = 7};
		put(0, &f);
		struct fields fields = fields_of(0, scope.vm);
		uint32_t want = 1;
		while (want < count && memcmp(&known[want], &fields, sizeof(fields)) != 0)
			want++;
		uint32_t got = mark_of(&scope, want, 1);
		assert_int_equal(got, want);
		found += want < count;
		if (want == count) {
			assert_true(count < KNOWN);
			known[count++] = fields;
		}
	}
	assert_true(count > 5000 && found > 20000);
}

/* Packets of a burst find theirs, each its own, known or not. */
static void
test_burst(void **state)
{
	const struct msh_flow_scope scope = {.vm = 1, .generation = 7};
	uint64_t all = UINT32_MAX, even = 0x55555555;
	for (uint8_t i = 0; i < MSH_BURST_MAX; i++) {
		struct frame f = udp_frame(1, i, 1);
		put(i, &f);
		burst.verdict[i] = (struct msh_verdict){.action = MSH_DROP, .tally = {i + 1u}};
	}
	assert_int_equal(msh_flow_find(table, &scope, &burst, all, 1), 0);
	msh_flow_keep(table, &scope, &burst, even, 1);
	memset(burst.verdict, 0, sizeof(burst.verdict));
	assert_int_equal(msh_flow_find(table, &scope, &burst, all, 1), even);
	for (uint32_t i = 0; i < MSH_BURST_MAX; i += 2)
		assert_int_equal(burst.verdict[i].tally[0], i + 1);
	assert_int_equal(msh_flow_count(table, 1), MSH_BURST_MAX / 2);
	assert_int_equal(msh_flow_count(table, 2 + MSH_FLOW_IDLE), 0);
}

static void
test_generation(void **state)
{
	struct frame f = udp_frame(1, 2, 3);
	put(0, &f);
	assert_int_equal(mark_of(&(struct msh_flow_scope){.vm = 1, .generation = 7}, 5, 1), 5);
	assert_int_equal(mark_of(&(struct msh_flow_scope){.vm = 1, .generation = 7}, 6, 1), 5);
	assert_int_equal(mark_of(&(struct msh_flow_scope){.vm = 1, .generation = 8}, 6, 1), 6);
	assert_int_equal(mark_of(&(struct msh_flow_scope){.vm = 1, .generation = 8}, 7, 1), 6);
	assert_int_equal(mark_of(&(struct msh_flow_scope){.vm = 1, .generation = 7}, 7, 1), 7);
	assert_int_equal(msh_flow_count(table, 1), 1); /* each took the place of the one before */
}

static uint32_t
still_known(const struct msh_flow_scope *scope, uint32_t flows, uint32_t now)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < flows; i++) {
		struct frame f = udp_frame(1, (uint8_t)i, (uint8_t)(i >> 8));
		put(0, &f);
		n += msh_flow_find(table, scope, &burst, 1, now) == 1;
	}
	return n;
}

/* New flows, a hundred for each place. */
static void
flood(const struct msh_flow_scope *scope, enum msh_action action, uint32_t now)
{
	for (uint32_t i = 0; i < 100 * ROOM; i++) {
		struct frame f = udp_frame(2, 1, 1);
		memcpy(f.data + UDP_SOURCE, &i, sizeof(i));
		put(0, &f);
		msh_flow_find(table, scope, &burst, 1, now);
		burst.verdict[0] = (struct msh_verdict){.action = (uint8_t)action};
		msh_flow_keep(table, scope, &burst, 1, now);
	}
}

static void
test_flood_of_drops_takes_no_place_in_use(void **state)
{
	const struct msh_flow_scope scope = {.vm = 1, .generation = 7};
	for (uint32_t i = 0; i < 10000; i++) {
		struct frame f = udp_frame(1, (uint8_t)i, (uint8_t)(i >> 8));
		put(0, &f);
		mark_of(&scope, 1, 1);
	}
	uint32_t before = still_known(&scope, 10000, 1);
	assert_true(before > 9990);
	flood(&scope, MSH_DROP, 1);
	assert_int_equal(still_known(&scope, 10000, 1), before);
	assert_true(msh_flow_count(table, 1) > ROOM * 99 / 100);
	/* Later they make room for others. */
	struct frame f = udp_frame(3, 1, 1);
	put(0, &f);
	mark_of(&scope, 9, 2 + MSH_FLOW_IDLE);
	assert_int_equal(mark_of(&scope, 8, 2 + MSH_FLOW_IDLE), 9);
}

/* An entry that one thread writes is whole to another. */
static bool stop;

static void *
write_all(void *argument)
{
	static struct msh_burst mine;
	const struct msh_flow_scope scope = {.vm = 1, .generation = 7};
	msh_packet_take(&mine.packet[0], argument);
	for (uintptr_t n = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); n++) {
		msh_flow_find(table, &scope, &mine, 1, 1);
		mine.verdict[0] =
			(struct msh_verdict){.tally = {(uint32_t)n}, .redirect = (void *)n};
		msh_flow_keep(table, &scope, &mine, 1, 1);
	}
	return NULL;
}

static void
test_two_workers(void **state)
{
	static struct rte_mbuf theirs;
	const struct msh_flow_scope scope = {.vm = 1, .generation = 7};
	const struct msh_verdict *v = &burst.verdict[0];
	struct frame f = udp_frame(1, 1, 1);
	pthread_t thread;
	uint32_t changed = 0, last = 0;
	put(0, &f);
	theirs = mbuf[0];
	stop = false;
	assert_int_equal(pthread_create(&thread, NULL, write_all, &theirs), 0);
	for (uint32_t n = 0; n < 10000000 || changed < 10; n++) {
		if (msh_flow_find(table, &scope, &burst, 1, 1) == 0)
			continue;
		changed += v->tally[0] != last;
		last = v->tally[0];
		if (v->redirect != (void *)(uintptr_t)last)
			fail_msg("torn: %u %p", last, (const void *)v->redirect);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

int
main(int argc, char **argv)
{
	char *eal[] = {argv[0], "--no-huge", "-m", "64", "--no-pci", "--no-shconf",
		"--no-telemetry", "--log-level=error", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_model, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_burst, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_generation, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			test_flood_of_drops_takes_no_place_in_use, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_two_workers, set_up, tear_down),
	};
	if (rte_eal_init(RTE_DIM(eal) - 1, eal) < 0)
		return 1;
	return cmocka_run_group_tests_name("flow table", tests, NULL, NULL);
}
