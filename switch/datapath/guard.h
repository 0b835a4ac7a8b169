/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Who a VM may say it is: source MACs and IPs, and what it claims by ARP (RFC 826) and neighbour
 * discovery (RFC 4861). */

#include "command.h"
#include "packet.h"

/* What the VM behind a port may use as source. Immutable once published. */
struct msh_guard {
	uint16_t mac_count, ip_count;
	struct rte_ether_addr mac[MSH_VM_MACS_MAX];
	struct msh_ip ip[MSH_VM_IPS_MAX]; /* none: any, but for those of others */
};

/* An address of a VM: nobody else may claim it, and the switch knows who has it. */
struct msh_claim {
	struct msh_ip ip;
	struct rte_ether_addr mac;
	uint16_t vm;
	uint16_t port;
};

/* All of them, sorted by msh_ip_compare. */
struct msh_claims {
	size_t count;
	struct msh_claim claim[];
};

int msh_ip_compare(const struct msh_ip *a, const struct msh_ip *b);
const struct msh_claim *msh_claim_find(const struct msh_claims *claims, const struct msh_ip *ip);

static inline bool
msh_guard_allows(const struct msh_guard *guard, const struct rte_ether_addr *source)
{
	for (uint16_t i = 0; i < guard->mac_count; i++)
		if (rte_is_same_ether_addr(&guard->mac[i], source))
			return true;
	return false;
}

/* What a packet of ARP or neighbour discovery says and asks. */
struct msh_claimed {
	bool claims, asks;
	struct msh_ip ip;          /* claimed to be at `mac` */
	struct rte_ether_addr mac; /* zero: it says of none */
	struct msh_ip wanted;
};

/* Read a parsed packet of ARP or IPv6 neighbour discovery. False: it is none. */
bool msh_claimed_read(const struct msh_packet *p, struct msh_claimed *claimed);

/* May this VM (0: none) send that? `guard` NULL: a port of no VM. p is parsed. */
bool msh_guard_permits(const struct msh_guard *guard, const struct msh_claims *claims, uint16_t vm,
	const struct msh_packet *p);

/* Make a question for an address into the answer that its VM would give. False, with the packet as
 * it was: it is no question that can be answered so. p is parsed. */
bool msh_claim_answer(const struct msh_claim *claim, struct msh_packet *p);
