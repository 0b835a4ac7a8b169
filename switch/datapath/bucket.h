/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A token bucket that holds a tenth of a second's worth, of one worker. */

#include <rte_common.h>
#include <rte_cycles.h>
#include <stdbool.h>

struct msh_bucket {
	uint64_t level, filled; /* cycles of the TSC; time when it was last filled */
};

/* Whether one more may pass of `limit` a second; hz is the TSC's. */
static inline bool
msh_bucket_take(struct msh_bucket *b, uint64_t hz, uint32_t limit)
{
	uint64_t cost = hz / limit, now = rte_rdtsc();
	uint64_t most = RTE_MAX(hz / 10, cost);
	/* Level: cycles' worth of time not used yet; a packet takes its share. */
	b->level = RTE_MIN(b->level + (now - b->filled), most);
	b->filled = now;
	if (b->level < cost)
		return false;
	b->level -= cost;
	return true;
}
