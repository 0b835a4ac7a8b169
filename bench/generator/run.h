/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* One run: routes, traffic, a rate, a time; and what came of it. */

#include "histogram.h"
#include "traffic.h"

#define PORTS_MAX 32
#define ROUTES_MAX 64

struct run_route {
	uint16_t from, to; /* ports */
	struct route route;
};

struct run {
	struct traffic traffic;
	struct run_route route[ROUTES_MAX];
	unsigned int routes;
	double rate;         /* packets a second of all routes; 0: as many as are taken */
	unsigned int ms;     /* counted */
	unsigned int warmup; /* ms before that */
	unsigned int drain;  /* ms: nothing for so long, and no straggler comes any more */
	bool latency;        /* stamp packets */
};

struct result {
	double seconds;
	uint64_t sent, received, bytes;  /* within the counted time */
	uint64_t all_sent, all_received; /* from the first packet to the last straggler */
	uint64_t refused;                /* offered, and not taken by the ring, within the time */
	struct histogram latency;        /* TSC cycles */
	struct histogram undisturbed;    /* of packets that were not on their way in a gap */
	/* Gaps, in which the generator had no time; TSC cycles, within the time. */
	uint64_t gaps, gap_cycles, gap_longest;
	/* The longest time, gaps aside, in which packets were on their way and none came. */
	uint64_t silence;
};

/* Returns 0, or -1 when packets are short. Empties the rings before and after. */
int run_traffic(struct run *run, struct rte_mempool *pool, struct result *result);
