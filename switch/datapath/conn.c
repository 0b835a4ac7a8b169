/* SPDX-License-Identifier: BSD-3-Clause */
#include "conn.h"

#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <rte_random.h>
#include <string.h>

#include "bounds.h"
#include "tags.h"

#define NOBODY UINT32_MAX
#define PART 4 /* of the table one VM may have one part in so many */

/* print 0: nobody's. Whoever takes an entry makes it 0 first, and sets it when all the rest is
 * there. */
struct entry {
	uint64_t print;
	uint32_t seen; /* seconds */
	uint16_t vm;
	uint8_t proto;
	bool turned; /* the first packet came from the greater end */
	struct msh_track track;
} __rte_cache_aligned;
static_assert(sizeof(struct entry) == 64, "a cache line");

struct msh_conn_table {
	struct msh_tagged in;
	uint32_t swept;              /* control lcore: the next bucket to sweep */
	uint32_t count[MSH_VMS_MAX]; /* any worker, atomically */
};

/* A connection as a packet names it: the same for both directions. */
struct name {
	uint64_t print;
	bool turned; /* the packet comes from the greater end */
	uint8_t proto;
};

struct msh_conn_table *
msh_conn_create(uint32_t connections)
{
	struct msh_conn_table *t = rte_zmalloc("connection table", sizeof(*t), 0);
	if (t != NULL && msh_tagged_init(&t->in, connections) == 0)
		return t;
	rte_free(t);
	return NULL;
}

void
msh_conn_free(struct msh_conn_table *t)
{
	if (t != NULL)
		msh_tagged_free(&t->in);
	rte_free(t);
}

static inline struct entry *
entries(const struct msh_conn_table *t)
{
	return t->in.entry;
}

static inline struct name
name_of(const struct msh_conn_table *t, const struct msh_conn_scope *scope,
	const struct msh_track_key *key)
{
	struct msh_track_key k = *key;
	int order = memcmp(k.source, k.destination, sizeof(k.source));
	bool turned = order > 0 || (order == 0 && k.sport > k.dport);
	uint64_t word[MSH_NH_WORDS];
	if (turned) {
		memcpy(k.source, key->destination, sizeof(k.source));
		memcpy(k.destination, key->source, sizeof(k.destination));
		k.sport = key->dport;
		k.dport = key->sport;
	}
	static_assert(sizeof(k) == 5 * sizeof(word[0]), "words of a key");
	memcpy(word, &k, sizeof(k));
	word[5] = (uint64_t)scope->vm << 32 | scope->epoch;
	uint64_t print = msh_nh(&t->in.nh, word, 6);
	return (struct name){.print = print != 0 ? print : 1, .turned = turned, .proto = k.proto};
}

/* A connection is in one of two buckets, so that the table fills well before one finds no room. */
static inline uint32_t
bucket_of(const struct msh_conn_table *t, uint64_t print, unsigned int choice)
{
	return (uint32_t)(choice == 0 ? print : print >> 20) & (t->in.buckets - 1);
}

static struct entry *
find(const struct msh_conn_table *t, uint64_t print)
{
	for (unsigned int choice = 0; choice < 2; choice++) {
		uint32_t bucket = bucket_of(t, print, choice);
		uint64_t ways = msh_ways_with(&t->in.tags[bucket], msh_tag_of(print));
		for (; ways != 0; ways &= ways - 1) {
			struct entry *e = &entries(t)[bucket * MSH_WAYS + msh_way_of(ways)];
			if (__atomic_load_n(&e->print, __ATOMIC_ACQUIRE) == print)
				return e;
		}
	}
	return NULL;
}

static inline uint16_t *
tag_at(const struct msh_conn_table *t, const struct entry *e)
{
	uint32_t at = (uint32_t)(e - entries(t));
	return &t->in.tags[at / MSH_WAYS].way[at % MSH_WAYS];
}

static bool
is_over(const struct entry *e, uint32_t now)
{
	uint32_t limit = msh_track_timeout(&e->track, e->proto, &msh_track_timeouts_default);
	int32_t idle = (int32_t)(now - __atomic_load_n(&e->seen, __ATOMIC_RELAXED));
	return idle >= 0 && (uint32_t)idle >= limit;
}

/* Take the entry from its connection, and leave it nobody's. Not if somebody else did, or its
 * connection has just been used after all. */
static bool
take(struct msh_conn_table *t, struct entry *e, uint32_t now, bool even_if_used)
{
	uint64_t print = __atomic_load_n(&e->print, __ATOMIC_ACQUIRE);
	uint16_t vm = e->vm;
	if (print == 0 || !__atomic_compare_exchange_n(
				  &e->print, &print, 0, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	if (!even_if_used && !is_over(e, now)) {
		__atomic_store_n(&e->print, print, __ATOMIC_RELEASE);
		return false;
	}
	__atomic_sub_fetch(&t->count[vm], 1, __ATOMIC_RELAXED);
	return true;
}

static void
forget(struct msh_conn_table *t, struct entry *e, uint32_t now)
{
	if (take(t, e, now, true))
		__atomic_store_n(tag_at(t, e), 0, __ATOMIC_RELEASE);
}

/* Note that it is in use. False: it has just been taken. Whoever takes it looks at `seen` after
 * making print 0; here it is the other way round, so that one of the two sees the other. */
static bool
touch(struct entry *e, uint64_t print, uint32_t now)
{
	if (__atomic_load_n(&e->seen, __ATOMIC_RELAXED) == now)
		return true;
	__atomic_store_n(&e->seen, now, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&e->print, __ATOMIC_RELAXED) == print;
}

static enum msh_track_verdict
go_on(struct msh_conn_table *t, const struct name *name, const struct msh_packet *p,
	enum msh_track_verdict kind, uint32_t now)
{
	struct entry *e = find(t, name->print);
	if (e != NULL && (is_over(e, now) || !touch(e, name->print, now))) {
		forget(t, e, now);
		e = NULL;
	}
	if (kind == MSH_TRACK_RELATED)
		return e != NULL ? MSH_TRACK_RELATED : MSH_TRACK_INVALID;
	if (e != NULL) {
		enum msh_track_verdict v = msh_track_next(&e->track,
			name->turned == e->turned ? MSH_TRACK_ORIGINAL : MSH_TRACK_REPLY, p, now);
		if (v != MSH_TRACK_REOPEN)
			return v;
		forget(t, e, now);
	}
	struct msh_track first;
	return msh_track_begin(&first, p, true, now);
}

void
msh_conn_judge(struct msh_conn_table *t, const struct msh_conn_scope *scope,
	struct msh_burst *burst, uint64_t mask, uint32_t now)
{
	struct name name[MSH_BURST_MAX];
	MSH_FOREACH_BIT (i, mask) {
		struct msh_track_key key;
		burst->state[i] = msh_track_key(&burst->packet[i], &key);
		if (burst->state[i] != MSH_TRACK_NEW && burst->state[i] != MSH_TRACK_RELATED)
			continue;
		name[i] = name_of(t, scope, &key);
		rte_prefetch0(&t->in.tags[bucket_of(t, name[i].print, 0)]);
	}
	MSH_FOREACH_BIT (i, mask)
		if (burst->state[i] == MSH_TRACK_NEW || burst->state[i] == MSH_TRACK_RELATED)
			burst->state[i] =
				go_on(t, &name[i], &burst->packet[i], burst->state[i], now);
}

/* Entry number n of those that a connection may be in. */
static inline struct entry *
place(const struct msh_conn_table *t, uint64_t print, unsigned int n)
{
	return &entries(t)[bucket_of(t, print, n / MSH_WAYS) * MSH_WAYS + n % MSH_WAYS];
}

static unsigned int
free_ways(const union msh_tags *tags)
{
	unsigned int n = 0;
	for (unsigned int way = 0; way < MSH_WAYS; way++)
		n += tags->way[way] == 0;
	return n;
}

/* In the emptier bucket: so both are full only when nearly all are. */
static struct entry *
claim_free(const struct msh_conn_table *t, uint64_t print)
{
	unsigned int first = free_ways(&t->in.tags[bucket_of(t, print, 1)]) >
					     free_ways(&t->in.tags[bucket_of(t, print, 0)])
				     ? MSH_WAYS
				     : 0;
	for (unsigned int n = 0; n < 2 * MSH_WAYS; n++) {
		struct entry *e = place(t, print, n ^ first);
		uint16_t none = 0;
		if (__atomic_compare_exchange_n(tag_at(t, e), &none, msh_tag_of(print), false,
			    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return e;
	}
	return NULL;
}

/* One whose time is over, or that of the VM's own connection longest silent that is not assured. */
static struct entry *
claim_used(struct msh_conn_table *t, uint64_t print, uint16_t vm, bool only_own, uint32_t now)
{
	struct entry *victim = NULL;
	for (unsigned int n = 0; n < 2 * MSH_WAYS; n++) {
		struct entry *e = place(t, print, n);
		if (__atomic_load_n(&e->print, __ATOMIC_ACQUIRE) == 0 || (only_own && e->vm != vm))
			continue;
		if (is_over(e, now) && take(t, e, now, false))
			return e;
		if (e->vm == vm && !msh_track_is_assured(&e->track) &&
			(victim == NULL || (int32_t)(e->seen - victim->seen) < 0))
			victim = e;
	}
	return victim != NULL && take(t, victim, now, true) ? victim : NULL;
}

/* A place for a connection of this VM: nobody's, and tagged. */
static struct entry *
make_room(struct msh_conn_table *t, uint64_t print, uint16_t vm, uint32_t now)
{
	bool full =
		__atomic_load_n(&t->count[vm], __ATOMIC_RELAXED) >= t->in.buckets * MSH_WAYS / PART;
	struct entry *e = full ? NULL : claim_free(t, print);
	if (e != NULL)
		return e;
	e = claim_used(t, print, vm, full, now);
	if (e != NULL)
		__atomic_store_n(tag_at(t, e), msh_tag_of(print), __ATOMIC_RELEASE);
	return e;
}

static void
begin(struct msh_conn_table *t, const struct msh_conn_scope *scope, const struct msh_packet *p,
	uint32_t now)
{
	struct msh_track_key key;
	if (msh_track_key(p, &key) != MSH_TRACK_NEW)
		return;
	struct name name = name_of(t, scope, &key);
	struct entry *e = find(t, name.print);
	if (e != NULL) { /* of another packet of this burst, or by another worker */
		msh_track_next(&e->track,
			name.turned == e->turned ? MSH_TRACK_ORIGINAL : MSH_TRACK_REPLY, p, now);
		return;
	}
	e = make_room(t, name.print, scope->vm, now);
	if (e == NULL)
		return;
	e->vm = scope->vm;
	e->proto = name.proto;
	e->turned = name.turned;
	e->seen = now;
	msh_track_begin(&e->track, p, true, now);
	__atomic_add_fetch(&t->count[scope->vm], 1, __ATOMIC_RELAXED);
	__atomic_store_n(&e->print, name.print, __ATOMIC_RELEASE);
}

void
msh_conn_confirm(struct msh_conn_table *t, const struct msh_conn_scope *scope,
	const struct msh_burst *burst, uint64_t mask, uint32_t now)
{
	MSH_FOREACH_BIT (i, mask)
		if (burst->state[i] == MSH_TRACK_NEW)
			begin(t, scope, &burst->packet[i], now);
}

void
msh_conn_sweep(struct msh_conn_table *t, uint32_t now)
{
	uint32_t n = RTE_MAX(t->in.buckets / MSH_CONN_SWEEP, 1u);
	for (; n > 0; n--, t->swept = (t->swept + 1) & (t->in.buckets - 1))
		for (uint32_t way = 0; way < MSH_WAYS; way++) {
			struct entry *e = &entries(t)[t->swept * MSH_WAYS + way];
			if (__atomic_load_n(&e->print, __ATOMIC_ACQUIRE) != 0 && is_over(e, now) &&
				take(t, e, now, false))
				__atomic_store_n(tag_at(t, e), 0, __ATOMIC_RELEASE);
		}
}

uint32_t
msh_conn_room(const struct msh_conn_table *t)
{
	return t->in.buckets * MSH_WAYS;
}

uint32_t
msh_conn_count(const struct msh_conn_table *t, uint16_t vm)
{
	return __atomic_load_n(&t->count[vm], __ATOMIC_RELAXED);
}
