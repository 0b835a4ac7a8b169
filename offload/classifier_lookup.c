/* SPDX-License-Identifier: BSD-3-Clause */

/* The search. It is compiled twice (meson.build), for any CPU and for one with AVX-512.
 *
 * For each table: hash the keys, look into the slots, and list the entries that may match. What one
 * step reads, the one before has asked for: slots of one table are on their way while the next is
 * hashed, entries while others are listed. The list is worked on in rounds, an entry of each chain
 * a round. Nothing here branches on what a packet finds: that is not to be foretold. */

#include <rte_prefetch.h>

#include "classifier_internal.h"
#include "classifier_lanes.h"

#define SLOTS_NEAR 10 /* bits of a directory that is in a near cache anyway */

/* Packets at one table. */
struct look {
	const struct msh_directory *directory;
	uint64_t best;
	uint64_t hash[MSH_CLASSIFIER_BURST] __rte_cache_aligned;
};

/* First step. Most tables have one or two words: loops without a loop inside. */
static inline void
look_hash(struct look *look, const struct msh_lanes *lanes, unsigned int count,
	const struct msh_classifier_hash *secret, const struct msh_table *table)
{
	if (table->words == 1)
		msh_lanes_hash(lanes, count, secret, table, 1, look->hash);
	else if (table->words == 2)
		msh_lanes_hash(lanes, count, secret, table, 2, look->hash);
	else
		msh_lanes_hash(lanes, count, secret, table, table->words, look->hash);
	look->best = __atomic_load_n(&table->best, __ATOMIC_ACQUIRE);
	look->directory = __atomic_load_n(&table->directory, __ATOMIC_ACQUIRE);
	uint32_t shift = look->directory->shift;
	if (shift < 32 - SLOTS_NEAR)
		for (unsigned int i = 0; i < count; i++)
			rte_prefetch0(&look->directory->slot[look->hash[i] >> shift]);
}

static inline void
ask_for(const struct msh_classifier_entry *entry)
{
	rte_prefetch0(entry);
	rte_prefetch0((const char *)entry + RTE_CACHE_LINE_SIZE);
}

static inline const struct msh_classifier_entry *
listed(const struct msh_list *list, unsigned int k)
{
	return (const void *)(uintptr_t)(list->entry[k] & MSH_SLOT_ADDRESS);
}

/* Second step. */
static inline void
look_probe(const struct look *look, const struct msh_lanes *lanes, unsigned int count,
	struct msh_list *list)
{
	unsigned int before = list->count;

	msh_lanes_probe(lanes, count, look->directory, look->best, look->hash, list);
	for (unsigned int k = before; k < list->count; k++)
		ask_for(listed(list, k));
}

/* Not 0: the words of a key differ from half of an entry. */
static inline uint64_t
differs(const struct msh_half *half, const uint64_t *word)
{
#ifdef __AVX512VL__
	__m256i value = _mm256_loadu_si256((const __m256i *)half->value);
	__m256i mask = _mm256_loadu_si256((const __m256i *)half->mask);
	__m256i key = _mm256_load_si256((const __m256i *)word);

	return _mm256_test_epi64_mask(_mm256_xor_si256(key, value), mask);
#else
	uint64_t differ = 0;

	for (unsigned int w = 0; w < MSH_HALF_WORDS; w++)
		differ |= (word[w] ^ half->value[w]) & half->mask[w];
	return differ;
#endif
}

static inline bool
matches(const struct msh_classifier_entry *entry, const struct msh_classifier_key *key)
{
	uint64_t differ = differs(&entry->half[0], key->word), l4 = key->word[MSH_WORD_L4];
	uint16_t sport = (uint16_t)(l4 >> 48), dport = (uint16_t)(l4 >> 32);

	if (entry->both)
		differ |= differs(&entry->half[1], key->word + MSH_HALF_WORDS);
	return (differ == 0) & ((uint16_t)(sport - entry->sport) <= entry->sport_span) &
	       ((uint16_t)(dport - entry->dport) <= entry->dport_span);
}

/* Third step. Compare all entries of the list. Instead of each the next of its chain is listed, as
 * long as that may be better than what was found. */
static __attribute__((noinline)) void
compare(struct msh_list *list, const struct msh_classifier_key *keys, struct msh_lanes *lanes,
	void **result)
{
	uintptr_t *found = (uintptr_t *)result;
	unsigned int left = 0, count = list->count;

	for (unsigned int k = 0; k < count; k++) {
		const struct msh_classifier_entry *entry = listed(list, k);
		uint64_t i = list->entry[k] >> MSH_SLOT_BITS, hash = list->hash[k];
		uintptr_t link = __atomic_load_n(&entry->link, __ATOMIC_ACQUIRE);
		bool open = (entry->hash == hash) & (entry->precedence < lanes->best[i]);
		bool match = open & matches(entry, &keys[i]);
		bool on = (open & !match & link & MSH_LINK_SAME) |
			  ((entry->hash < hash) & (link > MSH_LINK_SAME));
		uint64_t all = (uint64_t)0 - match;
		lanes->best[i] ^= (lanes->best[i] ^ entry->precedence) & all;
		found[i] ^= (found[i] ^ (uintptr_t)entry->object) & all;
		link &= ~MSH_LINK_SAME;
		list->entry[left] = link | i << MSH_SLOT_BITS;
		list->hash[left] = hash;
		left += on;
		/* To ask for NULL takes long. */
		link = (uintptr_t)entry ^ (((uintptr_t)entry ^ link) & ((uint64_t)0 - on));
		ask_for((const void *)link);
	}
	list->count = left;
}

void
MSH_LOOKUP(const struct msh_classifier *classifier, const struct msh_classifier_key *keys,
	uint64_t mask, void **result)
{
	const struct msh_tables *tables = __atomic_load_n(&classifier->tables, __ATOMIC_ACQUIRE);
	unsigned int count = (64 - (unsigned int)__builtin_clzll(mask | 1) + 7) & ~7u;
	struct msh_list list;
	struct msh_lanes lanes;
	struct look look[2];

	if (mask == 0)
		return;
	list.count = 0;
	for (unsigned int i = 0; i < count; i++) {
		lanes.best[i] = mask >> i & 1 ? UINT64_MAX : 0;
		result[i] = NULL;
	}
	for (unsigned int k = 0; k < tables->words; k++)
		for (unsigned int w = tables->word[k], i = 0; i < count; i++)
			lanes.word[w][i] = keys[i].word[w];
	for (uint32_t t = 0; t <= tables->count; t++) {
		if (t < tables->count)
			look_hash(&look[t % 2], &lanes, count, &classifier->hash, tables->table[t]);
		while (list.count > MSH_LIST_FULL)
			compare(&list, keys, &lanes, result);
		if (t > 0)
			look_probe(&look[(t - 1) % 2], &lanes, count, &list);
	}
	while (list.count > 0)
		compare(&list, keys, &lanes, result);
}
