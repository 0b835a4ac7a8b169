/* SPDX-License-Identifier: BSD-3-Clause */
#include "reject.h"

#include <netinet/in.h>
#include <rte_icmp.h>
#include <rte_tcp.h>
#include <string.h>

#define QUOTE_MAX 128 /* bytes of the packet in an ICMP answer: within the first segment */
#define HOPS 64
#define IPV4_PROHIBITED 13 /* code of type 3: RFC 1812 5.2.7.1 */
#define IPV6_UNREACHABLE 1 /* type */
#define IPV6_PROHIBITED 1  /* code */
#define IPV6_REDIRECT 137

/* The answer, as it is written. */
struct answer {
	struct rte_mbuf *mbuf;
	const struct msh_packet *to;
	uint8_t *ip, *body; /* headers of IP, and behind it */
};

static bool
is_group4(rte_be32_t ip)
{
	uint32_t host = rte_be_to_cpu_32(ip);
	return host == 0 || host >> 28 >= 0xe; /* groups, reserved, broadcast */
}

/* Or may be one, as not all of it is there. */
static bool
is_icmp_error(const struct msh_packet *p)
{
	uint16_t info;
	if (p->proto != IPPROTO_ICMP && p->proto != IPPROTO_ICMPV6)
		return false;
	return !msh_packet_info(p, &info) || msh_packet_is_error(p, (uint8_t)(info >> 8)) ||
	       (p->proto == IPPROTO_ICMPV6 && info >> 8 == IPV6_REDIRECT);
}

static bool
may_answer(const struct msh_packet *p)
{
	const struct rte_ether_hdr *ether = msh_packet_ether(p);
	if (p->ip_version == 0 || p->l4 == 0 || /* a later fragment has none */
		rte_is_multicast_ether_addr(&ether->dst_addr) ||
		rte_is_multicast_ether_addr(&ether->src_addr) || is_icmp_error(p))
		return false;
	if (p->ip_version == 4)
		return !is_group4(msh_packet_ipv4(p)->src_addr) &&
		       !is_group4(msh_packet_ipv4(p)->dst_addr);
	const struct rte_ipv6_hdr *ip = msh_packet_ipv6(p);
	static const uint8_t unspecified[16];
	return ip->src_addr[0] != 0xff && ip->dst_addr[0] != 0xff &&
	       memcmp(ip->src_addr, unspecified, sizeof(unspecified)) != 0;
}

/* Ethernet and tags with the MACs turned round, and an IP header for a body of this size. */
static bool
begin(struct answer *a, struct rte_mempool *pool, const struct msh_packet *p, uint8_t proto,
	uint16_t size)
{
	const uint8_t *frame = rte_pktmbuf_mtod(p->mbuf, const uint8_t *);
	bool v4 = p->ip_version == 4;
	uint16_t header = v4 ? sizeof(struct rte_ipv4_hdr) : sizeof(struct rte_ipv6_hdr);
	a->to = p;
	a->mbuf = rte_pktmbuf_alloc(pool);
	if (a->mbuf == NULL)
		return false;
	uint8_t *out = (uint8_t *)rte_pktmbuf_append(a->mbuf, (uint16_t)(p->l3 + header + size));
	memcpy(out, frame + RTE_ETHER_ADDR_LEN, RTE_ETHER_ADDR_LEN);
	memcpy(out + RTE_ETHER_ADDR_LEN, frame, RTE_ETHER_ADDR_LEN);
	memcpy(out + 2 * RTE_ETHER_ADDR_LEN, frame + 2 * RTE_ETHER_ADDR_LEN,
		p->l3 - 2u * RTE_ETHER_ADDR_LEN);
	a->ip = out + p->l3;
	a->body = a->ip + header;
	memset(a->ip, 0, (size_t)header + size);
	if (v4) {
		const struct rte_ipv4_hdr *from = msh_packet_ipv4(p);
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)a->ip;
		*ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
			.total_length = rte_cpu_to_be_16((uint16_t)(header + size)),
			.fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG),
			.time_to_live = HOPS,
			.next_proto_id = proto,
			.src_addr = from->dst_addr,
			.dst_addr = from->src_addr};
		ip->hdr_checksum = rte_ipv4_cksum(ip);
		return true;
	}
	const struct rte_ipv6_hdr *from = msh_packet_ipv6(p);
	struct rte_ipv6_hdr *ip = (struct rte_ipv6_hdr *)a->ip;
	ip->vtc_flow = RTE_BE32(0x60000000);
	ip->payload_len = rte_cpu_to_be_16(size);
	ip->proto = proto;
	ip->hop_limits = HOPS;
	memcpy(ip->src_addr, from->dst_addr, sizeof(ip->src_addr));
	memcpy(ip->dst_addr, from->src_addr, sizeof(ip->dst_addr));
	return true;
}

/* Sequence numbers that the packet takes: its data, SYN and FIN. */
static uint32_t
length_of(const struct msh_packet *p, const struct rte_tcp_hdr *tcp)
{
	uint32_t behind = msh_packet_end(p);
	uint32_t header = p->l4 + (tcp->data_off >> 4) * 4u;
	return (behind > header ? behind - header : 0) + !!(tcp->tcp_flags & RTE_TCP_SYN_FLAG) +
	       !!(tcp->tcp_flags & RTE_TCP_FIN_FLAG);
}

static bool
write_reset(struct answer *a, struct rte_mempool *pool, const struct msh_packet *p)
{
	uint16_t info;
	if (p->l4 + sizeof(struct rte_tcp_hdr) > rte_pktmbuf_data_len(p->mbuf) ||
		!msh_packet_info(p, &info))
		return false;
	const struct rte_tcp_hdr *from =
		rte_pktmbuf_mtod_offset(p->mbuf, const struct rte_tcp_hdr *, p->l4);
	if ((from->tcp_flags & RTE_TCP_RST_FLAG) ||
		!begin(a, pool, p, IPPROTO_TCP, sizeof(struct rte_tcp_hdr)))
		return false;
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)a->body;
	bool acked = from->tcp_flags & RTE_TCP_ACK_FLAG;
	*tcp = (struct rte_tcp_hdr){.src_port = from->dst_port,
		.dst_port = from->src_port,
		.sent_seq = acked ? from->recv_ack : 0,
		.recv_ack = acked ? 0
				  : rte_cpu_to_be_32(
					    rte_be_to_cpu_32(from->sent_seq) + length_of(p, from)),
		.data_off = sizeof(*tcp) / 4 << 4,
		.tcp_flags = acked ? RTE_TCP_RST_FLAG : RTE_TCP_RST_FLAG | RTE_TCP_ACK_FLAG};
	tcp->cksum = p->ip_version == 4 ? rte_ipv4_udptcp_cksum((struct rte_ipv4_hdr *)a->ip, tcp)
					: rte_ipv6_udptcp_cksum((struct rte_ipv6_hdr *)a->ip, tcp);
	return true;
}

/* Type, code, checksum, 4 bytes unused, and the packet from its IP header on. */
static bool
write_prohibited(struct answer *a, struct rte_mempool *pool, const struct msh_packet *p)
{
	bool v4 = p->ip_version == 4;
	uint16_t quote = (uint16_t)RTE_MIN(rte_pktmbuf_data_len(p->mbuf) - p->l3, QUOTE_MAX);
	uint16_t size = (uint16_t)(sizeof(struct rte_icmp_hdr) + quote);
	if (!begin(a, pool, p, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, size))
		return false;
	struct rte_icmp_hdr *icmp = (struct rte_icmp_hdr *)a->body;
	icmp->icmp_type = v4 ? 3 : IPV6_UNREACHABLE;
	icmp->icmp_code = v4 ? IPV4_PROHIBITED : IPV6_PROHIBITED;
	memcpy(icmp + 1, rte_pktmbuf_mtod_offset(p->mbuf, const uint8_t *, p->l3), quote);
	icmp->icmp_cksum = v4 ? (uint16_t)~rte_raw_cksum(icmp, size)
			      : rte_ipv6_udptcp_cksum((struct rte_ipv6_hdr *)a->ip, icmp);
	return true;
}

void
msh_reject(
	struct msh_worker *w, const struct msh_config *config, uint16_t port, struct msh_packet *p)
{
	struct answer answer;
	msh_packet_need(p);
	if (port == MSH_PORT_SELF || !may_answer(p) ||
		!msh_bucket_take(&w->rejects[port], w->datapath->hz, MSH_REJECTS_MAX))
		return;
	bool made = p->proto == IPPROTO_TCP ? write_reset(&answer, w->pool, p)
					    : write_prohibited(&answer, w->pool, p);
	if (!made)
		return;
	msh_count(&w->counters[port].copies, 1);
	msh_tx_queue(w, config, port, port, answer.mbuf);
}
