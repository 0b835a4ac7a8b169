/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <rte_common.h>
#include <stdint.h>

#include "counter.h"

/* Counters of one worker, on a line of their own. */
struct msh_tally {
	uint64_t packets, bytes;
} __rte_cache_aligned;
