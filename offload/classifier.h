/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Finds, of many rules with priorities, the one that decides a packet.
 *
 * Tuple space search (Srinivasan et al., 1999) with merged tuples, as TupleMerge has it (Daly et
 * al., 2019): rules are kept in a few hash tables, each keyed by some of the bits that all of its
 * rules ask for; a lookup looks once into each table, and compares the rules that it finds there.
 * The hash is keyed by a secret: neither rules nor packets can be made to collide.
 *
 * The control lcore changes a classifier while workers search it. A search sees each change whole
 * or not at all, but one that is under way may see a change and not the one before; what a change
 * takes out is freed after a quiescent state (retire.h). To change more than one rule at once,
 * create another classifier and publish its pointer. */

#include <stdbool.h>

#include "packet.h"

/* What a rule can ask of a packet, in 64-bit words in host order. What a packet does not have is
 * 0. */
enum msh_classifier_word {
	MSH_WORD_L4,      /* source port 63:48, destination port 47:32, TCP flags or ICMP type
			     31:24, ICMP code 23:16, protocol 15:8, TOS byte 7:0 */
	MSH_WORD_IP,      /* IPv4: source 63:32, destination 31:0; IPv6: source 127:64 */
	MSH_WORD_META,    /* EtherType 63:48, tagged 44, VLAN id 43:32, MSH_META_*; bits 31:16 are
			     the caller's */
	MSH_WORD_IP6_DST, /* IPv6 destination 127:64 */
	MSH_WORD_IP6_SRC_LOW,
	MSH_WORD_IP6_DST_LOW,
	MSH_WORD_MAC_SRC, /* 47:0, as printed */
	MSH_WORD_MAC_DST,
	MSH_CLASSIFIER_WORDS
};

#define MSH_META_IP4 1u
#define MSH_META_IP6 2u
#define MSH_META_PORTS 4u /* it has ports; a range asks for that by itself */
#define MSH_META_INFO 8u  /* it has TCP flags, or an ICMP type */
#define MSH_META_TAGGED (1ull << 44)

struct msh_classifier_key {
	uint64_t word[MSH_CLASSIFIER_WORDS];
} __rte_cache_aligned;

/* The key of a parsed packet. Later fragments have neither ports nor flags, and a header that is
 * cut short has none either. Any lcore. */
void msh_classifier_key(struct msh_classifier_key *key, const struct msh_packet *packet);

struct msh_classifier_rule {
	/* A packet matches when (word ^ value) & mask is 0 for each word, and its ports, which
	 * words are not asked about, are in the ranges. Addresses go with the bit of their IP
	 * version, TCP flags and ICMP types with their protocol and MSH_META_INFO. */
	uint64_t value[MSH_CLASSIFIER_WORDS], mask[MSH_CLASSIFIER_WORDS];
	uint16_t sport[2], dport[2]; /* first and last; 0 and 65535: any, also without ports */
	uint32_t priority;           /* the lowest wins, of equals the one that was added first */
	void *object;                /* what a lookup returns; not NULL */
};
#define MSH_CLASSIFIER_PRIORITY_MAX ((1u << 20) - 1)

#define MSH_CLASSIFIER_BURST 64 /* keys of a lookup, at most */

struct msh_classifier;
struct msh_classifier_entry; /* a rule in a classifier */

/* For each key in mask the object of the rule that decides it, or NULL. There are keys and results
 * up to the next multiple of 8 behind the last of the mask; those outside of it may hold anything,
 * and results do afterwards. Worker, between two quiescent states. */
void msh_classifier_lookup(const struct msh_classifier *classifier,
	const struct msh_classifier_key *keys, uint64_t mask, void **result);

/* The rest: control lcore. Fields of a rule are copied. */

/* A classifier of these rules, of which entries[i] (entries may be NULL when count is 0) is that of
 * rules[i]. It never has a cost above cost_max. Returns 0, -ENOMEM, -ENOSPC (the cost), or -EINVAL:
 * a priority above the limit, a range upside down, or no object. */
int msh_classifier_create(struct msh_classifier **classifier,
	const struct msh_classifier_rule *rules, uint32_t count, uint32_t cost_max,
	struct msh_classifier_entry **entries);
/* Free it and its entries. No worker sees it any more. NULL is fine. */
void msh_classifier_destroy(struct msh_classifier *classifier);

/* Results as of create. What is refused has changed nothing. */
int msh_classifier_add(struct msh_classifier *classifier, const struct msh_classifier_rule *rule,
	struct msh_classifier_entry **entry);
/* Never fails. A worker may still get the object until its next quiescent state. */
void msh_classifier_remove(struct msh_classifier *classifier, struct msh_classifier_entry *entry);

uint32_t msh_classifier_count(const struct msh_classifier *classifier);
/* The most tables and rules that a lookup of one packet looks at, whatever the packet, but for
 * rules that lie beside its own in a table by chance: what hostile rules drive up. */
uint32_t msh_classifier_cost(const struct msh_classifier *classifier);
/* Memory in use, in bytes, without what waits for a quiescent state, and malloc's own. */
size_t msh_classifier_bytes(const struct msh_classifier *classifier);
