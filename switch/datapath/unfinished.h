/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Packets that a guest left unfinished (virtio 1.2, 5.1.6.2): the TCP or UDP checksum is not
 * computed, or TCP data is longer than a segment (TSO). They are marked as DPDK marks what a NIC
 * shall finish (MSH_UNFINISHED in ol_flags, l2_len to tso_segsz), and go untouched to guests and
 * NICs that take them so. For other ports they are finished here. */

#include <rte_mbuf.h>
#include <stdbool.h>

#include "partial.h"

#define MSH_UNFINISHED (RTE_MBUF_F_TX_L4_MASK | RTE_MBUF_F_TX_TCP_SEG)
/* The guest's own header lies unread in the private area; the first of the bits that DPDK leaves to
 * programs, reserved at the start. */
#define MSH_RAW_HEADER_BIT 23
#define MSH_RAW_HEADER (UINT64_C(1) << MSH_RAW_HEADER_BIT)

#define MSH_SEGMENTS_MAX 128 /* of one packet: what a guest may ask of us at once */

/* What a port takes unfinished. */
#define MSH_TAKES_CSUM 1
#define MSH_TAKES_TSO4 2
#define MSH_TAKES_TSO6 4

/* Check what the guest said of a packet with MSH_RAW_HEADER or MSH_UNFINISHED, and mark it. An
 * inner checksum of a tunnel is computed at once. False: it says nonsense, drop it. */
bool msh_unfinished_accept(struct rte_mbuf *packet);

/* Does a port that takes these need the packet finished first? */
static inline bool
msh_unfinished_for(const struct rte_mbuf *m, uint8_t takes)
{
	if (likely((m->ol_flags & MSH_UNFINISHED) == 0))
		return false;
	uint8_t need = MSH_TAKES_CSUM;
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG)
		need |= m->ol_flags & RTE_MBUF_F_TX_IPV4 ? MSH_TAKES_TSO4 : MSH_TAKES_TSO6;
	return (takes & need) != need;
}

/* Length of the longest frame that the packet will be on a wire. */
static inline uint32_t
msh_frame_length(const struct rte_mbuf *m)
{
	if (likely((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == 0))
		return m->pkt_len;
	uint32_t headers = m->l2_len + m->l3_len + m->l4_len;
	uint32_t longest = headers + m->tso_segsz;
	return RTE_MIN(m->pkt_len, longest);
}

/* The header that tells a guest the same (virtio 1.2, 5.1.6.4). */
struct virtio_net_hdr_v1 msh_unfinished_header(const struct rte_mbuf *m);

/* Compute the checksum of a packet that is not to be cut. 0 or -ENOMEM. */
int msh_unfinished_sum(struct rte_mbuf *packet);

/* Internet checksum's sum (RFC 1071) of what lies behind the first `start` bytes, which are in the
 * first mbuf. */
uint16_t msh_sum_from(const struct rte_mbuf *packet, uint32_t start);

/* Cut a packet with RTE_MBUF_F_TX_TCP_SEG into finished segments, at most MSH_SEGMENTS_MAX, made
 * from this pool. The packet stays the caller's. Returns their number, or -ENOMEM. */
int msh_unfinished_cut(
	struct rte_mbuf *packet, struct rte_mempool *pool, struct rte_mbuf **segments);
