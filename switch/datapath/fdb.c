/* SPDX-License-Identifier: BSD-3-Clause */
#include "fdb.h"

#include <errno.h>
#include <rte_malloc.h>
#include <rte_random.h>

#include "bounds.h"
#include "hash.h"

#define WAYS 4
#define BUSY UINT64_MAX /* a writer is filling this entry */
#define PINNED 0x10000u /* in `where`, above the port's index */

/* Any worker claims an entry by swapping its key for BUSY, fills it, and stores the new key
 * (release). A reader takes `where` only if the key reads the same before and after. */
struct entry {
	uint64_t key;
	uint32_t where; /* port index, PINNED */
	uint32_t seen;  /* seconds; stored by workers, read by control */
};

struct bucket {
	struct entry way[WAYS];
} __rte_cache_aligned;

struct msh_fdb {
	struct msh_hash_key secret;
	uint32_t age_cursor;             /* control */
	uint32_t learned[MSH_PORTS_MAX]; /* entries of a port that are not pinned; whoever changes
					    an entry writes: atomic */
	struct bucket bucket[MSH_FDB_BUCKETS];
};

struct msh_fdb *
msh_fdb_create(void)
{
	struct msh_fdb *fdb = rte_zmalloc("fdb", sizeof(*fdb), RTE_CACHE_LINE_SIZE);
	if (fdb != NULL)
		fdb->secret = (struct msh_hash_key){rte_rand(), rte_rand()};
	return fdb;
}

void
msh_fdb_free(struct msh_fdb *fdb)
{
	rte_free(fdb);
}

static struct bucket *
bucket_of(const struct msh_fdb *fdb, uint64_t key)
{
	return (struct bucket *)(uintptr_t)&fdb
		->bucket[msh_hash64(&fdb->secret, key) % MSH_FDB_BUCKETS];
}

static uint64_t
load_key(const struct entry *e)
{
	return __atomic_load_n(&e->key, __ATOMIC_ACQUIRE);
}

/* The entry's `where`, or 0 if it does not hold this key. */
static uint32_t
read_where(const struct entry *e, uint64_t key)
{
	if (load_key(e) != key)
		return 0;
	uint32_t where = __atomic_load_n(&e->where, __ATOMIC_ACQUIRE);
	return load_key(e) == key ? where : 0;
}

uint16_t
msh_fdb_lookup(const struct msh_fdb *fdb, uint64_t key)
{
	const struct bucket *b = bucket_of(fdb, key);
	for (unsigned int i = 0; i < WAYS; i++) {
		uint32_t where = read_where(&b->way[i], key);
		if (where != 0)
			return (uint16_t)where;
	}
	return 0;
}

/* An entry to reuse: an empty one, else the one that was silent longest; NULL when all are pinned.
 */
static struct entry *
find_victim(struct bucket *b)
{
	struct entry *victim = NULL;
	for (unsigned int i = 0; i < WAYS; i++) {
		struct entry *e = &b->way[i];
		if (load_key(e) == 0)
			return e;
		if ((__atomic_load_n(&e->where, __ATOMIC_RELAXED) & PINNED) == 0 &&
			(victim == NULL || e->seen < victim->seen))
			victim = e;
	}
	return victim;
}

static void
count(struct msh_fdb *fdb, uint32_t where, uint32_t by)
{
	if (!(where & PINNED))
		__atomic_fetch_add(&fdb->learned[where % MSH_PORTS_MAX], by, __ATOMIC_RELAXED);
}

uint32_t
msh_fdb_count(const struct msh_fdb *fdb, uint16_t port)
{
	return __atomic_load_n(&fdb->learned[port], __ATOMIC_RELAXED);
}

static bool
replace(struct msh_fdb *fdb, struct entry *e, uint64_t key, uint32_t where, uint32_t now)
{
	uint64_t old = load_key(e);
	/* Lost a race: the next frame of this MAC tries again. */
	if (old == BUSY || !__atomic_compare_exchange_n(
				   &e->key, &old, BUSY, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return false;
	/* Control may have pinned this entry between the caller's look and the claim. */
	if ((e->where & PINNED) && !(where & PINNED) && old != 0) {
		__atomic_store_n(&e->key, old, __ATOMIC_RELEASE);
		return false;
	}
	if (old != 0)
		count(fdb, e->where, UINT32_MAX);
	count(fdb, where, 1);
	__atomic_store_n(&e->where, where, __ATOMIC_RELEASE);
	__atomic_store_n(&e->seen, now, __ATOMIC_RELAXED);
	__atomic_store_n(&e->key, key, __ATOMIC_RELEASE);
	return true;
}

bool
msh_fdb_learn(struct msh_fdb *fdb, uint64_t key, uint16_t port, uint32_t limit, uint32_t now)
{
	bool full = limit > 0 && msh_fdb_count(fdb, port) >= limit;
	struct bucket *b = bucket_of(fdb, key);
	for (unsigned int i = 0; i < WAYS; i++) {
		struct entry *e = &b->way[i];
		uint32_t where = read_where(e, key);
		if (where == 0)
			continue;
		if ((uint16_t)where != port) {
			if (where & PINNED)
				return false;
			if (!full)
				replace(fdb, e, key, port, now);
		} else if (__atomic_load_n(&e->seen, __ATOMIC_RELAXED) !=
			   now) { /* keep the line shared */
			__atomic_store_n(&e->seen, now, __ATOMIC_RELAXED);
		}
		return true;
	}
	struct entry *victim = full ? NULL : find_victim(b);
	if (victim != NULL)
		replace(fdb, victim, key, port, now);
	return true;
}

int
msh_fdb_pin(struct msh_fdb *fdb, uint64_t key, uint16_t port)
{
	struct bucket *b = bucket_of(fdb, key);
	struct entry *place = NULL;
	for (unsigned int i = 0; i < WAYS; i++)
		if (load_key(&b->way[i]) == key)
			place = &b->way[i];
	if (place != NULL && (place->where & PINNED))
		return -EEXIST;
	for (unsigned int attempt = 0; attempt < 1000; attempt++) {
		if (place == NULL)
			place = find_victim(b);
		if (place == NULL)
			return -ENOSPC;
		if (replace(fdb, place, key, port | PINNED, 0))
			return 0;
		place = NULL;
	}
	return -ENOSPC;
}

static void
erase(struct msh_fdb *fdb, struct entry *e, uint64_t key)
{
	/* Claimed first, so that nobody changes `where` before it is counted. */
	if (!__atomic_compare_exchange_n(
		    &e->key, &key, BUSY, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return;
	count(fdb, e->where, UINT32_MAX);
	__atomic_store_n(&e->key, 0, __ATOMIC_RELEASE);
}

void
msh_fdb_unpin(struct msh_fdb *fdb, uint64_t key)
{
	struct bucket *b = bucket_of(fdb, key);
	for (unsigned int i = 0; i < WAYS; i++)
		if (read_where(&b->way[i], key) & PINNED)
			erase(fdb, &b->way[i], key);
}

void
msh_fdb_age(struct msh_fdb *fdb, uint32_t now, uint32_t buckets)
{
	for (; buckets > 0; buckets--) {
		struct bucket *b = &fdb->bucket[fdb->age_cursor++ % MSH_FDB_BUCKETS];
		for (unsigned int i = 0; i < WAYS; i++) {
			struct entry *e = &b->way[i];
			uint64_t key = load_key(e);
			if (key == 0 || key == BUSY || (e->where & PINNED))
				continue;
			uint32_t seen = __atomic_load_n(&e->seen, __ATOMIC_RELAXED);
			if ((int32_t)(now - seen) > MSH_FDB_AGE)
				erase(fdb, e, key);
		}
	}
}

void
msh_fdb_flush(struct msh_fdb *fdb, uint16_t port)
{
	for (uint32_t i = 0; i < MSH_FDB_BUCKETS * WAYS; i++) {
		struct entry *e = &fdb->bucket[i / WAYS].way[i % WAYS];
		uint64_t key = load_key(e);
		if (key != 0 && key != BUSY && read_where(e, key) == port)
			erase(fdb, e, key);
	}
}

bool
msh_fdb_next(const struct msh_fdb *fdb, uint32_t *cursor, uint32_t now, struct msh_fdb_entry *entry)
{
	while (*cursor < MSH_FDB_BUCKETS * WAYS) {
		const struct entry *e = &fdb->bucket[*cursor / WAYS].way[*cursor % WAYS];
		(*cursor)++;
		uint64_t key = load_key(e);
		uint32_t where = key == 0 || key == BUSY ? 0 : read_where(e, key);
		if (where == 0)
			continue;
		*entry = (struct msh_fdb_entry){
			.vlan = (uint16_t)(key >> 48),
			.port = (uint16_t)where,
			.pinned = (where & PINNED) != 0,
			.age = where & PINNED ? 0 : now - e->seen,
		};
		memcpy(&entry->mac, &key, 6);
		return true;
	}
	return false;
}
