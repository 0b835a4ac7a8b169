/* SPDX-License-Identifier: BSD-3-Clause */

/* The forwarding table: what was learned is found, pins hold, age and flush forget, threads do not
 * harm. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>

#include "eal.h"
#include "fdb.h"

static uint64_t
key_of(uint32_t n, uint16_t vlan)
{
	struct rte_ether_addr mac = {{0x52, 0x54, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
		(uint8_t)(n >> 8), (uint8_t)n}};
	return msh_fdb_key(&mac, vlan);
}

static int
setup(void **state)
{
	*state = msh_fdb_create();
	return *state == NULL;
}

static int
teardown(void **state)
{
	msh_fdb_free(*state);
	return 0;
}

static void
test_learn_and_move(void **state)
{
	assert_int_equal(msh_fdb_lookup(*state, key_of(1, 0)), 0);
	assert_true(msh_fdb_learn(*state, key_of(1, 0), 7, 0, 1));
	assert_int_equal(msh_fdb_lookup(*state, key_of(1, 0)), 7);
	assert_int_equal(msh_fdb_lookup(*state, key_of(1, 5)), 0); /* another VLAN */
	assert_true(msh_fdb_learn(*state, key_of(1, 0), 9, 0, 2));
	assert_int_equal(msh_fdb_lookup(*state, key_of(1, 0)), 9);
}

static void
test_pin(void **state)
{
	assert_true(msh_fdb_learn(*state, key_of(1, 0), 7, 0, 1));
	assert_int_equal(msh_fdb_pin(*state, key_of(1, 0), 3), 0);
	assert_int_equal(msh_fdb_pin(*state, key_of(1, 0), 4), -EEXIST);
	assert_false(msh_fdb_learn(*state, key_of(1, 0), 7, 0, 2));
	assert_true(msh_fdb_learn(*state, key_of(1, 0), 3, 0, 2));
	assert_int_equal(msh_fdb_lookup(*state, key_of(1, 0)), 3);
	msh_fdb_age(*state, 100000, MSH_FDB_BUCKETS);
	msh_fdb_flush(*state, 3);
	assert_int_equal(msh_fdb_lookup(*state, key_of(1, 0)), 3);
	msh_fdb_unpin(*state, key_of(1, 0));
	assert_int_equal(msh_fdb_lookup(*state, key_of(1, 0)), 0);
}

static void
test_age(void **state)
{
	msh_fdb_learn(*state, key_of(1, 0), 1, 0, 10);
	msh_fdb_learn(*state, key_of(2, 0), 1, 0, 10);
	msh_fdb_learn(*state, key_of(2, 0), 1, 0, 200); /* heard again */
	msh_fdb_age(*state, 10 + MSH_FDB_AGE, MSH_FDB_BUCKETS);
	assert_int_equal(msh_fdb_lookup(*state, key_of(1, 0)), 1);
	msh_fdb_age(*state, 11 + MSH_FDB_AGE, MSH_FDB_BUCKETS);
	assert_int_equal(msh_fdb_lookup(*state, key_of(1, 0)), 0);
	assert_int_equal(msh_fdb_lookup(*state, key_of(2, 0)), 1);
}

static void
test_flush(void **state)
{
	for (uint32_t i = 1; i <= 1000; i++)
		msh_fdb_learn(*state, key_of(i, 0), (uint16_t)(1 + i % 2), 0, 1);
	msh_fdb_flush(*state, 1);
	for (uint32_t i = 1; i <= 1000; i++)
		assert_true(msh_fdb_lookup(*state, key_of(i, 0)) == (i % 2 ? 2 : 0));
}

/* A flood of made-up MACs costs the flood, not the pinned ones; the table never answers wrongly. */
static void
test_flood_of_macs(void **state)
{
	uint32_t found = 0;
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(msh_fdb_pin(*state, key_of(0x1000000 + i, 0), 5), 0);
	for (uint32_t i = 0; i < 200000; i++)
		msh_fdb_learn(*state, key_of(i, 0), 6, 0, 1);
	for (uint32_t i = 0; i < 200000; i++) {
		uint16_t port = msh_fdb_lookup(*state, key_of(i, 0));
		assert_true(port == 0 || port == 6);
		found += port == 6;
	}
	assert_true(found > 20000 && found <= MSH_FDB_BUCKETS * 4);
	for (uint32_t i = 0; i < 100; i++)
		assert_int_equal(msh_fdb_lookup(*state, key_of(0x1000000 + i, 0)), 5);
}

static void
test_next_lists_all(void **state)
{
	struct msh_fdb_entry e;
	uint32_t cursor = 0, n = 0;
	for (uint32_t i = 1; i <= 300; i++)
		msh_fdb_learn(*state, key_of(i, 9), 4, 0, 1);
	while (msh_fdb_next(*state, &cursor, 11, &e)) {
		n++;
		assert_int_equal(e.vlan, 9);
		assert_int_equal(e.port, 4);
		assert_int_equal(e.age, 10);
		assert_false(e.pinned);
	}
	assert_int_equal(n, 300);
}

struct racer {
	struct msh_fdb *fdb;
	uint16_t port;
	uint64_t wrong;
};

/* Every MAC n is only ever behind ports n % 8 + 1 and n % 8 + 9. */
static void *
race(void *argument)
{
	struct racer *r = argument;
	uint32_t n = r->port;
	for (unsigned int i = 0; i < 1000000; i++) {
		n = n * 1664525u + 1013904223u;
		uint32_t mac = (n >> 8) % 60000;
		uint16_t base = (uint16_t)(mac % 8 + 1);
		msh_fdb_learn(r->fdb, key_of(mac, 0), (uint16_t)(base + (r->port ? 8 : 0)), 0,
			i / 100000);
		uint16_t port = msh_fdb_lookup(r->fdb, key_of(mac, 0));
		r->wrong += port != 0 && port != base && port != base + 8;
	}
	return NULL;
}

static void
test_two_workers_race(void **state)
{
	struct racer a = {*state, 0, 0}, b = {*state, 1, 0};
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, race, &a), 0);
	race(&b);
	pthread_join(thread, NULL);
	assert_int_equal(a.wrong + b.wrong, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_learn_and_move, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pin, setup, teardown),
		cmocka_unit_test_setup_teardown(test_age, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flush, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood_of_macs, setup, teardown),
		cmocka_unit_test_setup_teardown(test_next_lists_all, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_workers_race, setup, teardown),
	};
	start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
