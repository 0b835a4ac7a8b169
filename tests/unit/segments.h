/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* TCP segments and other packets for the tests of the connection tracker, each in a heap block of
 * its size, so that the address sanitizer sees each byte that is read behind it. */

#include <stdbool.h>
#include <stdint.h>

#include "track.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

struct segment {
	uint8_t flags;
	uint32_t seq, ack;
	uint16_t window;
	uint32_t payload;    /* bytes; none of them is in the first mbuf segment */
	const char *options; /* in hex; padded to whole words */
	bool more;           /* the first fragment of a datagram */
};

/* Bytes as hex digits say, spaces do not count. Returns how many. */
size_t from_hex(uint8_t *at, const char *hex);

/* Parse an IP packet of which `total` bytes are on the way and `first` are here. The caller calls
 * drop_packet. */
struct msh_packet take_packet(const uint8_t *ip, size_t first, size_t total);
void drop_packet(struct msh_packet *p);

/* IPv4 from 10.0.0.1 port 1000 to 10.0.0.2 port 2000, or back. */
struct msh_packet take_segment(enum msh_track_direction from, struct segment s);

/* A conversation: judge and drop. */
enum msh_track_verdict begin(struct msh_track *t, struct segment s);
enum msh_track_verdict next(struct msh_track *t, enum msh_track_direction from, struct segment s);
