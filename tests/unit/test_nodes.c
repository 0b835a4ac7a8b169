/* SPDX-License-Identifier: BSD-3-Clause */

/* Which worker a queue gets, on machines with invented NUMA nodes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nodes.h"

static struct msh_datapath dp; /* large: not on the stack */

static void
make_workers(const int *node, unsigned int count)
{
	dp.worker_count = count;
	for (unsigned int w = 0; w < count; w++) {
		dp.worker[w].node = node[w];
		dp.worker[w].pool = (struct rte_mempool *)(uintptr_t)(0x1000 + node[w]);
	}
}

#define MAKE_WORKERS(...) \
	make_workers((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))
#define PICK(node, ...) msh_node_pick(&dp, node, (const double[]){__VA_ARGS__})

static void
test_one_node(void **state)
{
	MAKE_WORKERS(0, 0, 0);
	assert_int_equal(PICK(0, 1, 1, 1), 0);
	assert_int_equal(PICK(0, 2, 1, 1), 1);
	assert_int_equal(PICK(-1, 3, 2, 1), 2);
}

static void
test_home_first(void **state)
{
	MAKE_WORKERS(0, 1, 0, 1);
	assert_int_equal(PICK(0, 9, 0, 8, 0), 2);
	assert_int_equal(PICK(1, 0, 9, 0, 8), 3);
	assert_int_equal(PICK(1, 0, 8, 0, 8), 1);
}

static void
test_else_any(void **state)
{
	MAKE_WORKERS(0, 1, 3);
	assert_int_equal(PICK(2, 5, 4, 6), 1);
	assert_int_equal(PICK(-1, 5, 4, 3), 2);
}

/* A lcore without an affinity to one node is at home nowhere. */
static void
test_unknown_workers(void **state)
{
	MAKE_WORKERS(-1, 0);
	assert_int_equal(PICK(0, 0, 9), 1);
	assert_int_equal(PICK(1, 1, 9), 0);
}

static void
test_pools(void **state)
{
	MAKE_WORKERS(1, 0, 1);
	assert_ptr_equal(msh_node_pool(&dp, 0), dp.worker[1].pool);
	assert_ptr_equal(msh_node_pool(&dp, 1), dp.worker[0].pool);
	assert_ptr_equal(msh_node_pool(&dp, 7), dp.worker[0].pool);
	assert_ptr_equal(msh_node_pool(&dp, -1), dp.worker[0].pool);
}

static void
test_address(void **state)
{
	static char page[4096];
	assert_true(msh_node_of(page) >= -1);
	assert_int_equal(msh_node_of(NULL), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_node),
		cmocka_unit_test(test_home_first),
		cmocka_unit_test(test_else_any),
		cmocka_unit_test(test_unknown_workers),
		cmocka_unit_test(test_pools),
		cmocka_unit_test(test_address),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
