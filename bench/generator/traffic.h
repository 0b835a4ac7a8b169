/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What the generator sends: frames drawn from flows that a number makes, or from a capture. */

#include <rte_ether.h>
#include <rte_mbuf.h>

#define FRAME_MIN 60 /* bytes without FCS: "64-byte" frames on a wire */
#define FRAME_MAX 9000
#define SIZES_MAX 16

struct frame {
	const uint8_t *bytes;
	uint16_t length;
};

struct traffic {
	uint16_t size[SIZES_MAX]; /* bytes without FCS, taken in turn */
	unsigned int sizes;
	uint32_t flows; /* UDP flows, told apart by source address and port */
	bool random;    /* order of flows; else one after the other */
	/* From a capture instead: its frames in turn, with the MACs of the ports. */
	struct frame *frame;
	uint32_t frames;
	uint8_t *capture;
	/* Where it stands. */
	uint32_t next, next_size;
	uint64_t state;
};

/* Where a sender's packets come from and go to. */
struct route {
	struct rte_ether_addr source, destination;
	rte_be32_t source_ip, destination_ip;
};

/* A stamp in the payload of a packet that measures latency; behind the UDP header. */
struct stamp {
	uint64_t magic, tsc;
} __attribute__((packed));

#define STAMP_MAGIC 0x6d736873776d6b31ULL
#define STAMP_OFFSET 42

/* Sizes as in "64", "64,1518" or "imix" (7:4:1 of 64, 594 and 1518 bytes with FCS). 0 or -1. */
int traffic_sizes(struct traffic *traffic, const char *text);

/* Read the frames of a capture. 0, or -1 with a sentence in *error. */
int traffic_capture(struct traffic *traffic, const char *path, char *error, size_t size);

void traffic_free(struct traffic *traffic);

/* Fill a fresh mbuf with the next frame. */
void traffic_next(struct traffic *traffic, const struct route *route, struct rte_mbuf *packet);
