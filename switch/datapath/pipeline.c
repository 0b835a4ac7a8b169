/* SPDX-License-Identifier: BSD-3-Clause */

/* A burst, one way: rules in -> guard -> learn -> claims -> way back of redirects -> lookup ->
 * stages of the receiving VM -> tx queues. */

#include "deliver.h"
#include "redirect.h"
#include "unfinished.h"

#define FLOOD UINT16_MAX
#define NO_KEY UINT64_MAX /* no MAC in a VLAN has this one */
#define REDIRECTS_MAX 4   /* one packet's way through VMs that each send it on */

/* A pinned MAC is its VM's in every VLAN. */
static uint16_t
pinned_port(const struct msh_worker *w, const struct rte_ether_addr *mac)
{
	return msh_fdb_lookup(w->datapath->fdb, msh_fdb_key(mac, 0));
}

/* What holds for all packets of a burst; and what was found for the last one, which is looked at
 * first, as they often go from one host to another. Only within a burst, so that nothing in it
 * grows stale. */
struct run {
	uint16_t source;
	bool by_rules;     /* the port that they came by may have rules */
	bool ipv4_claims;  /* look beyond the source MAC of IPv4 packets, */
	bool other_claims; /* and of others */
	bool admitted;
	uint16_t port;
	uint64_t last_source, last_destination; /* msh_fdb_key */
};

/* Learn where the frame comes from. False: its source MAC is not its own, it must be dropped. */
static bool
admit(struct msh_worker *w, const struct msh_topology *topology, uint16_t source,
	const struct rte_ether_addr *mac, uint16_t vlan)
{
	const struct msh_port *in = topology->port[source];
	if (topology->guard[source] != NULL)
		return msh_guard_allows(topology->guard[source], mac);
	if (unlikely(in == NULL || rte_is_multicast_ether_addr(mac) || rte_is_zero_ether_addr(mac)))
		return true;
	if (unlikely(vlan != 0 && topology->vm[pinned_port(w, mac)] != 0))
		return false;
	if (!in->learn)
		return true;
	const struct msh_rules *rules = topology->rules[source];
	return msh_fdb_learn(w->datapath->fdb, msh_fdb_key(mac, vlan), source,
		rules != NULL ? rules->macs : 0, w->now);
}

/* Index of the port that a frame should leave by, or FLOOD. */
static uint16_t
find_port(const struct msh_worker *w, const struct msh_topology *topology,
	const struct rte_ether_addr *mac, uint16_t vlan)
{
	if (unlikely(rte_is_multicast_ether_addr(mac)))
		return FLOOD;
	uint16_t port = msh_fdb_lookup(w->datapath->fdb, msh_fdb_key(mac, vlan));
	if (port == 0 && vlan != 0) {
		uint16_t pinned = pinned_port(w, mac);
		port = topology->vm[pinned] != 0 ? pinned : 0;
	}
	return port != 0 ? port : FLOOD;
}

/* Tell control of an IPv4 neighbour; what does not fit is seen again. */
static void
snoop_arp(struct msh_worker *w, const struct msh_config *config, const struct msh_packet *p,
	uint16_t source)
{
	struct msh_claimed claimed;
	if (!msh_claimed_read(p, &claimed) || !claimed.claims ||
		!msh_maybe_backend(config, claimed.ip.v4.s_addr))
		return;
	struct msh_neighbor_seen seen = {.ip = claimed.ip.v4.s_addr,
		.mac = claimed.mac,
		.port = source,
		.vlan = msh_vlan_of(p->mbuf)};
	rte_ring_sp_enqueue_elem(w->neighbors, &seen, sizeof(seen));
}

/* With any redirect in force: turn back answers of backends, listen to ARP. */
static void
look_back(struct msh_worker *w, const struct msh_config *config, struct msh_packet *p,
	uint16_t source)
{
	if (p->ether_type == RTE_ETHER_TYPE_ARP)
		snoop_arp(w, config, p, source);
	else if (p->ip_version == 4 && msh_maybe_backend(config, msh_packet_ipv4(p)->src_addr))
		msh_redirect_back(w, config, p);
	else if (p->ip_version == 4 && p->proto == IPPROTO_ICMP)
		msh_redirect_back(w, config,
			p); /* an error about a backend may come from a router before it */
}

static void
flood(struct msh_worker *w, const struct msh_config *config, uint16_t source, struct rte_mbuf *m)
{
	const struct msh_topology *topology = config->topology;
	uint16_t last = 0; /* takes the packet itself, the others copies */
	if (unlikely(msh_is_partial(m) && msh_rest_copy(m) != 0)) {
		msh_drop(w, source, MSH_DROP_NO_MBUF, m);
		return;
	}
	/* What the switch says in a VM's name does not go to that VM. */
	const struct rte_ether_addr *mac = &rte_pktmbuf_mtod(m, struct rte_ether_hdr *)->src_addr;
	uint16_t home = source != MSH_PORT_SELF ? source : pinned_port(w, mac);
	const struct msh_rules *rules = topology->rules[home];
	uint16_t vlan = msh_vlan_of(m);
	/* Each worker that serves the port has a bucket of its own. */
	if (rules != NULL && rules->storm > 0 &&
		!msh_bucket_take(&w->storm[home], w->datapath->hz, rules->storm)) {
		msh_drop(w, source, MSH_DROP_STORM, m);
		return;
	}
	for (uint16_t i = 0; i < topology->flood_count; i++) {
		uint16_t out = topology->flood[i];
		if (out == home || !msh_port_is_up(topology->port[out]) ||
			!msh_rules_carry(topology->rules[out], vlan) ||
			!msh_rules_meet(rules, topology->rules[out]))
			continue;
		if (last != 0) {
			msh_count(&w->counters[source].copies, 1);
			struct rte_mbuf *copy = rte_pktmbuf_copy(m, w->pool, 0, UINT32_MAX);
			if (likely(copy != NULL))
				msh_deliver_copy(w, config, source, last, copy);
			else
				msh_count(&w->counters[source].drop[MSH_DROP_NO_MBUF], 1);
		}
		last = out;
	}
	if (last != 0)
		msh_deliver_copy(w, config, source, last, m);
	else
		msh_drop(w, source, MSH_DROP_NO_PORT, m);
}

/* Send each packet its way; a redirected one starts again from its new destination. */
static void
dispatch(struct msh_worker *w, const struct msh_config *config, struct msh_burst *burst,
	uint64_t todo)
{
	uint64_t redirected = 0;
	for (unsigned int round = 0; todo != 0; round++) {
		redirected = 0;
		while (todo != 0) {
			uint16_t out = burst->out[__builtin_ctzll(todo)];
			uint64_t mask = 0;
			MSH_FOREACH_BIT (i, todo) {
				if (burst->out[i] == out)
					mask |= UINT64_C(1) << i;
				else if (unlikely(burst->out[i] == FLOOD || out == FLOOD))
					break; /* no port sees a broadcast overtaken */
			}
			todo &= ~mask;
			if (likely(out != FLOOD))
				redirected |= msh_deliver(w, config, burst, mask);
			else
				MSH_FOREACH_BIT (i, mask)
					flood(w, config, burst->in_port, burst->packet[i].mbuf);
		}
		MSH_FOREACH_BIT (i, redirected)
			burst->out[i] = find_port(w, config->topology,
				&msh_packet_ether(&burst->packet[i])->dst_addr,
				msh_vlan_of(burst->packet[i].mbuf));
		if (redirected != 0 && round == REDIRECTS_MAX) {
			MSH_FOREACH_BIT (i, redirected)
				msh_drop(w, burst->in_port, MSH_DROP_REDIRECT_LOOP,
					burst->packet[i].mbuf);
			return;
		}
		todo = redirected;
	}
}

/* Answer a question for an address of a VM on its behalf, instead of asking all. */
static bool
answer(struct msh_worker *w, const struct msh_config *config, struct msh_packet *p, uint16_t source)
{
	const struct msh_topology *t = config->topology;
	struct msh_claimed claimed;
	if (!t->answers || !rte_is_multicast_ether_addr(&msh_packet_ether(p)->dst_addr) ||
		!msh_claimed_read(p, &claimed) || !claimed.asks)
		return false;
	const struct msh_claim *claim = msh_claim_find(t->claims, &claimed.wanted);
	if (claim == NULL || claim->port == source || claim->vm == t->vm[source] ||
		t->port[source] == NULL || !msh_port_is_up(t->port[claim->port]) ||
		!msh_rules_carry(t->rules[claim->port], msh_vlan_of(p->mbuf)) ||
		!msh_rules_meet(t->rules[source], t->rules[claim->port]) ||
		!msh_claim_answer(claim, p))
		return false;
	msh_tx_queue(w, config, source, source, p->mbuf);
	return true;
}

/* Who a frame says to be is checked, and questions are answered. True: it has been dealt with. */
static bool
look_at_claims(struct msh_worker *w, const struct msh_config *config, struct msh_packet *p,
	uint16_t source)
{
	const struct msh_topology *t = config->topology;
	if (!msh_guard_permits(t->guard[source], t->claims, t->vm[source], p)) {
		msh_drop(w, source, MSH_DROP_SPOOFED_IP, p->mbuf);
		return true;
	}
	return answer(w, config, p, source);
}

/* Tag it as its port's rules say; what the switch says in a VM's name is of that VM's VLAN. False:
 * it was dropped. */
static bool
enter(struct msh_worker *w, const struct msh_topology *topology, const struct msh_packet *p,
	uint16_t source)
{
	bool own = source == MSH_PORT_SELF;
	uint16_t port = own ? pinned_port(w, &msh_packet_ether(p)->src_addr) : source;
	const struct msh_rules *rules = topology->rules[port];
	if (rules == NULL || msh_rules_enter(rules, p->mbuf))
		return true;
	msh_drop(w, source, MSH_DROP_VLAN, p->mbuf);
	return false;
}

/* Where the packet of a burst goes: a port's index, FLOOD, or 0 when it was dealt with. */
static inline uint16_t
forward(struct msh_worker *w, const struct msh_config *config, struct msh_packet *p,
	struct run *run)
{
	const struct msh_topology *topology = config->topology;
	const uint16_t source = run->source;
	struct rte_mbuf *m = p->mbuf;
	if (unlikely(m->data_len < sizeof(struct rte_ether_hdr))) {
		msh_drop(w, source, MSH_DROP_RUNT, m);
		return 0;
	}
	if (unlikely(m->ol_flags & (MSH_RAW_HEADER | MSH_UNFINISHED)) &&
		!msh_unfinished_accept(m)) {
		msh_drop(w, source, MSH_DROP_BAD_OFFLOAD, m);
		return 0;
	}
	if (unlikely(run->by_rules) && !enter(w, topology, p, source))
		return 0;
	const struct rte_ether_hdr *ether = msh_packet_ether(p);
	uint16_t vlan = msh_vlan_of(m);
	uint64_t key = msh_fdb_key(&ether->src_addr, vlan);
	if (key != run->last_source) {
		run->admitted = admit(w, topology, source, &ether->src_addr, vlan);
		run->last_source = key;
	}
	if (unlikely(!run->admitted)) {
		msh_drop(w, source, MSH_DROP_SPOOFED, m);
		return 0;
	}
	bool ipv4 = ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4);
	bool claims = ipv4 ? run->ipv4_claims : run->other_claims;
	if (unlikely(claims || config->has_redirects)) {
		msh_packet_need(p);
		if (claims && look_at_claims(w, config, p, source))
			return 0;
		if (config->has_redirects)
			look_back(w, config, p, source);
	}
	key = msh_fdb_key(&ether->dst_addr, vlan);
	if (key != run->last_destination) {
		run->port = find_port(w, topology, &ether->dst_addr, vlan);
		run->last_destination = key;
	}
	if (unlikely(run->port == source)) {
		msh_drop(w, source, MSH_DROP_SAME_PORT, m);
		return 0;
	}
	return run->port;
}

void
msh_pipeline_run(struct msh_worker *w, const struct msh_config *config, uint16_t source,
	struct rte_mbuf **packets, uint16_t n)
{
	struct msh_burst *burst = &w->burst;
	const struct msh_topology *topology = config->topology;
	const struct msh_guard *guard = topology->guard[source];
	struct run run = {
		.source = source,
		.by_rules = topology->has_rules &&
			    (source == MSH_PORT_SELF || topology->rules[source] != NULL),
		.ipv4_claims = guard != NULL && guard->ip_count > 0,
		/* What the switch says in a VM's name is true. */
		.other_claims =
			source != MSH_PORT_SELF && (guard != NULL || topology->claims->count > 0),
		.last_source = NO_KEY,
		.last_destination = NO_KEY,
	};
	uint64_t todo = 0;
	uint64_t bytes = 0;
	burst->count = n;
	burst->in_port = source;
	burst->worker = w->index;
	for (uint16_t i = 0; i < n; i++) {
		bytes += packets[i]->pkt_len;
		msh_packet_take(&burst->packet[i], packets[i]);
		burst->out[i] = forward(w, config, &burst->packet[i], &run);
		todo |= (uint64_t)(burst->out[i] != 0) << i;
	}
	msh_count(&w->counters[source].rx_packets, n);
	msh_count(&w->counters[source].rx_bytes, bytes);
	dispatch(w, config, burst, msh_leave(w, config, burst, todo));
	msh_tx_flush(w, config);
}
