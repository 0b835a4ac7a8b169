/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Packets of which only the head was copied: the rest lies in the guest's memory until the packet
 * is sent, so that it is copied once, from guest to guest. */

#include <linux/virtio_net.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#define MSH_HEAD_BYTES 192u /* copied of each packet: all headers that anyone looks at */
#define MSH_REST_PARTS                                                            \
	19 /* pieces that the rest may lie in; else it is copied as well. A Linux \
	      guest's longest packet has 18 */

struct msh_part {
	uint8_t *bytes;
	uint32_t length;
};

/* An mbuf's private area. */
struct msh_rest {
	uint32_t parts; /* while data_len < pkt_len: where the rest of the packet lies */
	struct virtio_net_hdr_v1 raw; /* as the guest wrote it, while MSH_RAW_HEADER is set */
	struct msh_part part[MSH_REST_PARTS];
};
static_assert(sizeof(struct msh_rest) % RTE_CACHE_LINE_SIZE == 0, "the frame stays aligned");

static inline bool
msh_is_partial(const struct rte_mbuf *m)
{
	return m->next == NULL && m->data_len < m->pkt_len;
}

static inline struct msh_rest *
msh_rest_of(struct rte_mbuf *m)
{
	return (struct msh_rest *)rte_mbuf_to_priv(m);
}

/* Append pieces to a packet, with more mbufs of this pool if need be. 0 or -ENOMEM. */
int msh_append(struct rte_mbuf *packet, struct rte_mempool *pool, const struct msh_part *part,
	unsigned int parts);

/* Copy the rest into the packet, with more mbufs of its pool if need be. 0 or -ENOMEM. */
int msh_rest_copy(struct rte_mbuf *packet);

/* Where all of a packet lies behind its first `skip` bytes, which are in its first mbuf. Returns
 * the number of pieces, or 0 when they are more than max. */
unsigned int msh_parts_of(
	struct rte_mbuf *packet, uint32_t skip, struct msh_part *part, unsigned int max);
