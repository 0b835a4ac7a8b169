/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <rte_common.h>
#include <stdint.h>

/* Counters of one worker, on a line of their own. That worker writes, the control lcore reads; a
 * relaxed store is all that one writer needs. */
struct msh_tally {
	uint64_t packets, bytes;
} __rte_cache_aligned;

static inline void
msh_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline uint64_t
msh_counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
