/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* DPDK for unit tests: a little memory, no hugepages, nothing shared with other processes. */

#include <rte_debug.h>
#include <rte_eal.h>

static inline void
start_eal(void)
{
	char name[] = "test", *argv[] = {name, "--no-huge", "-m", "64", "--no-pci", "--no-shconf",
				      "--no-telemetry", "-l", "0", "--log-level=error", NULL};
	if (rte_eal_init((int)(sizeof(argv) / sizeof(argv[0])) - 1, argv) < 0)
		rte_panic("DPDK does not start\n");
}
