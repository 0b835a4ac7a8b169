/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What the generator sends: frames drawn from flows that a number makes, from a list of headers, or
 * from captures. */

#include <rte_ether.h>
#include <rte_mbuf.h>

#define FRAME_MIN 60 /* bytes without FCS: "64-byte" frames on a wire */
#define FRAME_MAX 9000
#define SIZES_MAX 16

struct frame {
	size_t offset; /* into the captured bytes */
	uint16_t length;
};

/* What tells packets apart for a rule set. */
struct header {
	rte_be32_t source, destination;
	rte_be16_t source_port, destination_port;
	uint8_t proto;
};

struct traffic {
	uint16_t size[SIZES_MAX]; /* bytes without FCS, taken in turn */
	unsigned int sizes;
	uint32_t flows; /* UDP flows, told apart by source address and port */
	bool random;    /* order of flows; else one after the other */
	/* From captures instead: their frames, with the MACs of the ports. */
	struct frame *frame;
	uint32_t frames, frame_slots;
	uint8_t *capture;
	size_t captured, capture_room; /* bytes */
	/* Headers of a list, in place of those that a flow's number makes. */
	struct header *header;
	uint32_t headers;
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

/* Add the frames of a capture. 0, or -1 with a sentence in *error. */
int traffic_capture(struct traffic *traffic, const char *path, char *error, size_t size);

/* Read headers: lines "PROTOCOL SOURCE PORT DESTINATION PORT", IPv4 and numbers. 0, or -1 with a
 * sentence in *error. */
int traffic_headers(struct traffic *traffic, const char *path, char *error, size_t size);

void traffic_free(struct traffic *traffic);

/* Fill a fresh mbuf with the next frame. */
void traffic_next(struct traffic *traffic, const struct route *route, struct rte_mbuf *packet);
