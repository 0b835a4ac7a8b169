/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "firewall_rule.h"
#include "protocols.h"

struct text {
	char *at;
	size_t left;
};

static void __attribute__((format(printf, 2, 3))) put(struct text *text, const char *format, ...)
{
	va_list list;
	va_start(list, format);
	int n = vsnprintf(text->at, text->left, format, list);
	va_end(list);
	text->at += n;
	text->left -= (size_t)n;
}

static void
put_prefix(struct text *text, const char *word, const struct fw_prefix *prefix)
{
	char ip[MSH_IP_TEXT];
	put(text, " %s %s", word, msh_ip_text(&prefix->ip, ip));
	if (prefix->bits != (prefix->ip.version == 4 ? 32 : 128))
		put(text, "/%u", prefix->bits);
}

static void
put_ports(struct text *text, const char *word, const uint16_t port[2])
{
	put(text, " %s %u", word, port[0]);
	if (port[1] != port[0])
		put(text, "-%u", port[1]);
}

static void
put_bits(struct text *text, const char *const *names, unsigned int count, uint8_t bits)
{
	const char *comma = "";
	for (unsigned int i = 0; i < count; i++)
		if (bits & 1u << i) {
			put(text, "%s%s", comma, names[i]);
			comma = ",";
		}
	if (bits == 0)
		put(text, "none");
}

static void
put_mac(struct text *text, const char *word, const struct rte_ether_addr *mac)
{
	char buffer[MSH_MAC_TEXT];
	put(text, " %s %s", word, msh_mac_text(mac, buffer));
}

static void
put_transport(struct text *text, const struct fw_match *m)
{
	const char *name = msh_protocol_name(m->proto);
	if (m->named & 1u << FW_PROTO && name != NULL)
		put(text, " proto %s", name);
	else if (m->named & 1u << FW_PROTO)
		put(text, " proto %u", m->proto);
	if (m->named & 1u << FW_SPORT)
		put_ports(text, "sport", m->sport);
	if (m->named & 1u << FW_DPORT)
		put_ports(text, "dport", m->dport);
	if (m->named & 1u << FW_FLAGS) {
		put(text, " flags ");
		put_bits(text, fw_flag_names, FW_FLAGS_COUNT, m->flags);
		if (m->flags_mask != m->flags) {
			put(text, "/");
			put_bits(text, fw_flag_names, FW_FLAGS_COUNT, m->flags_mask);
		}
	}
	if (m->named & 1u << FW_ICMP)
		put(text, " icmp %u", m->icmp_type);
	if (m->icmp_coded)
		put(text, "/%u", m->icmp_code);
}

static void
put_frame(struct text *text, const struct fw_match *m)
{
	const char *name = msh_ether_type_name(m->ether_type);
	if (m->named & 1u << FW_VLAN && m->vlan == 0)
		put(text, " vlan none");
	else if (m->named & 1u << FW_VLAN)
		put(text, " vlan %u", m->vlan);
	if (m->named & 1u << FW_TYPE && name != NULL)
		put(text, " type %s", name);
	else if (m->named & 1u << FW_TYPE)
		put(text, " type 0x%04x", m->ether_type);
	if (m->named & 1u << FW_SMAC)
		put_mac(text, "smac", &m->smac);
	if (m->named & 1u << FW_DMAC)
		put_mac(text, "dmac", &m->dmac);
}

const char *
fw_match_text(const struct fw_match *m, char buffer[FW_MATCH_TEXT])
{
	struct text text = {buffer, FW_MATCH_TEXT};
	buffer[0] = '\0';
	if (m->named & 1u << FW_FROM)
		put_prefix(&text, "from", &m->from);
	if (m->named & 1u << FW_TO)
		put_prefix(&text, "to", &m->to);
	put_transport(&text, m);
	if (m->named & 1u << FW_TOS)
		put(&text, " tos %u", m->tos);
	if (m->named & 1u << FW_TOS && m->tos_mask != UINT8_MAX)
		put(&text, "/%u", m->tos_mask);
	put_frame(&text, m);
	if (m->named & 1u << FW_STATE) {
		put(&text, " state ");
		put_bits(&text, fw_state_names, FW_STATES, m->states);
	}
	return buffer[0] == ' ' ? buffer + 1 : buffer;
}
