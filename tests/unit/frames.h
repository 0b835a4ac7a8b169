/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Frames as bytes, and the random numbers that they are made of. */

#include <rte_mbuf.h>
#include <stdint.h>

struct frame {
	uint8_t data[192];
	uint16_t first, total; /* bytes in the first segment, and in all */
};

/* From 0 to below - 1; the same sequence in each run. */
uint32_t any(uint32_t below);

void put16(uint8_t *at, uint16_t value);

/* The frame as the only segment that is there. */
struct rte_mbuf frame_mbuf(const struct frame *frame);

/* UDP over IPv4 without options, TTL 64, 46 bytes, to 52:54:00:00:00:mac, from 10.0.0.source port
 * 1000 to 10.0.0.destination port 0. */
struct frame udp_frame(uint8_t mac, uint8_t source, uint8_t destination);

/* Where its fields lie. */
enum { UDP_TTL = 22, UDP_SOURCE = 26, UDP_DESTINATION = 30, UDP_DPORT = 36 };
