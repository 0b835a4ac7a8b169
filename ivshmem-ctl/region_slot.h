/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The text slot of a region: "@command@" in, one answer out. Private to ivshmem-ctl. */

#include "region.h"
#include "region_map.h"

struct msh_slot {
	struct msh_map *map;
	struct msh_region_counters *counters;
	bool seen;         /* `copy` is what the last look found, and began with a mark */
	uint64_t since_ns; /* when these bytes were first seen */
	uint8_t copy[MSH_WIRE_SLOT_SIZE];
};

/* True: *command is filled. The slot is not to be looked at again before it is answered. */
bool msh_slot_take(struct msh_slot *slot, uint64_t now_ns, struct msh_region_command *command);

/* Write the answer in place of the command. */
void msh_slot_answer(struct msh_slot *slot, const struct msh_answer *answer);
