/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The flow table: what the stages decided on a flow, so that only its first packet walks them,
 * whatever their number and that of their rules. One table for all workers.
 *
 * A flow is all packets between the same two MACs that agree in VLAN tag, EtherType, addresses,
 * protocol, type of service, ports, type and code of ICMP, and being a fragment, and pass the same
 * stages of the same generation. The key itself is not kept, but 64 bits of a keyed hash of it:
 * among a million flows of one VM, one new flow in 10^13 is taken for another. Nothing but time is
 * lost with an entry. */

#include "burst.h"
#include "hash.h"

struct msh_flow_table;

/* The stages that a flow passes. */
struct msh_flow_scope {
	uint16_t vm;         /* whose they are */
	bool out;            /* those of what comes from it, not of what is for it */
	bool flags;          /* they look at TCP flags, which then belong to the key */
	bool states;         /* and at burst->state[], likewise */
	uint32_t generation; /* of them; another one makes its entries void */
};

/* Seconds after which an entry may be overwritten by a new flow's. */
#define MSH_FLOW_IDLE 10

/* Room for so many flows, rounded up to a power of two. NULL when memory is short. */
struct msh_flow_table *msh_flow_create(uint32_t flows);
void msh_flow_free(struct msh_flow_table *table);

/* Fill in the verdicts of those packets of `mask` whose flow is known, and burst->flow[] of all.
 * Returns the mask of the known. Need not be parsed; may be afterwards. Any worker. */
uint64_t msh_flow_find(struct msh_flow_table *table, const struct msh_flow_scope *scope,
	struct msh_burst *burst, uint64_t mask, uint32_t now);

/* Remember the verdicts of the packets of `mask`, after msh_flow_find in the same turn. In a bucket
 * full of flows in use most newcomers are turned away, and all that are dropped: a flood of new
 * flows must not push out the others. Any worker. */
void msh_flow_keep(struct msh_flow_table *table, const struct msh_flow_scope *scope,
	const struct msh_burst *burst, uint64_t mask, uint32_t now);

/* Number of entries. Control lcore. */
uint32_t msh_flow_room(const struct msh_flow_table *table);
/* Of those not idle. Control lcore; looks at each. */
uint32_t msh_flow_count(const struct msh_flow_table *table, uint32_t now);
