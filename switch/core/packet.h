/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A packet as the stages see it: its headers, parsed once. */

#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>

#include "drop.h"
#include "bounds.h"

struct msh_packet {
	struct rte_mbuf *mbuf;
	/* Offsets from the start of the frame; 0: that layer is absent, cut short or malformed. l3
	 * is that of IP only. */
	uint16_t l3, l4;
	uint16_t payload;    /* offset behind the tags, whatever is there */
	uint16_t ether_type; /* host order, of what the frame carries behind its tags; below 0x600:
				none */
	uint16_t tci;        /* host order, of the outermost tag */
	bool tagged;
	uint8_t ip_version; /* 4, 6, or 0: not IP, or IP header malformed (RFC 791 3.1, RFC 8200 3)
			     */
	uint8_t proto;      /* IPv4 protocol, or IPv6's last next header */
	uint8_t tos;        /* type of service or traffic class, all 8 bits */
	bool fragment;      /* part of a fragmented datagram, whichever */
	bool has_ports;     /* sport and dport are valid: of a protocol that has them, not a later
			       fragment */
	bool parsed;        /* all of the above but mbuf is filled in */
	uint16_t sport, dport; /* host order */
};

static inline struct rte_ether_hdr *
msh_packet_ether(const struct msh_packet *p)
{
	return rte_pktmbuf_mtod(p->mbuf, struct rte_ether_hdr *);
}

/* Only when ip_version is 4. */
static inline struct rte_ipv4_hdr *
msh_packet_ipv4(const struct msh_packet *p)
{
	return rte_pktmbuf_mtod_offset(p->mbuf, struct rte_ipv4_hdr *, p->l3);
}

/* Only when ip_version is 6. */
static inline struct rte_ipv6_hdr *
msh_packet_ipv6(const struct msh_packet *p)
{
	return rte_pktmbuf_mtod_offset(p->mbuf, struct rte_ipv6_hdr *, p->l3);
}

/* TCP, UDP, UDP-Lite, SCTP, DCCP. */
static inline bool
msh_packet_carries_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_DCCP;
}

/* Offset behind the datagram, as its IP header says; the first segment may end before. Only when
 * ip_version is not 0. */
static inline uint32_t
msh_packet_end(const struct msh_packet *p)
{
	const uint8_t *ip = rte_pktmbuf_mtod_offset(p->mbuf, const uint8_t *, p->l3);
	if (p->ip_version == 4)
		return p->l3 + (uint32_t)(ip[2] << 8 | ip[3]);
	return p->l3 + (uint32_t)sizeof(struct rte_ipv6_hdr) + (uint32_t)(ip[4] << 8 | ip[5]);
}

/* Fill *p from the frame in m, which must hold at least an Ethernet header in its first segment.
 * Never fails: what cannot be understood is left absent. Headers beyond the first segment count as
 * absent. */
void msh_packet_parse(struct msh_packet *p, struct rte_mbuf *m);

/* Fill *p from the IP packet that the ICMP error `error` quotes, which is at this offset of the
 * same frame, of the same IP version, and may be cut short. */
void msh_packet_parse_quoted(struct msh_packet *p, const struct msh_packet *error, uint32_t offset);

/* A packet that comes into hand: it is parsed when somebody needs it, once. */
static inline void
msh_packet_take(struct msh_packet *p, struct rte_mbuf *m)
{
	p->mbuf = m;
	p->parsed = false;
}

static inline void
msh_packet_need(struct msh_packet *p)
{
	if (!p->parsed)
		msh_packet_parse(p, p->mbuf);
}

/* Whether a parsed ICMP message of this type is an error (RFC 792; RFC 4443 2.1, also those that
 * are yet to be invented). */
bool msh_packet_is_error(const struct msh_packet *p, uint8_t type);

/* TCP's flags in the upper byte, or type and code of ICMP. False: the packet has neither, or not
 * all of it is there. */
bool msh_packet_info(const struct msh_packet *p, uint16_t *info);
