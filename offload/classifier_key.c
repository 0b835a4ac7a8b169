/* SPDX-License-Identifier: BSD-3-Clause */
#include <netinet/in.h>
#include <rte_byteorder.h>
#include <string.h>

#include "classifier.h"

#define TCP_FLAGS_OFFSET 13 /* RFC 9293 3.1 */

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

/* Bytes of the header above IP that are in the first segment and in the datagram. */
static inline uint32_t
l4_bytes(const struct msh_packet *p)
{
	uint32_t end = rte_pktmbuf_data_len(p->mbuf);
	uint32_t datagram =
		p->ip_version == 4
			? p->l3 + (uint32_t)rte_be_to_cpu_16(msh_packet_ipv4(p)->total_length)
			: p->l3 + (uint32_t)sizeof(struct rte_ipv6_hdr) +
				  rte_be_to_cpu_16(msh_packet_ipv6(p)->payload_len);

	return RTE_MIN(end, datagram) - p->l4;
}

/* TCP flags, or type and code of ICMP; false: it has none, or not all of it is there. */
static inline bool
l4_info(const struct msh_packet *p, uint64_t *info)
{
	const uint8_t *header = rte_pktmbuf_mtod_offset(p->mbuf, const uint8_t *, p->l4);

	if (p->proto == IPPROTO_TCP && l4_bytes(p) > TCP_FLAGS_OFFSET)
		*info = (uint64_t)header[TCP_FLAGS_OFFSET] << 8;
	else if ((p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6) && l4_bytes(p) >= 2)
		*info = (uint64_t)header[0] << 8 | header[1];
	else
		return false;
	return true;
}

void
msh_classifier_key(struct msh_classifier_key *to, const struct msh_packet *packet)
{
	const struct rte_ether_hdr *ether = msh_packet_ether(packet);
	uint64_t key[MSH_CLASSIFIER_WORDS] = {0}, info;

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
	if (packet->l4 != 0 && l4_info(packet, &info)) {
		key[MSH_WORD_META] |= MSH_META_INFO;
		key[MSH_WORD_L4] |= info << 16;
	}
	key[MSH_WORD_MAC_SRC] = load_mac(&ether->src_addr);
	key[MSH_WORD_MAC_DST] = load_mac(&ether->dst_addr);
	memcpy(to->word, key, sizeof(key));
}
