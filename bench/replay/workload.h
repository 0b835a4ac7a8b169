/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What the guests of a replay send, and what should come of it. */

#include <stdbool.h>
#include <stdint.h>

#define GUESTS 3
#define FRAME_BYTES 60 /* without FCS */

/* Addresses of guest g: 02:00:00:00:HH:HH with the host's number in the middle and g + 1 at the
 * end, 10.0.0.(g + 1). */
#define GUEST_MAC "02:00:00:00:00:0%u"

struct workload {
	const char *name;
	uint16_t size;          /* bytes of each frame, with FCS */
	uint16_t hosts;         /* MACs behind each guest */
	uint16_t flows;         /* that the packets are of, in turn */
	const char *commands;   /* of an operator, before; lines */
	uint16_t filters;       /* of guest 1, added with them */
	bool leaves_sum;        /* to the switch: guest 0 computes no checksum */
	bool takes_sum;         /* guest 1 takes packets without one */
	unsigned int senders;   /* guests that send each turn, by bits */
	uint8_t expect[GUESTS]; /* packets that each guest gets for each one of a sender */
	/* Write the nth frame of a sender. */
	void (*write)(
		const struct workload *workload, unsigned int sender, uint64_t n, uint8_t *frame);
};

extern const struct workload workloads[];
extern const unsigned int workload_count;

/* The shortest frame, from guest to guest. */
void workload_frame(unsigned int from, unsigned int to, uint8_t *frame);

/* The nth command that adds a filter. */
void workload_filter(unsigned int n, char *line, uint64_t size);

/* A host's broadcast, by which it is learned; an ARP answer, by which backends are found. */
void workload_announce(unsigned int guest, unsigned int host, uint8_t *frame);
