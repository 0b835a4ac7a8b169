/* SPDX-License-Identifier: BSD-3-Clause */
#include "guard.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <rte_arp.h>
#include <stdlib.h>
#include <string.h>

#define ND_HOPS 255 /* RFC 4861: with any other hop limit it is not heard */

int
msh_ip_compare(const struct msh_ip *a, const struct msh_ip *b)
{
	if (a->version != b->version)
		return a->version - b->version;
	return a->version == 4 ? memcmp(&a->v4, &b->v4, sizeof(a->v4))
			       : memcmp(&a->v6, &b->v6, sizeof(a->v6));
}

static int
compare_claim(const void *key, const void *element)
{
	return msh_ip_compare(key, &((const struct msh_claim *)element)->ip);
}

const struct msh_claim *
msh_claim_find(const struct msh_claims *claims, const struct msh_ip *ip)
{
	return bsearch(ip, claims->claim, claims->count, sizeof(claims->claim[0]), compare_claim);
}

static struct msh_ip
ipv4_at(const void *at)
{
	struct msh_ip ip = {.version = 4};
	memcpy(&ip.v4, at, sizeof(ip.v4));
	return ip;
}

static struct msh_ip
ipv6_at(const void *at)
{
	struct msh_ip ip = {.version = 6};
	memcpy(&ip.v6, at, sizeof(ip.v6));
	return ip;
}

static bool
read_arp(const struct msh_packet *p, struct msh_claimed *claimed)
{
	const struct rte_arp_hdr *arp =
		rte_pktmbuf_mtod_offset(p->mbuf, const struct rte_arp_hdr *, p->payload);
	if (p->mbuf->data_len < p->payload + sizeof(*arp) ||
		arp->arp_protocol != RTE_BE16(RTE_ETHER_TYPE_IPV4) || arp->arp_hlen != 6 ||
		arp->arp_plen != 4)
		return false;
	claimed->claims = arp->arp_data.arp_sip != 0; /* RFC 5227: 0 in a probe */
	claimed->ip = ipv4_at(&arp->arp_data.arp_sip);
	rte_ether_addr_copy(&arp->arp_data.arp_sha, &claimed->mac);
	claimed->asks = arp->arp_opcode == RTE_BE16(RTE_ARP_OP_REQUEST);
	claimed->wanted = ipv4_at(&arp->arp_data.arp_tip);
	return true;
}

/* Of a message's options, the link-layer address of this kind (RFC 4861 4.6.1). */
static void
read_link_address(const uint8_t *at, const uint8_t *end, uint8_t kind, struct msh_claimed *claimed)
{
	while (end - at >= 8 && at[1] > 0) {
		if (at[0] == kind)
			memcpy(&claimed->mac, at + 2, sizeof(claimed->mac));
		if (end - at < at[1] * 8)
			return;
		at += at[1] * 8;
	}
}

/* RFC 4861 4.1 to 4.5 */
static bool
read_nd(const struct msh_packet *p, struct msh_claimed *claimed)
{
	const struct rte_ipv6_hdr *ip = msh_packet_ipv6(p);
	const uint8_t *at = rte_pktmbuf_mtod_offset(p->mbuf, const uint8_t *, p->l4);
	/* Behind the datagram there may be padding. */
	uint32_t behind = p->l3 + (uint32_t)sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len);
	const uint8_t *end = rte_pktmbuf_mtod_offset(
		p->mbuf, const uint8_t *, RTE_MIN(behind, (uint32_t)p->mbuf->data_len));
	static const struct {
		uint8_t type, size, option;
		bool target; /* the claim is about the target, not the source */
	} kinds[] = {
		{ND_ROUTER_SOLICIT, 8, ND_OPT_SOURCE_LINKADDR, false},
		{ND_ROUTER_ADVERT, 16, ND_OPT_SOURCE_LINKADDR, false},
		{ND_NEIGHBOR_SOLICIT, 24, ND_OPT_SOURCE_LINKADDR, false},
		{ND_NEIGHBOR_ADVERT, 24, ND_OPT_TARGET_LINKADDR, true},
		{ND_REDIRECT, 40, ND_OPT_TARGET_LINKADDR, true},
	};
	static const struct msh_ip none = {.version = 6};
	for (unsigned int i = 0; i < RTE_DIM(kinds); i++) {
		if (at[0] != kinds[i].type || end - at < kinds[i].size)
			continue;
		claimed->ip = kinds[i].target ? ipv6_at(at + 8) : ipv6_at(ip->src_addr);
		claimed->claims = msh_ip_compare(&claimed->ip, &none) != 0;
		claimed->asks = at[0] == ND_NEIGHBOR_SOLICIT;
		if (claimed->asks)
			claimed->wanted = ipv6_at(at + 8);
		read_link_address(at + kinds[i].size, end, kinds[i].option, claimed);
		return true;
	}
	return false;
}

bool
msh_claimed_read(const struct msh_packet *p, struct msh_claimed *claimed)
{
	*claimed = (struct msh_claimed){0};
	if (p->ether_type == RTE_ETHER_TYPE_ARP)
		return read_arp(p, claimed);
	return p->ip_version == 6 && p->proto == IPPROTO_ICMPV6 && p->l4 != 0 &&
	       read_nd(p, claimed);
}

/* The address that a host makes itself of a MAC (RFC 4291 2.5.6 and appendix A). */
static bool
is_link_local_of(const struct msh_guard *guard, const struct msh_ip *ip)
{
	const uint8_t *b = ip->v6.s6_addr;
	static const uint8_t prefix[8] = {0xfe, 0x80};
	for (uint16_t i = 0; ip->version == 6 && i < guard->mac_count; i++) {
		const uint8_t *m = guard->mac[i].addr_bytes;
		const uint8_t id[8] = {m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]};
		if (memcmp(b, prefix, 8) == 0 && memcmp(b + 8, id, 8) == 0)
			return true;
	}
	return false;
}

static bool
has_ip(const struct msh_guard *guard, const struct msh_ip *ip)
{
	for (uint16_t i = 0; i < guard->ip_count; i++)
		if (msh_ip_compare(&guard->ip[i], ip) == 0)
			return true;
	return is_link_local_of(guard, ip);
}

/* A source address that is none yet: DHCP (RFC 2131 4.1), duplicate address detection (RFC 4862).
 */
static bool
is_without_address(const struct msh_packet *p, const struct msh_ip *source)
{
	static const struct in6_addr none = IN6ADDR_ANY_INIT;
	if (source->version == 4)
		return source->v4.s_addr == 0 && p->proto == IPPROTO_UDP && p->sport == 68 &&
		       p->dport == 67;
	return memcmp(&source->v6, &none, sizeof(none)) == 0 && p->proto == IPPROTO_ICMPV6;
}

static bool
permits_claim(const struct msh_guard *guard, const struct msh_claims *claims, uint16_t vm,
	const struct msh_claimed *claimed)
{
	if (guard != NULL && !rte_is_zero_ether_addr(&claimed->mac) &&
		!msh_guard_allows(guard, &claimed->mac))
		return false;
	if (!claimed->claims)
		return true;
	if (guard != NULL && guard->ip_count > 0 && !has_ip(guard, &claimed->ip))
		return false;
	const struct msh_claim *claim = msh_claim_find(claims, &claimed->ip);
	return claim == NULL || claim->vm == vm;
}

bool
msh_guard_permits(const struct msh_guard *guard, const struct msh_claims *claims, uint16_t vm,
	const struct msh_packet *p)
{
	struct msh_claimed claimed;
	if (msh_claimed_read(p, &claimed) && !permits_claim(guard, claims, vm, &claimed))
		return false;
	/* Neighbour discovery behind headers that we cannot look behind, but its receiver can. */
	if (p->ip_version == 6 && p->l4 == 0 && !p->fragment &&
		msh_packet_ipv6(p)->hop_limits == ND_HOPS)
		return false;
	if (guard == NULL || guard->ip_count == 0 || p->ip_version == 0)
		return true;
	struct msh_ip source = p->ip_version == 4 ? ipv4_at(&msh_packet_ipv4(p)->src_addr)
						  : ipv6_at(msh_packet_ipv6(p)->src_addr);
	return has_ip(guard, &source) || is_without_address(p, &source);
}
