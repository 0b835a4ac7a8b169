/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* An immutable hash set of objects with exact keys, shared between the instances of a stage.
 *
 * Adding or removing makes a new set, which shares all pages but one with the old: 10000 objects
 * added one by one cost 10000 small copies, not 10000 copies of everything. Objects and pages are
 * counted; only the control lcore touches the counts, workers read sets and keys. Any version may
 * be dropped before any other. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hash.h"

#define MSH_KEY_WORDS 5

/* First member of what a set holds. */
struct msh_object {
	uint64_t key[MSH_KEY_WORDS]; /* words that its set does not use are 0 */
	uint64_t order;              /* when it was added: the order of lists and dumps */
	uint32_t hash;               /* of the key; never 0 */
	uint32_t refs;
	void (*release)(struct msh_object *object); /* frees it */
};

/* Open addressing; never full, so that a probe ends. */
#define MSH_PAGE_SLOTS 64
#define MSH_PAGE_OBJECTS 48

struct msh_page {
	uint32_t tag[MSH_PAGE_SLOTS]; /* hash of the object in the slot, 0: free */
	struct msh_object *slot[MSH_PAGE_SLOTS];
	uint32_t count, refs;
};

struct msh_set {
	uint32_t refs;
	uint32_t count; /* of objects */
	uint32_t pages; /* a power of two */
	struct msh_page *page[];
};

/* The key of the hash is secret (hash.h): a guest that chooses the keys of our objects, or whose
 * peers choose those of packets, must not be able to make long probes. */
static inline uint32_t
msh_object_hash(const struct msh_hash_key *secret, const uint64_t *key, unsigned int words)
{
	uint64_t hash = 0;

	for (unsigned int i = 0; i < words; i++)
		hash = msh_hash64(secret, hash ^ key[i]);
	return (uint32_t)hash != 0 ? (uint32_t)hash : 1;
}

/* The object with this key, of which `words` words are used, or NULL. Any lcore. */
static inline struct msh_object *
msh_set_find(const struct msh_set *set, uint32_t hash, const uint64_t *key, unsigned int words)
{
	const struct msh_page *page = set->page[hash / MSH_PAGE_SLOTS & (set->pages - 1)];

	for (uint32_t i = hash % MSH_PAGE_SLOTS; page->tag[i] != 0; i = (i + 1) % MSH_PAGE_SLOTS) {
		if (page->tag[i] != hash)
			continue;
		unsigned int same = 0;
		while (same < words && page->slot[i]->key[same] == key[same])
			same++;
		if (same == words)
			return page->slot[i];
	}
	return NULL;
}

/* The rest: control lcore only. */

void msh_object_ref(struct msh_object *object);
void msh_object_unref(struct msh_object *object); /* NULL is fine, here and below */
void msh_set_ref(struct msh_set *set);
void msh_set_unref(struct msh_set *set);

/* A new set: old (NULL: empty) with the object, which is not in it; it is counted once more. NULL:
 * out of memory. */
struct msh_set *msh_set_add(const struct msh_set *old, struct msh_object *object);
/* A new set: old without the object, which is in it. NULL: out of memory. */
struct msh_set *msh_set_remove(const struct msh_set *old, const struct msh_object *object);

/* Walk a set (NULL: empty), in no order: the object at *at or behind, or NULL. Start with *at = 0.
 */
struct msh_object *msh_set_next(const struct msh_set *set, uint32_t *at);
/* Write pointers to all objects of a set (NULL: none) to `to`, which has room; returns their
 * number. */
size_t msh_set_collect(const struct msh_set *set, struct msh_object **to);
/* Sort by order. */
void msh_objects_sort(struct msh_object **objects, size_t count);
