/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A packet as the stages see it: its headers, parsed once. */

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
	bool has_ports; /* sport and dport are valid: TCP, UDP, UDP-Lite, SCTP, DCCP; not a later
			   fragment */
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

/* Fill *p from the frame in m, which must hold at least an Ethernet header in its first segment.
 * Never fails: what cannot be understood is left absent. Headers beyond the first segment count as
 * absent. */
void msh_packet_parse(struct msh_packet *p, struct rte_mbuf *m);

/* What is to become of a packet. */
enum msh_action {
	MSH_DELIVER = 0, /* to the VM, as the switch found it */
	MSH_DROP,        /* `reason` says why */
	MSH_REDIRECT,    /* to another host, rewritten as `redirect` says */
};

/* A VM acting as a hop: what comes for vip at vip_mac goes to backend at backend_mac instead.
 * The pipeline rewrites addresses, TTL and checksums, and remembers the flow for the way back. */
struct msh_redirect {
	rte_be32_t vip, backend;
	struct rte_ether_addr vip_mac, backend_mac;
};

struct msh_verdict {
	uint8_t action; /* enum msh_action */
	uint8_t reason; /* enum msh_drop, for MSH_DROP */
	const struct msh_redirect
		*redirect; /* for MSH_REDIRECT; lives as long as the stage's instance */
};

/* Packets in hand. Stages write verdicts of the packets in the mask that they are given, and
 * nothing else; only the pipeline frees. */
struct msh_burst {
	uint16_t count;
	uint16_t in_port; /* index of the port they came from */
	uint16_t worker;  /* index of the worker that runs this, below MSH_WORKERS_MAX */
	struct msh_packet packet[MSH_BURST_MAX];
	struct msh_verdict verdict[MSH_BURST_MAX];
	uint16_t out[MSH_BURST_MAX]; /* index of the port to leave by */
};

/* For each bit i that is set in the 64-bit mask. */
#define MSH_FOREACH_BIT(i, mask)                                             \
	for (uint64_t i##_left = (mask), i = 0;                              \
		i##_left && (i = (uint64_t)__builtin_ctzll(i##_left), true); \
		i##_left &= i##_left - 1)
