/* SPDX-License-Identifier: BSD-3-Clause */
#include "back.h"

#include "config.h"

#include <netinet/in.h>
#include <rte_malloc.h>
#include <string.h>

#define WAYS 4

/* The owner makes sequence odd, writes, and makes it even again. `seen`, `answered` and `closing`
 * are outside that: any worker stores them, whole words. */
struct entry {
	uint32_t sequence;
	uint32_t seen; /* seconds */
	struct msh_back_key key;
	struct msh_back flow;
	uint8_t used, answered, closing; /* closing: the hints that ended it */
} __rte_cache_aligned;

struct msh_back_table {
	struct msh_hash_key secret;
	struct entry entry[MSH_BACK_BUCKETS][WAYS];
};

_Static_assert(sizeof(struct msh_back_key) == 16, "key is two words");
_Static_assert(sizeof(struct entry) == 64, "an entry is a cache line");

struct msh_back_table *
msh_back_create(const struct msh_hash_key *secret, int node)
{
	struct msh_back_table *table =
		rte_zmalloc_socket("flows", sizeof(*table), RTE_CACHE_LINE_SIZE, node);
	if (table != NULL)
		table->secret = *secret;
	return table;
}

void
msh_back_free(struct msh_back_table *table)
{
	rte_free(table);
}

static struct entry *
bucket_of(struct msh_back_table *table, const struct msh_back_key *key)
{
	uint64_t word[2];
	memcpy(word, key, sizeof(word));
	uint64_t hash = msh_hash64(&table->secret, word[0] ^ msh_hash64(&table->secret, word[1]));
	return table->entry[hash % MSH_BACK_BUCKETS];
}

static uint32_t
idle_limit(const struct entry *e)
{
	if (!__atomic_load_n(&e->answered, __ATOMIC_RELAXED))
		return MSH_BACK_IDLE_NEW;
	if (e->key.proto != IPPROTO_TCP)
		return MSH_BACK_IDLE_OTHER;
	return __atomic_load_n(&e->closing, __ATOMIC_RELAXED) ? MSH_BACK_IDLE_TCP_CLOSING
							      : MSH_BACK_IDLE_TCP;
}

static bool
is_live(const struct entry *e, uint32_t now)
{
	uint32_t seen = __atomic_load_n(&e->seen, __ATOMIC_RELAXED);
	return e->used && (int32_t)(now - seen) <= (int32_t)idle_limit(e) &&
	       !(__atomic_load_n(&e->closing, __ATOMIC_RELAXED) & MSH_BACK_ACCEPTING);
}

static bool
is_of_epoch(const struct msh_back *flow, const struct msh_config *config)
{
	return flow->epoch == msh_epoch_of(config, flow->vm, &flow->vip_mac);
}

static void
touch(struct entry *e, uint32_t now, unsigned int hints)
{
	if (__atomic_load_n(&e->seen, __ATOMIC_RELAXED) != now) /* keep the line shared */
		__atomic_store_n(&e->seen, now, __ATOMIC_RELAXED);
	if (hints & MSH_BACK_CLOSING)
		__atomic_store_n(&e->closing, MSH_BACK_CLOSING, __ATOMIC_RELAXED);
}

/* The backend accepts a connection between the same ports, but its opening did not come this way:
 * the old one is over. */
static bool
is_superseded(struct entry *e, unsigned int hints)
{
	if (!(hints & MSH_BACK_ACCEPTING) || !__atomic_load_n(&e->closing, __ATOMIC_RELAXED))
		return false;
	__atomic_store_n(&e->closing, MSH_BACK_ACCEPTING, __ATOMIC_RELAXED);
	return true;
}

bool
msh_back_find(struct msh_back_table *table, const struct msh_back_key *key, uint32_t now,
	unsigned int hints, const struct msh_config *config, struct msh_back *flow)
{
	struct entry *bucket = bucket_of(table, key);
	for (unsigned int i = 0; i < WAYS; i++) {
		struct entry *e = &bucket[i];
		uint32_t sequence = __atomic_load_n(&e->sequence, __ATOMIC_ACQUIRE);
		if ((sequence & 1) || memcmp(&e->key, key, sizeof(*key)) != 0 || !is_live(e, now))
			continue;
		*flow = e->flow;
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&e->sequence, __ATOMIC_RELAXED) != sequence)
			return false; /* being reused: it was past its time */
		if (!is_of_epoch(flow, config) || is_superseded(e, hints))
			return false;
		if (!__atomic_load_n(&e->answered, __ATOMIC_RELAXED))
			__atomic_store_n(&e->answered, 1, __ATOMIC_RELAXED);
		touch(e, now, hints);
		return true;
	}
	return false;
}

static void
write_entry(
	struct entry *e, const struct msh_back_key *key, const struct msh_back *flow, uint32_t now)
{
	__atomic_store_n(&e->sequence, e->sequence + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	e->key = *key;
	e->flow = *flow;
	e->used = 1;
	e->answered = 0;
	e->closing = 0;
	e->seen = now;
	__atomic_store_n(&e->sequence, e->sequence + 1, __ATOMIC_RELEASE);
}

bool
msh_back_keep(struct msh_back_table *table, const struct msh_back_key *key,
	const struct msh_back *flow, uint32_t now, unsigned int hints,
	const struct msh_config *config)
{
	struct entry *bucket = bucket_of(table, key);
	struct entry *place = NULL;
	for (unsigned int i = 0; i < WAYS; i++) {
		struct entry *e = &bucket[i];
		if (e->used && memcmp(&e->key, key, sizeof(*key)) == 0) {
			if ((hints & MSH_BACK_OPENING) ||
				memcmp(&e->flow, flow, sizeof(*flow)) != 0)
				write_entry(e, key, flow, now);
			touch(e, now, hints);
			return true;
		}
		if (place == NULL && (!is_live(e, now) || !is_of_epoch(&e->flow, config)))
			place = e;
	}
	if (place == NULL)
		return false;
	write_entry(place, key, flow, now);
	return true;
}

uint32_t
msh_back_count(const struct msh_back_table *table, uint32_t now, const struct msh_config *config)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < MSH_BACK_BUCKETS * WAYS; i++) {
		const struct entry *e = &table->entry[i / WAYS][i % WAYS];
		struct msh_back flow = e->flow; /* may be torn: then one more or less is counted */
		flow.vm %= MSH_VMS_MAX;
		n += is_live(e, now) && is_of_epoch(&flow, config);
	}
	return n;
}
