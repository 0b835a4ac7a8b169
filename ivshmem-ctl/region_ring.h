/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The command ring and the event ring of a region. Private to ivshmem-ctl. */

#include "region.h"
#include "region_map.h"

struct msh_ring {
	struct msh_map *map;
	struct msh_region_counters *counters;
	uint32_t command_offset, command_size;
	uint32_t event_offset, event_size;

	/* Ours: stored to the region for the guest to read, never read back. */
	uint32_t command_tail;
	uint32_t event_head;

	uint32_t event_tail; /* the guest's last good one: between its predecessor and event_head */
	uint32_t bad_tail;   /* the bad one that was counted last, if tail_is_bad */
	bool tail_is_bad;

	bool answer_due; /* room for the largest answer is kept free in the event ring */
};

/* Lay out both rings for the map's size, and store zero to all indices. */
void msh_ring_init(
	struct msh_ring *ring, struct msh_map *map, struct msh_region_counters *counters);

/* True: *command is filled, and room for its answer is kept. */
bool msh_ring_take(struct msh_ring *ring, struct msh_region_command *command);

/* Answer the command taken last. */
void msh_ring_answer(struct msh_ring *ring, uint64_t cookie, const struct msh_answer *answer);

/* Sent, or lost for want of room; counted. */
void msh_ring_event(struct msh_ring *ring, const char *text);
