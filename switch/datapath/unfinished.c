/* SPDX-License-Identifier: BSD-3-Clause */
#include "unfinished.h"

#include <errno.h>
#include <netinet/in.h>

#include "packet.h"

#define TCP_CHECKSUM 16 /* offsets in the headers (RFC 9293 3.1, RFC 768) */
#define UDP_CHECKSUM 6

/* rte_raw_cksum_mbuf of DPDK 22.11 errs where a segment begins at an odd place. */
uint16_t
msh_sum_from(const struct rte_mbuf *m, uint32_t start)
{
	uint32_t total = 0;
	bool odd = false;
	for (; m != NULL; m = m->next, start = 0) {
		uint32_t length = m->data_len - start;
		uint16_t part = rte_raw_cksum(rte_pktmbuf_mtod_offset(m, void *, start), length);
		total += odd ? rte_bswap16(part) : part;
		odd ^= length & 1;
	}
	total = (total & 0xffff) + (total >> 16);
	return (uint16_t)((total & 0xffff) + (total >> 16));
}

/* Sum from `start` to the end, the pseudo header's sum that the guest left in the field included,
 * into the field at start + offset. 0 or -errno. */
static int
sum(struct rte_mbuf *m, uint32_t start, uint32_t offset)
{
	uint16_t value;
	if (msh_is_partial(m) && msh_rest_copy(m) != 0)
		return -ENOMEM;
	if (start + offset + sizeof(value) > m->data_len)
		return -EINVAL;
	value = (uint16_t)~msh_sum_from(m, start);
	if (value == 0 && offset == UDP_CHECKSUM)
		value = 0xffff; /* RFC 768: 0 would say that there is none */
	memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, start + offset), &value, sizeof(value));
	return 0;
}

static uint32_t
checksum_offset(const struct rte_mbuf *m)
{
	bool udp = (m->ol_flags & RTE_MBUF_F_TX_L4_MASK) == RTE_MBUF_F_TX_UDP_CKSUM;
	return udp ? UDP_CHECKSUM : TCP_CHECKSUM;
}

int
msh_unfinished_sum(struct rte_mbuf *m)
{
	int rc = sum(m, m->l2_len + m->l3_len, checksum_offset(m));
	m->ol_flags &= ~MSH_UNFINISHED;
	return rc;
}

/* Is the checksum that the guest wants the packet's own TCP or UDP checksum, and in reach? */
static bool
is_plain(const struct msh_packet *p, uint32_t start, uint32_t offset)
{
	return p->l4 != 0 && p->l4 == start && !p->fragment && p->has_ports &&
	       ((p->proto == IPPROTO_TCP && offset == TCP_CHECKSUM) ||
		       (p->proto == IPPROTO_UDP && offset == UDP_CHECKSUM)) &&
	       start + offset + 2 <= p->mbuf->data_len;
}

static void
mark(const struct msh_packet *p)
{
	struct rte_mbuf *m = p->mbuf;
	m->ol_flags |= p->ip_version == 4 ? RTE_MBUF_F_TX_IPV4 : RTE_MBUF_F_TX_IPV6;
	m->ol_flags |= p->proto == IPPROTO_TCP ? RTE_MBUF_F_TX_TCP_CKSUM : RTE_MBUF_F_TX_UDP_CKSUM;
	m->l2_len = p->l3;
	m->l3_len = (uint16_t)(p->l4 - p->l3);
}

/* TSO: whole TCP header, data in segments of a sane size. */
static bool
mark_segments(const struct msh_packet *p, uint8_t type, uint16_t size)
{
	struct rte_mbuf *m = p->mbuf;
	if (p->proto != IPPROTO_TCP ||
		type != (p->ip_version == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6))
		return false;
	uint32_t header = (*rte_pktmbuf_mtod_offset(m, uint8_t *, p->l4 + 12) >> 4) * 4u;
	uint32_t behind = p->l4 + header;
	if (header < 20 || behind > m->data_len || behind >= m->pkt_len || size == 0 ||
		(m->pkt_len - behind + size - 1) / size > MSH_SEGMENTS_MAX)
		return false;
	m->l4_len = header & 0xff;
	m->tso_segsz = size;
	m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
	if (p->ip_version == 4)
		m->ol_flags |= RTE_MBUF_F_TX_IP_CKSUM; /* NICs want it said */
	return true;
}

/* Forget what librte_vhost made of the guest's header, in words of that header: one check for all.
 */
static void
unmark(struct rte_mbuf *m, struct virtio_net_hdr_v1 *raw)
{
	*raw = msh_unfinished_header(m);
	m->ol_flags &= ~(
		MSH_UNFINISHED | RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_IP_CKSUM);
	m->tx_offload = 0;
}

bool
msh_unfinished_accept(struct rte_mbuf *m)
{
	struct virtio_net_hdr_v1 raw;
	struct msh_packet p;
	if (m->ol_flags & MSH_RAW_HEADER)
		raw = msh_rest_of(m)->raw;
	else
		unmark(m, &raw);
	m->ol_flags &= ~MSH_RAW_HEADER;
	if (!(raw.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return raw.gso_type == VIRTIO_NET_HDR_GSO_NONE;
	uint32_t end = (uint32_t)raw.csum_start + raw.csum_offset + 2u;
	if (end > m->pkt_len)
		return false;
	msh_packet_parse(&p, m);
	bool plain = is_plain(&p, raw.csum_start, raw.csum_offset);
	if (raw.gso_type != VIRTIO_NET_HDR_GSO_NONE &&
		(!plain || !mark_segments(&p, raw.gso_type, raw.gso_size)))
		return false;
	if (plain) {
		mark(&p);
		return true;
	}
	return sum(m, raw.csum_start, raw.csum_offset) == 0;
}

struct virtio_net_hdr_v1
msh_unfinished_header(const struct rte_mbuf *m)
{
	struct virtio_net_hdr_v1 h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)(m->l2_len + m->l3_len),
		.csum_offset = (uint16_t)checksum_offset(m),
		.num_buffers = 1,
	};
	if (m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) {
		h.gso_type = m->ol_flags & RTE_MBUF_F_TX_IPV4 ? VIRTIO_NET_HDR_GSO_TCPV4
							      : VIRTIO_NET_HDR_GSO_TCPV6;
		h.gso_size = m->tso_segsz;
		h.hdr_len = (uint16_t)(h.csum_start + m->l4_len);
	}
	return h;
}
