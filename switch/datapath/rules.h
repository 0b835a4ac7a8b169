/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What an operator laid down for a port: its VLANs (IEEE 802.1Q), who it may talk to, how much it
 * may flood. Inside the switch a frame of a VLAN carries its tag; ports without rules pass frames
 * as they are. */

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#define MSH_VLANS 4096

enum msh_vlan_mode {
	MSH_VLAN_TRANSPARENT = 0, /* tags and their absence pass */
	MSH_VLAN_ACCESS,          /* untagged outside, of one VLAN inside */
	MSH_VLAN_TRUNK,  /* tagged with any of a set; untagged: of the native one, if any */
	MSH_VLAN_TUNNEL, /* anything outside, behind one more tag inside (QinQ) */
};

/* Immutable once published. */
struct msh_rules {
	enum msh_vlan_mode mode;
	uint16_t vlan;                    /* access, tunnel, native; 0: none */
	bool isolated;                    /* no word with other isolated ports */
	uint32_t storm;                   /* packets a second that it may flood; 0: any */
	uint32_t macs;                    /* that are learned on it; 0: any number */
	uint64_t carries[MSH_VLANS / 64]; /* trunk: bit set of VLANs */
};

/* VLAN of a frame inside the switch: of its outermost tag, 0 without one. */
static inline uint16_t
msh_vlan_of(const struct rte_mbuf *m)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	if (likely(ether->ether_type != RTE_BE16(RTE_ETHER_TYPE_VLAN)) || m->data_len < 18)
		return 0;
	const struct rte_vlan_hdr *vlan = (const struct rte_vlan_hdr *)(ether + 1);
	return rte_be_to_cpu_16(vlan->vlan_tci) & 0xfff;
}

/* Does a port with these rules carry this VLAN? NULL: it carries all. */
static inline bool
msh_rules_carry(const struct msh_rules *rules, uint16_t vlan)
{
	if (rules == NULL || rules->mode == MSH_VLAN_TRANSPARENT)
		return true;
	if (rules->mode == MSH_VLAN_TRUNK)
		return (vlan == rules->vlan && vlan != 0) ||
		       (rules->carries[vlan / 64] >> (vlan % 64) & 1);
	return vlan == rules->vlan;
}

/* A frame comes in: tag it as it is inside. False: the port does not carry its VLAN, or there is no
 * room for a tag. */
bool msh_rules_enter(const struct msh_rules *rules, struct rte_mbuf *m);

/* A frame goes out: take off the tag that is not seen outside. False: the port does not carry its
 * VLAN. */
bool msh_rules_leave(const struct msh_rules *rules, struct rte_mbuf *m);

/* May frames from a port with these rules leave by one with those? */
static inline bool
msh_rules_meet(const struct msh_rules *from, const struct msh_rules *to)
{
	return from == NULL || to == NULL || !from->isolated || !to->isolated;
}
