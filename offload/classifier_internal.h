/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Inside the classifier: what its files share. */

#include "classifier_table.h"

#define MSH_TABLES_MAX 64
#define MSH_TABLE_LIMIT 8 /* entries of a table with equal hashes, at first */

/* Immutable; the tables themselves are not. */
struct msh_tables {
	uint32_t count;
	struct msh_table *table[MSH_TABLES_MAX];
	/* Numbers of the words that any table is hashed by. */
	uint8_t word[MSH_CLASSIFIER_WORDS], words;
};

typedef void (*msh_lookup_fn)(const struct msh_classifier *classifier,
	const struct msh_classifier_key *keys, uint64_t mask, void **result);

struct msh_classifier {
	struct msh_classifier_hash hash;
	msh_lookup_fn lookup;
	struct msh_tables *tables; /* control lcore writes, workers read */
	/* Control lcore only. */
	uint64_t next_order;
	uint32_t count, cost_max;
	size_t entry_bytes;
};

/* The same source, compiled for any CPU and for one with AVX-512. */
void msh_lookup_any(const struct msh_classifier *classifier, const struct msh_classifier_key *keys,
	uint64_t mask, void **result);
void msh_lookup_avx512(const struct msh_classifier *classifier,
	const struct msh_classifier_key *keys, uint64_t mask, void **result);

/* The mask of a table for everything. */
extern const uint64_t msh_any[MSH_CLASSIFIER_WORDS];
/* The table with this mask, or NULL. */
struct msh_table *msh_tables_with(
	const struct msh_tables *tables, const uint64_t mask[MSH_CLASSIFIER_WORDS]);
/* No room for another but the one for everything: its place is kept, so that there is a table for
 * each rule. */
bool msh_tables_full(const struct msh_tables *tables);
/* One more table, which is empty; NULL: out of memory. There is room. */
struct msh_table *msh_tables_append(
	struct msh_classifier *classifier, const uint64_t mask[MSH_CLASSIFIER_WORDS]);
/* Take out an empty table, which would cost a look each time. Without memory it stays. */
void msh_tables_drop(struct msh_classifier *classifier, struct msh_table *table);

/* Choose the bits by which a table of some of these entries is to be hashed: many of them fit, and
 * few of those that fit have the same. */
void msh_classifier_plan(const struct msh_classifier_hash *hash,
	struct msh_classifier_entry *const *entries, uint32_t count, uint32_t limit,
	uint64_t mask[MSH_CLASSIFIER_WORDS]);
/* The bits of a table for an entry like this one: fewer than it asks for, when `wide`, so that
 * others fit too. */
void msh_classifier_relax(
	const struct msh_classifier_entry *entry, bool wide, uint64_t mask[MSH_CLASSIFIER_WORDS]);
