/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Packets and bytes of a rule, counted by each worker in an array of its own, so that no two
 * workers write to one cache line. A rule holds the index of its tally; so does whatever remembers
 * that the rule decided. */

#include <stdint.h>

#include "bounds.h"
#include "counter.h"

#define MSH_TALLIES_MAX (UINT32_C(1) << 22) /* index 0 is none */

struct msh_tally {
	uint64_t packets, bytes;
};

/* By worker; the worker writes, the control lcore reads. */
extern struct msh_tally *msh_tallies[MSH_WORKERS_MAX];

/* Once, before any worker runs. Memory is taken as tallies are used. 0 or -ENOMEM. */
int msh_tally_init(unsigned int workers);

/* Index of an unused tally, at zero, or 0 when there is none. Control lcore. */
uint32_t msh_tally_new(void);
/* No worker counts by it any more; 0 is fine. Control lcore. */
void msh_tally_free(uint32_t tally);
/* Over all workers. Control lcore. */
struct msh_tally msh_tally_sum(uint32_t tally);

static inline void
msh_tally_add(unsigned int worker, uint32_t tally, uint64_t bytes)
{
	struct msh_tally *t = &msh_tallies[worker][tally];
	msh_count(&t->packets, 1);
	msh_count(&t->bytes, bytes);
}
