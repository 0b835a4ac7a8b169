/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Which of its queues a worker looks at in a turn: those that had packets of late in each, the
 * others in rotation, so that hundreds of idle guests cost the busy ones little. */

#include "config.h"

#define MSH_POLLS_MAX (MSH_PORTS_MAX * MSH_QUEUES_MAX)

/* A worker's own. Indices are into the topology's list for it. */
struct msh_poller {
	uint64_t version; /* of the topology that the lists are of */
	uint16_t busy_count, idle_count;
	uint16_t next; /* of the idle ones, to be looked at next */
	uint16_t busy[MSH_POLLS_MAX];
	uint16_t idle[MSH_POLLS_MAX];
	uint8_t empty[MSH_POLLS_MAX]; /* looks in a row at a busy one that found nothing */
};

struct msh_worker;

/* One turn. Returns the number of packets. */
uint32_t msh_poll_turn(
	struct msh_poller *poller, struct msh_worker *worker, const struct msh_config *config);
