/* SPDX-License-Identifier: BSD-3-Clause */

/* Cutting a TCP packet into segments in software. Not by rte_gso: that knows no IPv6, computes no
 * checksum, and would need the rest of the packet copied first. */

#include <errno.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <string.h>

#include "unfinished.h"

#define PARTS_MAX 64

/* What is being cut, and how far. */
struct cut {
	struct rte_mbuf *packet;
	uint32_t headers; /* bytes of them all, in the first mbuf */
	uint32_t done;    /* bytes of data in earlier segments */
	uint32_t total;   /* bytes of data */
	struct msh_part part[PARTS_MAX];
	unsigned int parts, at; /* `at`: the part to go on with */
};

/* Move the next n bytes of data into a segment. */
static int
move_data(struct cut *c, struct rte_mbuf *segment, struct rte_mempool *pool, uint32_t n)
{
	c->done += n;
	while (n > 0) {
		struct msh_part *from = &c->part[c->at];
		struct msh_part piece = {from->bytes, RTE_MIN(from->length, n)};
		if (msh_append(segment, pool, &piece, 1) != 0)
			return -ENOMEM;
		from->bytes += piece.length;
		from->length -= piece.length;
		n -= piece.length;
		if (from->length == 0)
			c->at++;
	}
	return 0;
}

/* Lengths, identification and header checksum (RFC 791 3.1, RFC 8200 3). */
static void
fix_ip(const struct rte_mbuf *packet, struct rte_mbuf *s, uint16_t index)
{
	if (packet->ol_flags & RTE_MBUF_F_TX_IPV4) {
		struct rte_ipv4_hdr *ip =
			rte_pktmbuf_mtod_offset(s, struct rte_ipv4_hdr *, packet->l2_len);
		ip->total_length = rte_cpu_to_be_16((uint16_t)(s->pkt_len - packet->l2_len));
		ip->packet_id =
			rte_cpu_to_be_16((uint16_t)(rte_be_to_cpu_16(ip->packet_id) + index));
		ip->hdr_checksum = 0;
		uint16_t value = rte_raw_cksum(ip, packet->l3_len);
		ip->hdr_checksum = (uint16_t)~value;
	} else {
		struct rte_ipv6_hdr *ip =
			rte_pktmbuf_mtod_offset(s, struct rte_ipv6_hdr *, packet->l2_len);
		ip->payload_len =
			rte_cpu_to_be_16((uint16_t)(s->pkt_len - packet->l2_len - sizeof(*ip)));
	}
}

/* Sequence number and flags (RFC 9293 3.1, RFC 3168 6.1.2), and a checksum that starts from the
 * pseudo header's sum in the packet: only the length in it changes. */
static void
fix_tcp(const struct rte_mbuf *packet, struct rte_mbuf *s, uint32_t done, bool last)
{
	uint32_t l4 = packet->l2_len + packet->l3_len;
	struct rte_tcp_hdr *tcp = rte_pktmbuf_mtod_offset(s, struct rte_tcp_hdr *, l4);
	uint16_t was = rte_cpu_to_be_16((uint16_t)(packet->pkt_len - l4));
	uint16_t is = rte_cpu_to_be_16((uint16_t)(s->pkt_len - l4));
	tcp->sent_seq = rte_cpu_to_be_32(rte_be_to_cpu_32(tcp->sent_seq) + done);
	if (!last)
		tcp->tcp_flags &= (uint8_t) ~(RTE_TCP_FIN_FLAG | RTE_TCP_PSH_FLAG);
	if (done > 0)
		tcp->tcp_flags &= (uint8_t)~RTE_TCP_CWR_FLAG;
	uint32_t partial = (uint32_t)tcp->cksum + (uint16_t)~was + is;
	partial = (partial & 0xffff) + (partial >> 16);
	tcp->cksum = (uint16_t)((partial & 0xffff) + (partial >> 16));
	tcp->cksum = (uint16_t)~msh_sum_from(s, l4);
}

static struct rte_mbuf *
make_segment(struct cut *c, struct rte_mempool *pool, uint16_t index)
{
	const struct rte_mbuf *packet = c->packet;
	struct rte_mbuf *s = rte_pktmbuf_alloc(pool);
	uint32_t done = c->done, n = packet->tso_segsz;
	if (s == NULL)
		return NULL;
	memcpy(rte_pktmbuf_append(s, (uint16_t)c->headers), rte_pktmbuf_mtod(packet, void *),
		c->headers);
	if (move_data(c, s, pool, RTE_MIN(n, c->total - done)) == 0) {
		fix_ip(packet, s, index);
		fix_tcp(packet, s, done, c->done == c->total);
		return s;
	}
	rte_pktmbuf_free(s);
	return NULL;
}

int
msh_unfinished_cut(struct rte_mbuf *packet, struct rte_mempool *pool, struct rte_mbuf **segments)
{
	struct cut c = {
		.packet = packet, .headers = packet->l2_len + packet->l3_len + packet->l4_len};
	uint16_t n = 0;
	c.total = packet->pkt_len - c.headers;
	c.parts = msh_parts_of(packet, c.headers, c.part, PARTS_MAX);
	while (c.parts > 0 && c.done < c.total) {
		segments[n] = make_segment(&c, pool, n);
		if (segments[n] == NULL)
			break;
		n++;
	}
	if (n > 0 && c.done == c.total)
		return n;
	rte_pktmbuf_free_bulk(segments, n);
	return -ENOMEM;
}
