/* SPDX-License-Identifier: BSD-3-Clause */

/* The connection table: both directions are one, VMs are apart, and what happens when it is full.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <rte_eal.h>
#include <string.h>

#include "conn.h"
#include "frames.h"

#define ROOM 4096
#define PART (ROOM / 4) /* that one VM may have */
#define UDP_LENGTH 38

static struct msh_conn_table *table;
static struct msh_burst burst;
static struct rte_mbuf mbuf;
static struct frame frame;
static uint32_t now;

static int
set_up(void **state)
{
	now = 1000;
	table = msh_conn_create(ROOM);
	return table == NULL;
}

static int
tear_down(void **state)
{
	msh_conn_free(table);
	return 0;
}

/* A datagram of a flow, or of its answer, becomes packet 0. */
static void
put(uint32_t flow, bool answer)
{
	const uint8_t server[4] = {10, 1, 0, 1};
	frame = udp_frame(1, 0, 0);
	put16(frame.data + UDP_LENGTH, 12);
	memcpy(frame.data + (answer ? UDP_DESTINATION : UDP_SOURCE), &flow, sizeof(flow));
	memcpy(frame.data + (answer ? UDP_SOURCE : UDP_DESTINATION), server, sizeof(server));
	put16(frame.data + UDP_DESTINATION + 4, answer ? 53 : 1000);
	put16(frame.data + UDP_DESTINATION + 6, answer ? 1000 : 53);
	mbuf = frame_mbuf(&frame);
	msh_packet_parse(&burst.packet[0], &mbuf);
}

static enum msh_track_verdict
judge(uint16_t vm, uint32_t flow, bool answer, bool let_through)
{
	const struct msh_conn_scope scope = {.vm = vm, .epoch = 1};
	put(flow, answer);
	msh_conn_judge(table, &scope, &burst, 1, now);
	if (let_through)
		msh_conn_confirm(table, &scope, &burst, 1, now);
	return burst.state[0];
}

/* So many that were asked, answered, and asked again later: a stream, no mere probe. */
static void
make_assured(uint16_t vm, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		assert_int_equal(judge(vm, i, false, true), MSH_TRACK_NEW);
		assert_int_equal(judge(vm, i, true, true), MSH_TRACK_ESTABLISHED);
	}
	now += 3;
	for (uint32_t i = first; i < first + count; i++)
		judge(vm, i, false, true);
}

static uint32_t
established(uint16_t vm, uint32_t first, uint32_t count)
{
	uint32_t n = 0;
	for (uint32_t i = first; i < first + count; i++)
		n += judge(vm, i, true, false) == MSH_TRACK_ESTABLISHED;
	return n;
}

static void
test_both_directions(void **state)
{
	assert_int_equal(judge(1, 7, false, false), MSH_TRACK_NEW);
	assert_int_equal(judge(1, 7, true, false), MSH_TRACK_NEW); /* it was not let through */
	make_assured(1, 7, 1);
	assert_int_equal(judge(2, 7, true, false), MSH_TRACK_NEW); /* another VM's */
	const struct msh_conn_scope later = {.vm = 1, .epoch = 2};
	put(7, true);
	msh_conn_judge(table, &later, &burst, 1, now);
	assert_int_equal(burst.state[0], MSH_TRACK_NEW);
	assert_int_equal(msh_conn_count(table, 1), 1);
	assert_int_equal(msh_conn_count(table, 2), 0);
}

static void
test_several_in_a_burst(void **state)
{
	const struct msh_conn_scope scope = {.vm = 1, .epoch = 1};
	put(7, false);
	burst.packet[1] = burst.packet[2] = burst.packet[0];
	msh_conn_judge(table, &scope, &burst, 7, now);
	msh_conn_confirm(table, &scope, &burst, 7, now);
	assert_int_equal(burst.state[2], MSH_TRACK_NEW);
	assert_int_equal(msh_conn_count(table, 1), 1);
}

/* Without a packet for their time they are over: found out by the next packet, or by the sweep. */
static void
test_time(void **state)
{
	const uint32_t limit = msh_track_timeouts_default.udp;
	assert_int_equal(judge(1, 1, false, true), MSH_TRACK_NEW);
	assert_int_equal(judge(1, 2, false, true), MSH_TRACK_NEW);
	now += limit - 1;
	assert_int_equal(judge(1, 1, true, true), MSH_TRACK_ESTABLISHED); /* lives on */
	now++;
	assert_int_equal(judge(1, 2, true, false), MSH_TRACK_NEW);
	assert_int_equal(msh_conn_count(table, 1), 1);
	now += limit + msh_track_timeouts_default.udp_stream;
	for (unsigned int i = 0; i < MSH_CONN_SWEEP; i++)
		msh_conn_sweep(table, now);
	assert_int_equal(msh_conn_count(table, 1), 0);
	make_assured(1, 1, 1);
}

/* A flood of new connections of one VM: its part of the table fills, those that were answered stay,
 * and another VM notices nothing. */
static void
test_flood(void **state)
{
	make_assured(1, 0, PART / 2);
	make_assured(2, 0, PART / 2);
	uint32_t mine = established(1, 0, PART / 2), theirs = established(2, 0, PART / 2);
	assert_true(mine > PART * 49 / 100 && theirs > PART * 49 / 100);
	for (uint32_t i = 0; i < 100 * ROOM; i++) {
		judge(1, 1000000 + i, false, true);
		assert_true(msh_conn_count(table, 1) <= PART);
	}
	assert_true(msh_conn_count(table, 1) > PART * 9 / 10);
	assert_int_equal(established(1, 0, PART / 2), mine);
	assert_int_equal(established(2, 0, PART / 2), theirs);
	make_assured(2, 5000, PART / 4);
	assert_true(established(2, 5000, PART / 4) > PART * 24 / 100);
}

/* A VM whose part is full keeps what is in use; when that is over, there is room for more. */
static void
test_full(void **state)
{
	make_assured(1, 0, PART * 8 / 10);
	for (uint32_t i = PART; i < 3 * PART; i++)
		judge(1, i, false, true);
	uint32_t made = established(1, 0, PART * 8 / 10);
	assert_true(made > PART * 79 / 100);
	assert_true(msh_conn_count(table, 1) > PART * 99 / 100 && msh_conn_count(table, 1) <= PART);
	now += msh_track_timeouts_default.udp_stream + 1;
	for (unsigned int i = 0; i < MSH_CONN_SWEEP; i++)
		msh_conn_sweep(table, now);
	assert_int_equal(msh_conn_count(table, 1), 0);
	make_assured(1, 10000, PART / 2);
}

int
main(int argc, char **argv)
{
	char *eal[] = {argv[0], "--no-huge", "-m", "64", "--no-pci", "--no-shconf",
		"--no-telemetry", "--log-level=error", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_directions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_several_in_a_burst, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
	};
	if (rte_eal_init(RTE_DIM(eal) - 1, eal) < 0)
		return 1;
	return cmocka_run_group_tests_name("connection table", tests, NULL, NULL);
}
