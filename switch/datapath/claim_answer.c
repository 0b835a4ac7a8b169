/* SPDX-License-Identifier: BSD-3-Clause */

/* Questions for addresses that the switch knows, answered in the name of the VM that has them: they
 * need not be flooded. */

#include <netinet/icmp6.h>
#include <rte_arp.h>
#include <rte_ip.h>
#include <string.h>

#include "guard.h"

#define ND_SIZE 24 /* of a solicitation and of an advertisement, without options */
#define ND_SOLICITED 0x40
#define ND_OVERRIDE 0x20

/* RFC 826 */
static bool
answer_arp(const struct msh_claim *claim, struct msh_packet *p)
{
	struct rte_ether_hdr *ether = msh_packet_ether(p);
	struct rte_arp_hdr *arp =
		rte_pktmbuf_mtod_offset(p->mbuf, struct rte_arp_hdr *, p->payload);
	if (arp->arp_data.arp_sip == 0 ||
		!rte_is_same_ether_addr(&arp->arp_data.arp_sha, &ether->src_addr))
		return false; /* a probe: let the VM defend its address itself */
	arp->arp_opcode = RTE_BE16(RTE_ARP_OP_REPLY);
	arp->arp_data.arp_tha = arp->arp_data.arp_sha;
	arp->arp_data.arp_tip = arp->arp_data.arp_sip;
	arp->arp_data.arp_sha = claim->mac;
	memcpy(&arp->arp_data.arp_sip, &claim->ip.v4, sizeof(claim->ip.v4));
	ether->dst_addr = ether->src_addr;
	ether->src_addr = claim->mac;
	return true;
}

/* A solicitation with one option becomes an advertisement of the same length (RFC 4861 4.3, 4.4).
 */
static bool
answer_nd(const struct msh_claim *claim, struct msh_packet *p)
{
	struct rte_ether_hdr *ether = msh_packet_ether(p);
	struct rte_ipv6_hdr *ip = msh_packet_ipv6(p);
	/* By bytes: frames are not aligned. */
	uint8_t *advert = rte_pktmbuf_mtod_offset(p->mbuf, uint8_t *, p->l4);
	uint8_t *option = advert + ND_SIZE;
	static const uint8_t none[16];
	if (p->l4 != p->l3 + sizeof(*ip) || ip->payload_len != RTE_BE16(ND_SIZE + 8) ||
		p->mbuf->data_len < p->l4 + ND_SIZE + 8 || ip->hop_limits != 255 ||
		option[0] != ND_OPT_SOURCE_LINKADDR || option[1] != 1 ||
		memcmp(option + 2, &ether->src_addr, 6) != 0 ||
		memcmp(ip->src_addr, none, sizeof(none)) == 0)
		return false;
	advert[0] = ND_NEIGHBOR_ADVERT;
	advert[4] = ND_SOLICITED | ND_OVERRIDE;
	option[0] = ND_OPT_TARGET_LINKADDR;
	memcpy(option + 2, &claim->mac, 6);
	memcpy(ip->dst_addr, ip->src_addr, 16);
	memcpy(ip->src_addr, &claim->ip.v6, 16);
	uint16_t sum = 0;
	memcpy(advert + 2, &sum, sizeof(sum));
	sum = rte_ipv6_udptcp_cksum(ip, advert);
	memcpy(advert + 2, &sum, sizeof(sum));
	ether->dst_addr = ether->src_addr;
	ether->src_addr = claim->mac;
	return true;
}

bool
msh_claim_answer(const struct msh_claim *claim, struct msh_packet *p)
{
	return claim->ip.version == 4 ? answer_arp(claim, p) : answer_nd(claim, p);
}
