/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Inside the classifier: one table of rules.
 *
 * All entries of a table are one list, sorted by hash and then by precedence; the slots of its
 * directory point into it. So a directory grows without touching an entry (split-ordered lists,
 * Shalev and Shavit, 2006, with hashes that are indexed by their high bits), and a search that
 * goes on in the old one finds all that it would have found. */

#include "classifier.h"
#include "hash.h"

/* An entry holds half of a key or all of it: the first half is all that rules of IPv4 ask for. */
#define MSH_HALF_WORDS (MSH_CLASSIFIER_WORDS / 2)
struct msh_half {
	uint64_t value[MSH_HALF_WORDS], mask[MSH_HALF_WORDS];
};

/* Immutable while it is in a table, but for `link`, which the control lcore writes and workers
 * read. */
struct msh_classifier_entry {
	uintptr_t link;      /* address of the next entry, and MSH_LINK_SAME */
	uint64_t precedence; /* priority, and below it the order of adding: the lowest wins */
	void *object;
	struct msh_table *table;
	uint32_t hash;
	uint16_t sport, sport_span, dport, dport_span; /* the first of a range, and last - first */
	bool both;
	struct msh_half half[];
};

static inline uint64_t
msh_entry_mask(const struct msh_classifier_entry *entry, unsigned int word)
{
	return word < MSH_HALF_WORDS ? entry->half[0].mask[word]
	       : entry->both         ? entry->half[1].mask[word - MSH_HALF_WORDS]
				     : 0;
}

static inline uint64_t
msh_entry_value(const struct msh_classifier_entry *entry, unsigned int word)
{
	return word < MSH_HALF_WORDS ? entry->half[0].value[word]
	       : entry->both         ? entry->half[1].value[word - MSH_HALF_WORDS]
				     : 0;
}

#define MSH_LINK_SAME ((uintptr_t)1) /* the next entry has the same hash as this one */

static inline struct msh_classifier_entry *
msh_link_entry(uintptr_t link)
{
	return (struct msh_classifier_entry *)(link & ~MSH_LINK_SAME);
}

/* A slot: the address of the first entry whose hash starts with the slot's index, and in the
 * upper 16 bits, which addresses of programs leave free, one bit for each value of the next four
 * bits of the hash that is there. So what is not there is mostly seen without a look at an entry.
 */
#define MSH_SLOT_BITS 48
#define MSH_SLOT_ADDRESS ((1ull << MSH_SLOT_BITS) - 1)
#define MSH_SLOT_FILTER_BITS 4
#define MSH_SLOT_FILTER_MASK ((1u << MSH_SLOT_FILTER_BITS) - 1)

struct msh_directory {
	uint32_t shift; /* hash >> shift is the index of the slot */
	uint64_t slot[];
};

struct msh_table {
	uint64_t mask[MSH_CLASSIFIER_WORDS]; /* the bits that are hashed */
	uint8_t word[MSH_CLASSIFIER_WORDS];  /* numbers of the words whose mask is not 0 */
	uint8_t words;                       /* how many */
	/* Control lcore writes, workers read. */
	struct msh_directory *directory;
	uint64_t best; /* no entry has a lower precedence */
	/* Control lcore only. */
	uintptr_t first; /* as the link of an entry */
	uint32_t count;
	uint32_t limit; /* entries that may have equal hashes */
};

/* Keys of the hash: NH of UMAC (Black et al., 1999), then multiply-shift (Dietzfelbinger et al.,
 * 1997). Two different keys have the same hash with a chance near 2^-32, whoever chose them. It
 * needs no more than 32-bit multiplications, of which vector units do many at once. */
struct msh_classifier_hash {
	uint64_t key[MSH_CLASSIFIER_WORDS];
	uint64_t factor; /* odd */
};

static inline uint64_t
msh_nh(uint64_t word, uint64_t key)
{
	uint64_t low = (word + key) & UINT32_MAX, high = ((word >> 32) + (key >> 32)) & UINT32_MAX;

	return low * high;
}

static inline uint32_t
msh_nh_finish(uint64_t sum, uint64_t factor)
{
	return (uint32_t)(sum * factor >> 32);
}

/* The hash of an entry in a table with this mask. */
static inline uint32_t
msh_entry_hash(const struct msh_classifier_hash *secret, const struct msh_classifier_entry *entry,
	const uint64_t mask[MSH_CLASSIFIER_WORDS])
{
	uint64_t sum = 0;

	for (unsigned int w = 0; w < MSH_CLASSIFIER_WORDS; w++)
		if (mask[w] != 0)
			sum += msh_nh(msh_entry_value(entry, w) & mask[w], secret->key[w]);
	return msh_nh_finish(sum, secret->factor);
}

/* May an entry be in a table with this mask? */
static inline bool
msh_entry_fits(const struct msh_classifier_entry *entry, const uint64_t mask[MSH_CLASSIFIER_WORDS])
{
	uint64_t missing = 0;

	for (unsigned int w = 0; w < MSH_CLASSIFIER_WORDS; w++)
		missing |= mask[w] & ~msh_entry_mask(entry, w);
	return missing == 0;
}

/* The rest: control lcore. */

/* Can this be a rule? */
bool msh_rule_valid(const struct msh_classifier_rule *rule);
/* An entry for a valid rule, the `order`th one, in no table; NULL: out of memory. It is freed by
 * free. */
struct msh_classifier_entry *msh_entry_new(const struct msh_classifier_rule *rule, uint64_t order);
size_t msh_entry_size(const struct msh_classifier_entry *entry); /* bytes */

/* An empty table, or NULL: out of memory. */
struct msh_table *msh_table_new(const uint64_t mask[MSH_CLASSIFIER_WORDS], uint32_t limit);
/* Free it, not its entries. No worker sees it any more. */
void msh_table_free(struct msh_table *table);

/* How many entries have this hash, but not more than max. */
uint32_t msh_table_same(const struct msh_table *table, uint32_t hash, uint32_t max);
/* Put an entry in, whose hash is set, and that of the table's mask. */
void msh_table_insert(struct msh_table *table, struct msh_classifier_entry *entry);
/* Take an entry out; the caller frees it when no worker sees it any more. */
void msh_table_remove(struct msh_table *table, struct msh_classifier_entry *entry);
size_t msh_table_bytes(const struct msh_table *table);
