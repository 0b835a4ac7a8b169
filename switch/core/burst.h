/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Packets in hand, and what is to become of them. */

#include "packet.h"
#include "tally.h"

enum msh_action {
	MSH_DELIVER = 0, /* to the VM, as the switch found it */
	MSH_DROP,        /* `reason` says why */
	MSH_REJECT,      /* the same, and its sender is told */
	MSH_TO_VM,       /* to the VM, and no later stage is asked */
	MSH_REDIRECT,    /* to another host, rewritten as `redirect` says */
};

/* A VM acting as a hop: what comes for vip at vip_mac goes to backend at backend_mac instead.
 * The pipeline rewrites addresses, TTL and checksums, and remembers the flow for the way back. */
struct msh_redirect {
	rte_be32_t vip, backend;
	struct rte_ether_addr vip_mac, backend_mac;
	uint32_t tally;     /* of packets sent on */
	uint32_t tally_ttl; /* of those left to the VM, because a hop would have to end them */
};

#define MSH_VERDICT_TALLIES 4
struct msh_verdict {
	uint8_t action;                      /* enum msh_action */
	uint8_t reason;                      /* enum msh_drop, for MSH_DROP */
	uint32_t tally[MSH_VERDICT_TALLIES]; /* of the rules that said so; 0 behind the last */
	const struct msh_redirect
		*redirect; /* for MSH_REDIRECT; lives as long as the stage's instance */
};

/* Stages write verdicts of the packets in the mask that they are given, and nothing else; only the
 * pipeline frees. */
struct msh_burst {
	uint16_t count;
	uint16_t in_port; /* index of the port they came from */
	uint16_t worker;  /* index of the worker that runs this, below MSH_WORKERS_MAX */
	struct msh_packet packet[MSH_BURST_MAX];
	struct msh_verdict verdict[MSH_BURST_MAX];
	uint64_t flow[MSH_BURST_MAX]; /* their flows, as flow.h has it */
	uint8_t state[MSH_BURST_MAX]; /* enum msh_track_verdict, where a VM has rules about
					 connections */
	uint16_t out[MSH_BURST_MAX];  /* index of the port to leave by */
};

/* For each bit i that is set in the 64-bit mask. */
#define MSH_FOREACH_BIT(i, mask)                                             \
	for (uint64_t i##_left = (mask), i = 0;                              \
		i##_left && (i = (uint64_t)__builtin_ctzll(i##_left), true); \
		i##_left &= i##_left - 1)

/* Have packets of this verdict counted at a rule, as long as there is room: a frame to a group can
 * pass the rules of more middleboxes. */
static inline void
msh_verdict_tally(struct msh_verdict *v, uint32_t tally)
{
	for (unsigned int t = 0; t < MSH_VERDICT_TALLIES; t++)
		if (v->tally[t] == 0) {
			v->tally[t] = tally;
			return;
		}
}

/* Count a packet at the rules that decided on it. Worker. */
static inline void
msh_verdict_count(const struct msh_verdict *v, unsigned int worker, const struct rte_mbuf *m)
{
	for (unsigned int t = 0; t < MSH_VERDICT_TALLIES && v->tally[t] != 0; t++)
		msh_tally_add(worker, v->tally[t], rte_pktmbuf_pkt_len(m));
}

/* Whether a parsed packet may take one hop more; if not, its VM must answer (RFC 1812 5.3.1).
 * Worker. */
static inline bool
msh_redirect_has_hop(const struct msh_redirect *r, unsigned int worker, const struct msh_packet *p)
{
	if (likely(msh_packet_ipv4(p)->time_to_live > 1))
		return true;
	msh_tally_add(worker, r->tally_ttl, rte_pktmbuf_pkt_len(p->mbuf));
	return false;
}
