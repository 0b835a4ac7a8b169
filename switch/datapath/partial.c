/* SPDX-License-Identifier: BSD-3-Clause */
#include "partial.h"

#include <errno.h>
#include <rte_memcpy.h>
#include <string.h>

int
msh_append(struct rte_mbuf *packet, struct rte_mempool *pool, const struct msh_part *part,
	unsigned int parts)
{
	struct rte_mbuf *tail = rte_pktmbuf_lastseg(packet);
	for (; parts > 0; part++, parts--)
		for (uint32_t done = 0, n; done < part->length; done += n) {
			if (rte_pktmbuf_tailroom(tail) == 0) {
				tail->next = rte_pktmbuf_alloc(pool);
				if (tail->next == NULL)
					return -ENOMEM;
				packet->nb_segs++;
				tail = tail->next;
			}
			n = RTE_MIN(part->length - done, rte_pktmbuf_tailroom(tail));
			rte_memcpy(rte_pktmbuf_mtod_offset(tail, void *, tail->data_len),
				part->bytes + done, n);
			tail->data_len = (uint16_t)(tail->data_len + n);
			packet->pkt_len += n;
		}
	return 0;
}

int
msh_rest_copy(struct rte_mbuf *packet)
{
	const struct msh_rest *rest = msh_rest_of(packet);
	packet->pkt_len = packet->data_len;
	return msh_append(packet, packet->pool, rest->part, rest->parts);
}

unsigned int
msh_parts_of(struct rte_mbuf *packet, uint32_t skip, struct msh_part *part, unsigned int max)
{
	unsigned int n = 0;
	bool partial = msh_is_partial(packet);
	for (struct rte_mbuf *m = packet; m != NULL; m = m->next, skip = 0) {
		if (n == max)
			return 0;
		part[n].bytes = rte_pktmbuf_mtod_offset(m, uint8_t *, skip);
		part[n++].length = m->data_len - skip;
	}
	if (partial) {
		const struct msh_rest *rest = msh_rest_of(packet);
		if (n + rest->parts > max)
			return 0;
		memcpy(part + n, rest->part, rest->parts * sizeof(*part));
		n += rest->parts;
	}
	return n;
}
