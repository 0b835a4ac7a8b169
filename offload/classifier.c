/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "classifier_internal.h"
#include "retire.h"

void
msh_classifier_destroy(struct msh_classifier *c)
{
	if (c == NULL)
		return;
	for (uint32_t t = 0; t < c->tables->count; t++) {
		struct msh_classifier_entry *next;
		struct msh_classifier_entry *entry = msh_link_entry(c->tables->table[t]->first);
		for (; entry != NULL; entry = next) {
			next = msh_link_entry(entry->link);
			free(entry);
		}
		msh_table_free(c->tables->table[t]);
	}
	free(c->tables);
	free(c);
}

/* What a lookup may have to look at in a table with so many entries. */
static uint32_t
table_cost(uint32_t count, uint32_t limit)
{
	return 1 + RTE_MIN(count, limit);
}

/* Where a new entry is to go: a table that has room, or a mask for a new one, or else a table where
 * room is made. */
struct place {
	struct msh_table *table; /* NULL: one with `mask` */
	uint32_t limit;
	uint64_t mask[MSH_CLASSIFIER_WORDS];
};

/* Of the tables that the entry fits into and that have room, the one with the fewest others of its
 * hash; else the one that has given the least room; else NULL. */
static struct msh_table *
find_table(const struct msh_classifier *c, const struct msh_classifier_entry *entry, bool *room)
{
	struct msh_table *best = NULL, *least = NULL;
	uint32_t fewest = UINT32_MAX;

	for (uint32_t t = 0; t < c->tables->count; t++) {
		struct msh_table *table = c->tables->table[t];
		if (!msh_entry_fits(entry, table->mask))
			continue;
		uint32_t max = RTE_MIN(table->limit, fewest);
		uint32_t hash = msh_entry_hash(&c->hash, entry, table->mask);
		uint32_t same = msh_table_same(table, hash, max);
		if (same < max) {
			best = table;
			fewest = same;
		}
		if (least == NULL || table->limit < least->limit)
			least = table;
	}
	*room = best != NULL;
	return best != NULL ? best : least;
}

static void
find_place(const struct msh_classifier *c, const struct msh_classifier_entry *entry,
	struct place *place)
{
	bool room;
	struct msh_table *table = find_table(c, entry, &room);

	place->table = table;
	place->limit = table != NULL ? table->limit * (room ? 1 : 2) : MSH_TABLE_LIMIT;
	if (table == NULL && msh_tables_full(c->tables))
		memcpy(place->mask, msh_any, sizeof(msh_any));
	if (room || msh_tables_full(c->tables))
		return;
	msh_classifier_relax(entry, true, place->mask);
	/* Half of the places are for wide tables alone: others take few rules. */
	if (c->tables->count < MSH_TABLES_MAX / 2 &&
		msh_tables_with(c->tables, place->mask) != NULL)
		msh_classifier_relax(entry, false, place->mask);
	if (msh_tables_with(c->tables, place->mask) != NULL)
		return;
	place->table = NULL;
	place->limit = MSH_TABLE_LIMIT;
}

/* By how much the cost grows with one more entry there. */
static uint32_t
place_cost(const struct place *place)
{
	const struct msh_table *table = place->table;

	return table == NULL ? table_cost(1, place->limit)
			     : table_cost(table->count + 1, place->limit) -
				       table_cost(table->count, table->limit);
}

int
msh_classifier_add(struct msh_classifier *c, const struct msh_classifier_rule *rule,
	struct msh_classifier_entry **added)
{
	struct place place;

	if (!msh_rule_valid(rule))
		return -EINVAL;
	struct msh_classifier_entry *entry = msh_entry_new(rule, c->next_order++);
	if (entry == NULL)
		return -ENOMEM;
	find_place(c, entry, &place);
	if (msh_classifier_cost(c) + place_cost(&place) > c->cost_max) {
		free(entry);
		return -ENOSPC;
	}
	if (place.table == NULL)
		place.table = msh_tables_append(c, place.mask);
	if (place.table == NULL) {
		free(entry);
		return -ENOMEM;
	}
	place.table->limit = place.limit;
	entry->hash = msh_entry_hash(&c->hash, entry, place.table->mask);
	msh_table_insert(place.table, entry);
	c->count++;
	c->entry_bytes += msh_entry_size(entry);
	*added = entry;
	return 0;
}

void
msh_classifier_remove(struct msh_classifier *c, struct msh_classifier_entry *entry)
{
	struct msh_table *table = entry->table;

	msh_table_remove(table, entry);
	c->count--;
	c->entry_bytes -= msh_entry_size(entry);
	msh_retire(free, entry);
	if (table->count == 0)
		msh_tables_drop(c, table);
}

void
msh_classifier_lookup(const struct msh_classifier *c, const struct msh_classifier_key *keys,
	uint64_t mask, void **result)
{
	c->lookup(c, keys, mask, result);
}

uint32_t
msh_classifier_count(const struct msh_classifier *c)
{
	return c->count;
}

uint32_t
msh_classifier_cost(const struct msh_classifier *c)
{
	uint32_t cost = 0;

	for (uint32_t t = 0; t < c->tables->count; t++)
		cost += table_cost(c->tables->table[t]->count, c->tables->table[t]->limit);
	return cost;
}

size_t
msh_classifier_bytes(const struct msh_classifier *c)
{
	size_t bytes = sizeof(*c) + sizeof(*c->tables) + c->entry_bytes;

	for (uint32_t t = 0; t < c->tables->count; t++)
		bytes += msh_table_bytes(c->tables->table[t]);
	return bytes;
}
