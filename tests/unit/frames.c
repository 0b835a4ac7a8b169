/* SPDX-License-Identifier: BSD-3-Clause */

#include <string.h>

#include "frames.h"

uint32_t
any(uint32_t below)
{
	static uint64_t seed = 0x9e3779b97f4a7c15;

	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

void
put16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

struct rte_mbuf
frame_mbuf(const struct frame *frame)
{
	return (struct rte_mbuf){.nb_segs = 1,
		.buf_addr = (void *)(uintptr_t)frame->data,
		.data_len = frame->first,
		.pkt_len = frame->total};
}

struct frame
udp_frame(uint8_t mac, uint8_t source, uint8_t destination)
{
	static const uint8_t data[46] = {0x52, 0x54, 0, 0, 0, 0, 0x52, 0x54, 0, 0, 0, 9, 8, 0, 0x45,
		0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 0, 10, 0, 0, 0, 0x03, 0xe8};
	struct frame f = {.first = 46, .total = 46};

	memcpy(f.data, data, sizeof(data));
	f.data[5] = mac;
	f.data[UDP_SOURCE + 3] = source;
	f.data[UDP_DESTINATION + 3] = destination;
	return f;
}
