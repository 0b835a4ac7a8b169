/* SPDX-License-Identifier: BSD-3-Clause */
#include "track_tcp.h"

#include <rte_byteorder.h>
#include <rte_tcp.h>
#include <string.h>

/* Options (RFC 9293 3.2) */
#define END_OF_LIST 0
#define NO_OPERATION 1
#define WINDOW_SCALE 3
#define SACK_PERMITTED 4
#define SACK 5
#define TIMESTAMPS_ONLY 0x0101080au /* two NO_OPERATION, and the usual 10 octets */

#define FLAG_FIN RTE_TCP_FIN_FLAG
#define FLAG_SYN RTE_TCP_SYN_FLAG
#define FLAG_RST RTE_TCP_RST_FLAG
#define FLAG_ACK RTE_TCP_ACK_FLAG

static inline uint32_t
load32(const uint8_t *at)
{
	rte_be32_t value;
	memcpy(&value, at, sizeof(value));
	return rte_be_to_cpu_32(value);
}

/* SACK blocks, each its left edge and its right one. */
static void
read_blocks(struct msh_tcp_segment *g, const uint8_t *block, unsigned int size)
{
	for (; size >= 8; block += 8, size -= 8) {
		uint32_t right = load32(block + 4);
		if ((int32_t)(g->sack - right) < 0)
			g->sack = right;
	}
}

static void
read_option(struct msh_tcp_segment *g, uint8_t kind, const uint8_t *value, unsigned int size)
{
	if (kind == SACK && size % 8 == 0)
		read_blocks(g, value, size);
	else if (kind == SACK_PERMITTED && size == 0)
		g->sack_permitted = g->kind <= MSH_TCP_SYN_ACK;
	else if (kind == WINDOW_SCALE && size == 1 && g->kind <= MSH_TCP_SYN_ACK)
		g->scale = RTE_MIN(value[0], MSH_TCP_SCALE_MAX);
}

/* What follows an option that is malformed counts as absent. */
static void
read_options(struct msh_tcp_segment *g, const uint8_t *at, unsigned int left)
{
	if (left == 12 && load32(at) == TIMESTAMPS_ONLY)
		return;
	while (left > 0 && at[0] != END_OF_LIST) {
		unsigned int size = 1;
		if (at[0] != NO_OPERATION) {
			if (left < 2 || at[1] < 2 || at[1] > left)
				return;
			size = at[1];
			read_option(g, at[0], at + 2, size - 2);
		}
		at += size;
		left -= size;
	}
}

/* False for none of the combinations that a host sends: a SYN with FIN or RST, a FIN with RST or
 * without ACK, none at all. */
static bool
read_kind(struct msh_tcp_segment *g, uint8_t flags)
{
	g->has_ack = flags & FLAG_ACK;
	switch (flags & (FLAG_FIN | FLAG_SYN | FLAG_RST | FLAG_ACK | RTE_TCP_URG_FLAG)) {
	case FLAG_SYN:
	case FLAG_SYN | RTE_TCP_URG_FLAG:
		g->kind = MSH_TCP_SYN;
		return true;
	case FLAG_SYN | FLAG_ACK:
		g->kind = MSH_TCP_SYN_ACK;
		return true;
	case FLAG_FIN | FLAG_ACK:
	case FLAG_FIN | FLAG_ACK | RTE_TCP_URG_FLAG:
		g->kind = MSH_TCP_FIN;
		return true;
	case FLAG_ACK:
	case FLAG_ACK | RTE_TCP_URG_FLAG:
		g->kind = MSH_TCP_ACK;
		return true;
	case FLAG_RST:
	case FLAG_RST | FLAG_ACK:
		g->kind = MSH_TCP_RST;
		return true;
	default:
		return false;
	}
}

bool
msh_tcp_segment_read(struct msh_tcp_segment *g, const struct msh_packet *p)
{
	uint32_t end = msh_packet_end(p);
	uint32_t held = RTE_MIN(end, (uint32_t)rte_pktmbuf_data_len(p->mbuf));
	if (p->l4 == 0 || p->l4 + sizeof(struct rte_tcp_hdr) > held)
		return false;
	const uint8_t *at = rte_pktmbuf_mtod_offset(p->mbuf, const uint8_t *, p->l4);
	unsigned int header = (at[12] >> 4) * 4u;
	if (header < sizeof(struct rte_tcp_hdr) || p->l4 + header > held || !read_kind(g, at[13]))
		return false;
	g->seq = load32(at + 4);
	g->ack = g->sack = load32(at + 8);
	g->end = g->seq + (end - p->l4 - header) + !!(at[13] & FLAG_SYN) + !!(at[13] & FLAG_FIN);
	g->window = (uint16_t)(at[14] << 8 | at[15]);
	g->scale = MSH_TCP_SCALE_NONE;
	g->sack_permitted = false;
	g->fragment = p->fragment;
	read_options(g, at + sizeof(struct rte_tcp_hdr),
		header - (unsigned int)sizeof(struct rte_tcp_hdr));
	return true;
}
