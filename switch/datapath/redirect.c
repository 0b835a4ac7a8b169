/* SPDX-License-Identifier: BSD-3-Clause */
#include "redirect.h"

#include <netinet/in.h>
#include <rte_icmp.h>
#include <rte_tcp.h>

#include "config.h"
#include "back.h"
#include "unfinished.h"

#define SOURCE offsetof(struct rte_ipv4_hdr, src_addr)
#define DESTINATION offsetof(struct rte_ipv4_hdr, dst_addr)

/* Set the checksum at `at` for a change of one 32-bit word that it covers (RFC 1624, equation 3).
 * Network order. */
static void
fix_checksum(uint8_t *at, uint32_t from, uint32_t to)
{
	uint16_t old;
	memcpy(&old, at, sizeof(old));
	uint32_t s = (uint16_t)~old;
	s += (uint16_t) ~(uint16_t)from + (uint16_t) ~(uint16_t)(from >> 16);
	s += (uint16_t)to + (to >> 16);
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	uint16_t sum = (uint16_t)~s;
	memcpy(at, &sum, sizeof(sum));
}

/* Where the transport header keeps a checksum that covers the IP addresses; NULL: nowhere in this
 * packet. */
static uint8_t *
transport_checksum(const struct msh_packet *p)
{
	uint16_t at;
	switch (p->l4 == 0 ? IPPROTO_NONE : p->proto) {
	case IPPROTO_TCP:
		at = 16;
		break;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_DCCP:
		at = 6;
		break;
	default:
		return NULL;
	}
	if (p->l4 + at + 2u > rte_pktmbuf_data_len(p->mbuf))
		return NULL;
	return rte_pktmbuf_mtod_offset(p->mbuf, uint8_t *, p->l4 + at);
}

/* The same for a checksum that is still to be computed (unfinished.h): the field holds the pseudo
 * header's sum, which covers the word. */
static void
fix_partial(uint8_t *at, uint32_t from, uint32_t to)
{
	uint16_t sum;
	memcpy(&sum, at, sizeof(sum));
	sum = (uint16_t)~sum;
	memcpy(at, &sum, sizeof(sum));
	fix_checksum(at, from, to);
	memcpy(&sum, at, sizeof(sum));
	sum = (uint16_t)~sum;
	memcpy(at, &sum, sizeof(sum));
}

/* Change the address at this offset of an IP header, and the header's checksum. Returns what it
 * was. */
static rte_be32_t
change_header(struct rte_ipv4_hdr *header, size_t offset, rte_be32_t to)
{
	uint8_t *ip = (uint8_t *)header;
	rte_be32_t from;
	memcpy(&from, ip + offset, sizeof(from));
	memcpy(ip + offset, &to, sizeof(to));
	fix_checksum(ip + offsetof(struct rte_ipv4_hdr, hdr_checksum), from, to);
	return from;
}

/* The same for the packet's own header, with the transport checksum that covers the address too. */
static void
change_address(const struct msh_packet *p, size_t offset, rte_be32_t to)
{
	static const uint8_t none[2], minus_zero[2] = {0xff, 0xff};
	rte_be32_t from = change_header(msh_packet_ipv4(p), offset, to);
	uint8_t *sum = transport_checksum(p);
	bool udp = p->proto == IPPROTO_UDP;
	if (sum != NULL && unlikely(p->mbuf->ol_flags & MSH_UNFINISHED)) {
		fix_partial(sum, from, to);
		return;
	}
	if (sum == NULL || (udp && memcmp(sum, none, 2) == 0)) /* RFC 768: not computed */
		return;
	fix_checksum(sum, from, to);
	if (udp && memcmp(sum, none, 2) == 0)
		memcpy(sum, minus_zero, 2);
}

static void
decrement_ttl(struct rte_ipv4_hdr *ip)
{
	uint16_t from, to;
	memcpy(&from, &ip->time_to_live,
		2); /* TTL and protocol are one 16-bit word of the header */
	ip->time_to_live--;
	memcpy(&to, &ip->time_to_live, 2);
	fix_checksum((uint8_t *)ip + offsetof(struct rte_ipv4_hdr, hdr_checksum), from, to);
}

/* The IP header that an ICMP error quotes (RFC 792), or NULL. */
static struct rte_ipv4_hdr *
quoted_header(const struct msh_packet *p)
{
	if (p->proto != IPPROTO_ICMP || p->l4 == 0 ||
		p->l4 + sizeof(struct rte_icmp_hdr) + sizeof(struct rte_ipv4_hdr) + 4 >
			rte_pktmbuf_data_len(p->mbuf))
		return NULL;
	uint8_t type = *rte_pktmbuf_mtod_offset(p->mbuf, uint8_t *, p->l4);
	if (type != 3 && type != 4 && type != 11 && type != 12)
		return NULL;
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(
		p->mbuf, struct rte_ipv4_hdr *, p->l4 + sizeof(struct rte_icmp_hdr));
	return ip->version_ihl == 0x45 ? ip : NULL;
}

static unsigned int
tcp_hints(const struct msh_packet *p)
{
	if (p->proto != IPPROTO_TCP || p->l4 == 0 || p->l4 + 14u > rte_pktmbuf_data_len(p->mbuf))
		return 0;
	uint8_t flags = *rte_pktmbuf_mtod_offset(p->mbuf, uint8_t *, p->l4 + 13);
	if (flags & (RTE_TCP_FIN_FLAG | RTE_TCP_RST_FLAG))
		return MSH_BACK_CLOSING;
	if (!(flags & RTE_TCP_SYN_FLAG))
		return 0;
	return flags & RTE_TCP_ACK_FLAG ? MSH_BACK_ACCEPTING : MSH_BACK_OPENING;
}

/* Ports of the flow that p is of: source's and destination's; the identifier of an ICMP query for
 * both (RFC 5508). */
static void
flow_ports(const struct msh_packet *p, uint16_t *source, uint16_t *destination)
{
	*source = p->sport;
	*destination = p->dport;
	if (p->has_ports)
		return;
	*source = *destination = 0;
	if (p->proto == IPPROTO_ICMP && p->l4 != 0 &&
		p->l4 + sizeof(struct rte_icmp_hdr) <= rte_pktmbuf_data_len(p->mbuf)) {
		const struct rte_icmp_hdr *icmp =
			rte_pktmbuf_mtod_offset(p->mbuf, struct rte_icmp_hdr *, p->l4);
		*source = *destination = rte_be_to_cpu_16(icmp->icmp_ident);
	}
}

static bool
is_later_fragment(const struct msh_packet *p)
{
	return p->fragment && p->l4 == 0;
}

bool
msh_redirect_forward(struct msh_worker *worker, const struct msh_config *config,
	struct msh_packet *p, const struct msh_redirect *r, uint16_t vm)
{
	struct rte_ether_hdr *ether = msh_packet_ether(p);
	struct rte_ipv4_hdr *ip = msh_packet_ipv4(p);
	struct rte_ipv4_hdr *quoted = quoted_header(p);
	if (quoted != NULL) {
		/* The quoted header's own checksum makes up for the change, so that of ICMP stays
		 * right; the quoted transport checksum is left (RFC 5508 4.2: receivers do not
		 * check it). */
		if (quoted->src_addr == r->vip)
			change_header(quoted, SOURCE, r->backend);
	} else if (!is_later_fragment(p)) {
		struct msh_back_key key = {
			.backend = r->backend, .client = ip->src_addr, .proto = p->proto};
		struct msh_back flow = {
			.epoch = msh_epoch_of(config, vm, &r->vip_mac), .vm = vm, .vip = r->vip};
		flow_ports(p, &key.client_port, &key.backend_port);
		rte_ether_addr_copy(&r->vip_mac, &flow.vip_mac);
		rte_ether_addr_copy(&ether->src_addr, &flow.client_mac);
		if (!msh_back_keep(worker->back, &key, &flow, worker->now, tcp_hints(p), config))
			return false;
	}
	change_address(p, DESTINATION, r->backend);
	decrement_ttl(ip);
	rte_ether_addr_copy(&r->vip_mac, &ether->src_addr);
	rte_ether_addr_copy(&r->backend_mac, &ether->dst_addr);
	return true;
}

static bool
find_flow(const struct msh_worker *worker, const struct msh_config *config,
	const struct msh_back_key *key, unsigned int hints, struct msh_back *flow)
{
	const struct msh_datapath *dp = worker->datapath;
	for (unsigned int i = 0; i < dp->worker_count; i++)
		if (msh_back_find(dp->worker[i].back, key, worker->now, hints, config, flow))
			return true;
	return false;
}

/* Key of the flow that p, sent by a backend, may belong to. */
static void
back_key(const struct msh_packet *p, const struct rte_ipv4_hdr *quoted, struct msh_back_key *key)
{
	const struct rte_ipv4_hdr *ip = msh_packet_ipv4(p);
	*key = (struct msh_back_key){
		.backend = ip->src_addr, .client = ip->dst_addr, .proto = p->proto};
	if (quoted != NULL) {
		rte_be16_t ports[2] = {0, 0};
		*key = (struct msh_back_key){.backend = quoted->dst_addr,
			.client = quoted->src_addr,
			.proto = quoted->next_proto_id};
		if (quoted->next_proto_id == IPPROTO_TCP || quoted->next_proto_id == IPPROTO_UDP)
			memcpy(ports, quoted + 1, sizeof(ports));
		key->client_port = rte_be_to_cpu_16(ports[0]);
		key->backend_port = rte_be_to_cpu_16(ports[1]);
	} else if (is_later_fragment(p)) {
		key->proto |= MSH_BACK_FRAGMENT;
		key->backend_port = rte_be_to_cpu_16(ip->packet_id);
	} else {
		flow_ports(p, &key->backend_port, &key->client_port);
	}
}

/* Later fragments carry no ports: let them be known by the datagram's id (RFC 791 3.2). */
static void
keep_fragment(struct msh_worker *worker, const struct msh_config *config,
	const struct msh_packet *p, const struct msh_back *flow)
{
	const struct rte_ipv4_hdr *ip = msh_packet_ipv4(p);
	struct msh_back_key key = {.backend = ip->src_addr,
		.client = ip->dst_addr,
		.backend_port = rte_be_to_cpu_16(ip->packet_id),
		.proto = p->proto | MSH_BACK_FRAGMENT};
	msh_back_keep(worker->back, &key, flow, worker->now, 0, config);
}

void
msh_redirect_back(struct msh_worker *worker, const struct msh_config *config, struct msh_packet *p)
{
	struct rte_ether_hdr *ether = msh_packet_ether(p);
	struct rte_ipv4_hdr *ip = msh_packet_ipv4(p);
	struct rte_ipv4_hdr *quoted = quoted_header(p);
	struct msh_back_key key;
	struct msh_back flow;
	back_key(p, quoted, &key);
	if (!find_flow(worker, config, &key, tcp_hints(p), &flow))
		return;
	bool as_hop = rte_is_same_ether_addr(&ether->dst_addr, &flow.vip_mac);
	if (as_hop && ip->time_to_live <= 1)
		return; /* the VM answers with "time exceeded", as it would have */
	if (p->fragment && p->l4 != 0)
		keep_fragment(worker, config, p, &flow);
	if (quoted != NULL)
		change_header(quoted, DESTINATION, flow.vip);
	change_address(p, SOURCE, flow.vip);
	rte_ether_addr_copy(&flow.vip_mac, &ether->src_addr);
	if (as_hop) {
		decrement_ttl(ip);
		rte_ether_addr_copy(&flow.client_mac, &ether->dst_addr);
	}
}
