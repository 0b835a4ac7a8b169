/* SPDX-License-Identifier: BSD-3-Clause */
#include <rte_byteorder.h>
#include <string.h>

#include "classifier.h"

static inline uint64_t
load_be64(const uint8_t *at)
{
	uint64_t word;

	__builtin_memcpy(&word, at, sizeof(word));
	return rte_be_to_cpu_64(word);
}

static inline uint64_t
load_mac(const struct rte_ether_addr *mac)
{
	const uint8_t *b = mac->addr_bytes;

	return (uint64_t)b[0] << 40 | (uint64_t)b[1] << 32 | (uint64_t)b[2] << 24 |
	       (uint64_t)b[3] << 16 | (uint64_t)b[4] << 8 | b[5];
}

void
msh_classifier_key(struct msh_classifier_key *to, const struct msh_packet *packet)
{
	const struct rte_ether_hdr *ether = msh_packet_ether(packet);
	uint64_t key[MSH_CLASSIFIER_WORDS] = {0};
	uint16_t info;

	key[MSH_WORD_META] = (uint64_t)packet->ether_type << 48;
	if (packet->tagged)
		key[MSH_WORD_META] |= MSH_META_TAGGED | (uint64_t)(packet->tci & 0xfff) << 32;
	if (packet->ip_version == 4) {
		const struct rte_ipv4_hdr *ip = msh_packet_ipv4(packet);
		key[MSH_WORD_META] |= MSH_META_IP4;
		key[MSH_WORD_IP] = (uint64_t)rte_be_to_cpu_32(ip->src_addr) << 32 |
				   rte_be_to_cpu_32(ip->dst_addr);
	} else if (packet->ip_version == 6) {
		const struct rte_ipv6_hdr *ip = msh_packet_ipv6(packet);
		key[MSH_WORD_META] |= MSH_META_IP6;
		key[MSH_WORD_IP] = load_be64(ip->src_addr);
		key[MSH_WORD_IP6_SRC_LOW] = load_be64(ip->src_addr + 8);
		key[MSH_WORD_IP6_DST] = load_be64(ip->dst_addr);
		key[MSH_WORD_IP6_DST_LOW] = load_be64(ip->dst_addr + 8);
	}
	if (packet->ip_version != 0)
		key[MSH_WORD_L4] = (uint64_t)packet->proto << 8 | packet->tos;
	if (packet->has_ports) {
		key[MSH_WORD_META] |= MSH_META_PORTS;
		key[MSH_WORD_L4] |= (uint64_t)packet->sport << 48 | (uint64_t)packet->dport << 32;
	}
	if (msh_packet_info(packet, &info)) {
		key[MSH_WORD_META] |= MSH_META_INFO;
		key[MSH_WORD_L4] |= (uint64_t)info << 16;
	}
	key[MSH_WORD_MAC_SRC] = load_mac(&ether->src_addr);
	key[MSH_WORD_MAC_DST] = load_mac(&ether->dst_addr);
	memcpy(to->word, key, sizeof(key));
}
