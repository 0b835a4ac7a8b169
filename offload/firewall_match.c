/* SPDX-License-Identifier: BSD-3-Clause */
#include "firewall_box.h"

#include <string.h>

/* Masks: all ones in the fields that VALUE v names. */
#define ON(v, bit, ones) ((v) & (bit) ? (ones) : 0)
#define MAC_ON(v, bit)                                                                  \
	{                                                                               \
		ON(v, bit, 0xff), ON(v, bit, 0xff), ON(v, bit, 0xff), ON(v, bit, 0xff), \
			ON(v, bit, 0xff), ON(v, bit, 0xff)                              \
	}
#define MASK_MAC(v)                                       \
	{                                                 \
		.mac = {.s = MAC_ON(v, MSH_FIELD_S),      \
			.t = ON(v, MSH_FIELD_T, 0xff),    \
			.d = MAC_ON(v, MSH_FIELD_D),      \
			.p = ON(v, MSH_FIELD_P, 0xffff) } \
	}
#define MASK_IP4(v)                                           \
	{                                                     \
		.ip4 = {.t = ON(v, MSH_FIELD_T, 0xff),        \
			.p = ON(v, MSH_FIELD_P, 0xff),        \
			.s = ON(v, MSH_FIELD_S, UINT32_MAX),  \
			.d = ON(v, MSH_FIELD_D, UINT32_MAX) } \
	}
#define MASK_IP6(v)                                                                             \
	{                                                                                       \
		.ip6 = {.t = ON(v, MSH_FIELD_T, 0xff),                                          \
			.p = ON(v, MSH_FIELD_P, 0xff),                                          \
			.s = {ON(v, MSH_FIELD_S, UINT64_MAX), ON(v, MSH_FIELD_S, UINT64_MAX)},  \
			.d = {ON(v, MSH_FIELD_D, UINT64_MAX), ON(v, MSH_FIELD_D, UINT64_MAX)} } \
	}
#define MASK_TRANSPORT(v)                                \
	{                                                \
		.transport = {                           \
			.s = ON(v, MSH_FIELD_S, 0xffff), \
			.d = ON(v, MSH_FIELD_D, 0xffff), \
			.t = ON(v, MSH_FIELD_T, 0xff),   \
			.p = ON(v, MSH_FIELD_P, 0xff)    \
		}                                        \
	}
#define ALL(M)                                                                                   \
	{                                                                                        \
		M(0), M(1), M(2), M(3), M(4), M(5), M(6), M(7), M(8), M(9), M(10), M(11), M(12), \
			M(13), M(14), M(15)                                                      \
	}

static const union msh_filter_key masks[MSH_FILTER_KINDS][MSH_FILTER_VALUES] = {
	[MSH_FILTER_MAC] = ALL(MASK_MAC),
	[MSH_FILTER_IP4] = ALL(MASK_IP4),
	[MSH_FILTER_IP6] = ALL(MASK_IP6),
	[MSH_FILTER_TRANSPORT] = ALL(MASK_TRANSPORT),
};

/* Sets of VALUEs, one bit each. */
#define VALUES_ALL 0xffff
#define VALUES_WITHOUT_T 0x00ff
#define VALUES_WITHOUT_ADDRESSES 0x0303 /* 0, 1, 8, 9 */

/* The filter of this kind and VALUE that matches a packet whose fields are `key`. */
static inline struct msh_filter *
probe(const struct msh_fw *fw, const struct msh_fw_box *box, enum msh_filter_kind kind,
	unsigned int value, const union msh_filter_key *key)
{
	const union msh_filter_key *mask = &masks[kind][value];
	unsigned int words = msh_filter_words(kind, value);
	union msh_filter_key wanted;

	for (unsigned int i = 0; i < words; i++)
		wanted.word[i] = key->word[i] & mask->word[i];
	return (struct msh_filter *)msh_set_find(box->set[kind][value],
		msh_object_hash(&fw->secret, wanted.word, words), wanted.word, words);
}

static struct msh_filter *
match_mac(const struct msh_fw *fw, const struct msh_fw_box *box, const struct msh_packet *p)
{
	uint64_t values = box->used[MSH_FILTER_MAC] & (p->tagged ? VALUES_ALL : VALUES_WITHOUT_T);
	const struct rte_ether_hdr *ether = msh_packet_ether(p);
	union msh_filter_key key;

	memcpy(key.mac.s, &ether->src_addr, sizeof(key.mac.s));
	memcpy(key.mac.d, &ether->dst_addr, sizeof(key.mac.d));
	key.mac.t = (uint8_t)(p->tci >> 13);
	key.mac.pad = 0;
	key.mac.p = p->ether_type;
	MSH_FOREACH_BIT (value, values) {
		struct msh_filter *hit = probe(fw, box, MSH_FILTER_MAC, (unsigned int)value, &key);
		if (hit != NULL)
			return hit;
	}
	return NULL;
}

static struct msh_filter *
match_ip(const struct msh_fw *fw, const struct msh_fw_box *box, const struct msh_packet *p)
{
	uint64_t values = box->used[MSH_FILTER_IP4];
	const uint8_t *header = rte_pktmbuf_mtod_offset(p->mbuf, const uint8_t *, p->l3);
	union msh_filter_key key = {.word = {0}};

	key.ip4.t = p->tos;
	key.ip4.p = p->proto;
	if (p->ip_version == 4) {
		memcpy(&key.ip4.s, header + 12, sizeof(key.ip4.s));
		memcpy(&key.ip4.d, header + 16, sizeof(key.ip4.d));
	} else {
		values = (values & VALUES_WITHOUT_ADDRESSES) | box->used[MSH_FILTER_IP6];
		memcpy(key.ip6.s, header + 8, sizeof(key.ip6.s));
		memcpy(key.ip6.d, header + 24, sizeof(key.ip6.d));
	}
	MSH_FOREACH_BIT (value, values) {
		enum msh_filter_kind kind = p->ip_version == 6 && (value & MSH_FIELD_ADDRESSES)
						    ? MSH_FILTER_IP6
						    : MSH_FILTER_IP4;
		struct msh_filter *hit = probe(fw, box, kind, (unsigned int)value, &key);
		if (hit != NULL)
			return hit;
	}
	return NULL;
}

static struct msh_filter *
match_transport(const struct msh_fw *fw, const struct msh_fw_box *box, const struct msh_packet *p)
{
	uint64_t values = box->used[MSH_FILTER_TRANSPORT] &
			  (p->has_ports ? VALUES_ALL : VALUES_WITHOUT_ADDRESSES);
	union msh_filter_key key;

	key.word[0] = 0;
	key.transport.s = p->sport;
	key.transport.d = p->dport;
	key.transport.t = p->tos;
	key.transport.p = p->proto;
	MSH_FOREACH_BIT (value, values) {
		struct msh_filter *hit =
			probe(fw, box, MSH_FILTER_TRANSPORT, (unsigned int)value, &key);
		if (hit != NULL)
			return hit;
	}
	return NULL;
}

static struct msh_filter *
match_box(const struct msh_fw *fw, const struct msh_fw_box *box, const struct msh_packet *p)
{
	struct msh_filter *hit = match_mac(fw, box, p);

	if (hit == NULL && p->ip_version != 0)
		hit = match_ip(fw, box, p);
	if (hit == NULL && p->ip_version != 0)
		hit = match_transport(fw, box, p);
	return hit;
}

/* The packets that come for the box: to its MAC, or to a group. Or those that come from it. */
static inline uint64_t
packets_of(const struct msh_fw *fw, uint32_t box, enum msh_direction direction,
	const struct msh_burst *burst, uint64_t mask)
{
	uint64_t mine = 0;

	MSH_FOREACH_BIT (i, mask) {
		const struct rte_ether_hdr *ether = msh_packet_ether(&burst->packet[i]);
		bool is_mine = direction == MSH_OUT
				       ? msh_fw_mac_bits(&ether->src_addr) == fw->mac[box]
				       : rte_is_multicast_ether_addr(&ether->dst_addr) ||
						 msh_fw_mac_bits(&ether->dst_addr) == fw->mac[box];
		mine |= (uint64_t)is_mine << i;
	}
	return mine;
}

/* Those of the packets that no filter drops. */
static uint64_t
filter(const struct msh_fw *fw, const struct msh_fw_box *box, struct msh_burst *burst,
	uint64_t mask)
{
	uint64_t passed = mask;

	if (box->filters == 0)
		return mask;
	MSH_FOREACH_BIT (i, mask) {
		const struct msh_filter *hit = match_box(fw, box, &burst->packet[i]);
		if (hit == NULL)
			continue;
		burst->verdict[i].action = MSH_DROP;
		burst->verdict[i].reason = MSH_DROP_FIREWALL;
		msh_verdict_tally(&burst->verdict[i], hit->tally);
		passed &= ~(UINT64_C(1) << i);
	}
	return passed;
}

void
msh_fw_classify(
	const void *instance, enum msh_direction direction, struct msh_burst *burst, uint64_t mask)
{
	const struct msh_fw *fw = instance;

	for (uint32_t b = 0; b < fw->boxes && mask != 0; b++) {
		const struct msh_fw_box *box = fw->box[b];
		uint64_t mine = packets_of(fw, b, direction, burst, mask);
		uint64_t passed = direction == MSH_IN ? filter(fw, box, burst, mine) : mine;
		if (box->rules != NULL && passed != 0)
			msh_fw_rules_judge(box, direction, burst, passed);
		MSH_FOREACH_BIT (i, mine)
			if (burst->verdict[i].action != MSH_DELIVER)
				mask &= ~(UINT64_C(1) << i);
	}
}

unsigned int
msh_fw_reads(const void *instance, enum msh_direction direction)
{
	const struct msh_fw *fw = instance;
	unsigned int reads = direction == MSH_IN ? MSH_READS_SOME : 0;

	for (uint32_t b = 0; b < fw->boxes; b++) {
		const struct msh_fw_box *box = fw->box[b];
		if (box->rules == NULL)
			continue;
		if (box->rules->side[direction].count > 0 || box->fallback[direction] != FW_ALLOW)
			reads |= MSH_READS_SOME;
		if (box->rules->side[direction].reads_flags > 0)
			reads |= MSH_READS_FLAGS;
		if (box->rules->side[direction].reads_state > 0)
			reads |= MSH_READS_STATE;
	}
	return reads;
}
