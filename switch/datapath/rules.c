/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_ether.h>
#include <string.h>

#include "rules.h"
#include "unfinished.h"

#define TAG ((uint16_t)sizeof(struct rte_vlan_hdr))
#define MACS (2 * RTE_ETHER_ADDR_LEN)

/* Where the checksum of an unfinished packet lies moves with the tag. */
static void
move_headers(struct rte_mbuf *m, int by)
{
	if (m->ol_flags & MSH_UNFINISHED)
		m->l2_len = (uint8_t)(m->l2_len + by) & 0x7f;
}

static bool
push(struct rte_mbuf *m, uint16_t tci)
{
	uint8_t macs[MACS];
	memcpy(macs, rte_pktmbuf_mtod(m, uint8_t *), MACS);
	uint8_t *at = (uint8_t *)rte_pktmbuf_prepend(m, TAG);
	if (at == NULL)
		return false;
	rte_be16_t tag[2] = {RTE_BE16(RTE_ETHER_TYPE_VLAN), rte_cpu_to_be_16(tci)};
	memcpy(at, macs, MACS);
	memcpy(at + MACS, tag, sizeof(tag));
	move_headers(m, TAG);
	return true;
}

static void
pop(struct rte_mbuf *m)
{
	uint8_t macs[MACS], *at = rte_pktmbuf_mtod(m, uint8_t *);
	memcpy(macs, at, MACS);
	memcpy(at + TAG, macs, MACS);
	rte_pktmbuf_adj(m, TAG);
	move_headers(m, -(int)TAG);
}

static bool
is_tagged(const struct rte_mbuf *m)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	return ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_VLAN) && m->data_len >= 18;
}

/* A frame without a tag, or with one that only gives a priority (802.1Q 6.9.1), is of this VLAN. */
static bool
classify(struct rte_mbuf *m, uint16_t vlan)
{
	if (!is_tagged(m))
		return push(m, vlan);
	rte_be16_t *tci = rte_pktmbuf_mtod_offset(m, rte_be16_t *, sizeof(struct rte_ether_hdr));
	*tci |= rte_cpu_to_be_16(vlan);
	return true;
}

bool
msh_rules_enter(const struct msh_rules *rules, struct rte_mbuf *m)
{
	switch (rules->mode) {
	case MSH_VLAN_TRANSPARENT:
		return true;
	case MSH_VLAN_TUNNEL:
		return push(m, rules->vlan);
	case MSH_VLAN_ACCESS:
		return msh_vlan_of(m) == 0 && classify(m, rules->vlan);
	default:
		if (msh_vlan_of(m) == 0)
			return rules->vlan != 0 && classify(m, rules->vlan);
		return msh_rules_carry(rules, msh_vlan_of(m));
	}
}

bool
msh_rules_leave(const struct msh_rules *rules, struct rte_mbuf *m)
{
	uint16_t vlan = msh_vlan_of(m);
	if (!msh_rules_carry(rules, vlan))
		return false;
	if (rules->mode != MSH_VLAN_TRANSPARENT && vlan == rules->vlan && is_tagged(m))
		pop(m);
	return true;
}
