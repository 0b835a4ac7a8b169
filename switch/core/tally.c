/* SPDX-License-Identifier: BSD-3-Clause */
#include "tally.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

struct msh_tally *msh_tallies[MSH_WORKERS_MAX];

/* Control lcore: indices that were given back, and the first that never was given out. */
static uint32_t *spare;
static uint32_t spares, room, fresh = 1;

int
msh_tally_init(unsigned int workers)
{
	for (unsigned int i = 0; i < workers; i++) {
		void *at = mmap(NULL, MSH_TALLIES_MAX * sizeof(struct msh_tally),
			PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (at == MAP_FAILED)
			return -ENOMEM;
		msh_tallies[i] = at;
	}
	return 0;
}

uint32_t
msh_tally_new(void)
{
	if (spares == 0)
		return fresh < MSH_TALLIES_MAX ? fresh++ : 0;
	uint32_t tally = spare[--spares];
	for (unsigned int i = 0; i < MSH_WORKERS_MAX && msh_tallies[i] != NULL; i++)
		msh_tallies[i][tally] = (struct msh_tally){0};
	return tally;
}

void
msh_tally_free(uint32_t tally)
{
	if (tally == 0)
		return;
	if (spares == room) {
		uint32_t more = room == 0 ? 64 : room * 2;
		uint32_t *grown = realloc(spare, more * sizeof(*grown));
		if (grown == NULL)
			return; /* one index less */
		spare = grown;
		room = more;
	}
	spare[spares++] = tally;
}

struct msh_tally
msh_tally_sum(uint32_t tally)
{
	struct msh_tally sum = {0};
	for (unsigned int i = 0; i < MSH_WORKERS_MAX && msh_tallies[i] != NULL; i++) {
		sum.packets += msh_counted(&msh_tallies[i][tally].packets);
		sum.bytes += msh_counted(&msh_tallies[i][tally].bytes);
	}
	return sum;
}
