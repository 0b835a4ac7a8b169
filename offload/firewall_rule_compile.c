/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_byteorder.h>
#include <string.h>

#include "firewall_rules.h"

static void
ask(struct msh_classifier_rule *c, enum msh_classifier_word word, unsigned int shift,
	uint64_t value, uint64_t mask)
{
	c->value[word] |= value << shift;
	c->mask[word] |= mask << shift;
}

static uint64_t
high_bits(unsigned int bits)
{
	return bits == 0 ? 0 : ~UINT64_C(0) << (64 - bits);
}

static void
ask_prefix(struct msh_classifier_rule *c, const struct fw_prefix *p, bool source)
{
	if (p->ip.version == 4) {
		uint64_t value = rte_be_to_cpu_32(p->ip.v4.s_addr);
		ask(c, MSH_WORD_IP, source ? 32 : 0, value, high_bits(p->bits) >> 32);
		ask(c, MSH_WORD_META, 0, MSH_META_IP4, MSH_META_IP4);
		return;
	}
	uint64_t half[2];
	memcpy(half, &p->ip.v6, sizeof(half));
	ask(c, source ? MSH_WORD_IP : MSH_WORD_IP6_DST, 0, rte_be_to_cpu_64(half[0]),
		high_bits(RTE_MIN(p->bits, 64)));
	ask(c, source ? MSH_WORD_IP6_SRC_LOW : MSH_WORD_IP6_DST_LOW, 0, rte_be_to_cpu_64(half[1]),
		high_bits(p->bits > 64 ? p->bits - 64u : 0));
	ask(c, MSH_WORD_META, 0, MSH_META_IP6, MSH_META_IP6);
}

static void
ask_mac(struct msh_classifier_rule *c, enum msh_classifier_word word,
	const struct rte_ether_addr *mac)
{
	uint64_t value = 0;
	for (unsigned int i = 0; i < RTE_ETHER_ADDR_LEN; i++)
		value = value << 8 | mac->addr_bytes[i];
	ask(c, word, 0, value, (UINT64_C(1) << 48) - 1);
}

static void
ask_protocol(struct msh_classifier_rule *c, uint8_t proto)
{
	ask(c, MSH_WORD_L4, 8, proto, UINT8_MAX);
	ask(c, MSH_WORD_META, 0, FW_META_IP, FW_META_IP);
}

static void
ask_transport(struct msh_classifier_rule *c, const struct fw_match *m)
{
	bool v6 = m->from.ip.version == 6 || m->to.ip.version == 6;
	if (m->named & (1u << FW_SPORT | 1u << FW_DPORT))
		ask(c, MSH_WORD_META, 0, MSH_META_PORTS, MSH_META_PORTS);
	if (m->named & 1u << FW_FLAGS) {
		ask_protocol(c, IPPROTO_TCP);
		ask(c, MSH_WORD_META, 0, MSH_META_INFO, MSH_META_INFO);
		ask(c, MSH_WORD_L4, 24, m->flags, m->flags_mask);
	}
	if (m->named & 1u << FW_ICMP) {
		if (!(m->named & 1u << FW_PROTO))
			ask_protocol(c, v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
		ask(c, MSH_WORD_META, 0, MSH_META_INFO, MSH_META_INFO);
		ask(c, MSH_WORD_L4, 24, m->icmp_type, UINT8_MAX);
		if (m->icmp_coded)
			ask(c, MSH_WORD_L4, 16, m->icmp_code, UINT8_MAX);
	}
	if (m->named & 1u << FW_PROTO)
		ask_protocol(c, m->proto);
	if (m->named & 1u << FW_TOS) {
		ask(c, MSH_WORD_META, 0, FW_META_IP, FW_META_IP);
		ask(c, MSH_WORD_L4, 0, m->tos, m->tos_mask);
	}
}

void
fw_rule_compile(struct fw_rule *rule, struct msh_classifier_rule *c)
{
	const struct fw_match *m = &rule->match;
	*c = (struct msh_classifier_rule){.priority = rule->number, .object = rule};
	memcpy(c->sport, m->sport, sizeof(c->sport));
	memcpy(c->dport, m->dport, sizeof(c->dport));
	if (m->named & 1u << FW_FROM)
		ask_prefix(c, &m->from, true);
	if (m->named & 1u << FW_TO)
		ask_prefix(c, &m->to, false);
	ask_transport(c, m);
	if (m->named & 1u << FW_TYPE)
		ask(c, MSH_WORD_META, 48, m->ether_type, UINT16_MAX);
	if (m->named & 1u << FW_VLAN)
		ask(c, MSH_WORD_META, 32, m->vlan | (m->vlan != 0 ? 1u << 12 : 0),
			m->vlan != 0 ? 0x1fff : 1u << 12);
	/* A packet has one state: that is, none of those that the rule does not name. */
	if (m->named & 1u << FW_STATE)
		ask(c, MSH_WORD_META, FW_META_STATE, 0, ~m->states & ((1u << FW_STATES) - 1));
	if (m->named & 1u << FW_SMAC)
		ask_mac(c, MSH_WORD_MAC_SRC, &m->smac);
	if (m->named & 1u << FW_DMAC)
		ask_mac(c, MSH_WORD_MAC_DST, &m->dmac);
}
