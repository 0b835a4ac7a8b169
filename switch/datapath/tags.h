/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Buckets of eight entries, each with a tag that says which entry to look at: a lookup reads two
 * cache lines, both of which can be prefetched. */

#include <errno.h>
#include <rte_common.h>
#include <rte_malloc.h>
#include <stdint.h>

#include "nh.h"

#define MSH_WAYS 8
#define MSH_TAG_LANES UINT64_C(0x0001000100010001)

/* 0: free. */
union msh_tags {
	uint16_t way[MSH_WAYS];
	uint64_t word[MSH_WAYS / 4];
};

static inline uint16_t
msh_tag_of(uint64_t print)
{
	return (uint16_t)(print >> 48 | 1);
}

/* Which ways have the tag, as bits for msh_way_of. A way above one that has it may be among them
 * wrongly: its entry tells. */
static inline uint64_t
msh_ways_with(const union msh_tags *tags, uint16_t tag)
{
	uint64_t found = 0;
	for (unsigned int half = 0; half < MSH_WAYS / 4; half++) {
		uint64_t x = __atomic_load_n(&tags->word[half], __ATOMIC_RELAXED) ^
			     (tag * MSH_TAG_LANES);
		found |= ((x - MSH_TAG_LANES) & ~x & (MSH_TAG_LANES << 15)) >> (15 - half);
	}
	return found;
}

/* The lowest of them. */
static inline uint32_t
msh_way_of(uint64_t ways)
{
	uint32_t bit = (uint32_t)__builtin_ctzll(ways);
	return bit % 16 * 4 + bit / 16;
}

/* A table of such buckets; entries are cache lines. */
struct msh_tagged {
	struct msh_nh nh;
	uint32_t buckets; /* a power of two */
	union msh_tags *tags;
	void *entry;
};

static inline void
msh_tagged_free(struct msh_tagged *t)
{
	rte_free(t->tags);
	rte_free(t->entry);
}

/* For so many entries, rounded up to a power of two. 0, or -ENOMEM and nothing to free. */
static inline int
msh_tagged_init(struct msh_tagged *t, uint32_t entries)
{
	t->buckets = rte_align32pow2(entries) / MSH_WAYS;
	msh_nh_init(&t->nh);
	t->tags = rte_zmalloc("tags", t->buckets * sizeof(*t->tags), RTE_CACHE_LINE_SIZE);
	t->entry = rte_zmalloc("entries", (size_t)t->buckets * MSH_WAYS * RTE_CACHE_LINE_SIZE,
		RTE_CACHE_LINE_SIZE);
	if (t->tags != NULL && t->entry != NULL)
		return 0;
	msh_tagged_free(t);
	return -ENOMEM;
}
