/* SPDX-License-Identifier: BSD-3-Clause */
#include "classifier_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "retire.h"

#define SLOT_BITS_MIN 3
#define SLOT_BITS_MAX (32 - MSH_SLOT_FILTER_BITS)

static inline uint32_t
slots(const struct msh_directory *directory)
{
	return 1u << (32 - directory->shift);
}

static inline struct msh_classifier_entry *
head(const struct msh_directory *directory, uint32_t slot)
{
	return (struct msh_classifier_entry *)(uintptr_t)(directory->slot[slot] & MSH_SLOT_ADDRESS);
}

static inline struct msh_classifier_entry *
next_of(const struct msh_classifier_entry *entry)
{
	return msh_link_entry(entry->link);
}

/* Point the slot at the first of its entries (NULL: it has none). Returns the first entry behind.
 */
static const struct msh_classifier_entry *
slot_set(struct msh_directory *directory, uint32_t slot, const struct msh_classifier_entry *entry)
{
	uint64_t word = (uintptr_t)entry;

	for (; entry != NULL && entry->hash >> directory->shift == slot; entry = next_of(entry))
		word |= 1ull << (MSH_SLOT_BITS +
				 (entry->hash >> (directory->shift - MSH_SLOT_FILTER_BITS) &
					 MSH_SLOT_FILTER_MASK));
	__atomic_store_n(&directory->slot[slot], word, __ATOMIC_RELEASE);
	return entry;
}

static struct msh_directory *
directory_new(uint32_t bits, const struct msh_classifier_entry *entry)
{
	struct msh_directory *directory =
		calloc(1, sizeof(*directory) + (sizeof(directory->slot[0]) << bits));

	if (directory == NULL)
		return NULL;
	directory->shift = 32 - bits;
	while (entry != NULL)
		entry = slot_set(directory, entry->hash >> directory->shift, entry);
	return directory;
}

/* Keep the number of slots near that of entries. Without memory it stays as it is, which is slower
 * and not wrong. */
static void
resize(struct msh_table *table, uint32_t bits)
{
	struct msh_directory *old = table->directory,
			     *directory = directory_new(bits, msh_link_entry(table->first));

	if (directory == NULL)
		return;
	__atomic_store_n(&table->directory, directory, __ATOMIC_RELEASE);
	msh_retire(free, old);
}

struct msh_table *
msh_table_new(const uint64_t mask[MSH_CLASSIFIER_WORDS], uint32_t limit)
{
	struct msh_table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	table->directory = directory_new(SLOT_BITS_MIN, NULL);
	if (table->directory == NULL) {
		free(table);
		return NULL;
	}
	memcpy(table->mask, mask, sizeof(table->mask));
	for (unsigned int w = 0; w < MSH_CLASSIFIER_WORDS; w++)
		if (mask[w] != 0)
			table->word[table->words++] = (uint8_t)w;
	table->best = UINT64_MAX;
	table->limit = limit;
	return table;
}

void
msh_table_free(struct msh_table *table)
{
	free(table->directory);
	free(table);
}

static inline bool
precedes(const struct msh_classifier_entry *entry, uint32_t hash, uint64_t precedence)
{
	return entry->hash != hash ? entry->hash < hash : entry->precedence < precedence;
}

/* The last entry that precedes this one; NULL: none does. */
static struct msh_classifier_entry *
entry_before(struct msh_table *table, uint32_t hash, uint64_t precedence)
{
	struct msh_classifier_entry *entry = NULL, *next = msh_link_entry(table->first);

	for (uint32_t slot = (hash >> table->directory->shift) + 1; slot-- > 0;) {
		struct msh_classifier_entry *in_slot = head(table->directory, slot);
		if (in_slot != NULL && precedes(in_slot, hash, precedence)) {
			next = in_slot;
			break;
		}
	}
	for (; next != NULL && precedes(next, hash, precedence); next = next_of(next))
		entry = next;
	return entry;
}

/* Let `next` (NULL: the end) follow on `entry` (NULL: be the first). */
static void
link_set(struct msh_table *table, struct msh_classifier_entry *entry,
	const struct msh_classifier_entry *next)
{
	bool same = entry != NULL && next != NULL && entry->hash == next->hash;

	__atomic_store_n(entry != NULL ? &entry->link : &table->first,
		(uintptr_t)next | (same ? MSH_LINK_SAME : 0), __ATOMIC_RELEASE);
}

uint32_t
msh_table_same(const struct msh_table *table, uint32_t hash, uint32_t max)
{
	const struct msh_classifier_entry *entry =
		head(table->directory, hash >> table->directory->shift);
	uint32_t count = 0;

	while (entry != NULL && entry->hash < hash)
		entry = next_of(entry);
	for (; count < max && entry != NULL && entry->hash == hash; entry = next_of(entry))
		count++;
	return count;
}

void
msh_table_insert(struct msh_table *table, struct msh_classifier_entry *entry)
{
	uint32_t bits = 32 - table->directory->shift;

	if (table->count >> bits != 0 && bits < SLOT_BITS_MAX)
		resize(table, bits + 1);
	struct msh_directory *directory = table->directory;
	uint32_t slot = entry->hash >> directory->shift;
	struct msh_classifier_entry *before = entry_before(table, entry->hash, entry->precedence);
	struct msh_classifier_entry *first = head(directory, slot), *next;

	next = before != NULL ? next_of(before) : msh_link_entry(table->first);
	if (entry->precedence < table->best)
		__atomic_store_n(&table->best, entry->precedence, __ATOMIC_RELEASE);
	entry->table = table;
	link_set(table, entry, next);
	link_set(table, before, entry);
	slot_set(directory, slot, first == NULL || first == next ? entry : first);
	table->count++;
}

void
msh_table_remove(struct msh_table *table, struct msh_classifier_entry *entry)
{
	struct msh_directory *directory = table->directory;
	uint32_t slot = entry->hash >> directory->shift, bits = 32 - directory->shift;
	struct msh_classifier_entry *first = head(directory, slot), *next = next_of(entry);

	link_set(table, entry_before(table, entry->hash, entry->precedence), next);
	if (first == entry)
		first = next != NULL && next->hash >> directory->shift == slot ? next : NULL;
	slot_set(directory, slot, first);
	table->count--;
	if (bits > SLOT_BITS_MIN && table->count < slots(directory) / 8)
		resize(table, bits - 1);
}

size_t
msh_table_bytes(const struct msh_table *table)
{
	return sizeof(*table) + sizeof(*table->directory) +
	       slots(table->directory) * sizeof(table->directory->slot[0]);
}
