/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow.h"

#include <netinet/in.h>
#include <rte_cycles.h>
#include <rte_malloc.h>
#include <rte_prefetch.h>
#include <string.h>

#include "tags.h"

#define NOBODY UINT32_MAX /* no entry has this index */
#define PORTS_BYTES 4
#define IPV4_FRAGMENT 0x3fff /* offset, and more to come */
#define COMMON (UINT64_C(1) << 63)
#define INFO (UINT64_C(1) << 48)
static_assert(MSH_VMS_MAX <= 1 << 12, "VMs have 12 bits of a key");
#define LUCKY 16 /* of so many newcomers one takes the place of a flow in use */

/* Whoever writes makes sequence odd, and even again; a reader that saw it change saw nothing. */
struct entry {
	uint64_t print;
	uint32_t sequence, generation;
	uint32_t seen; /* seconds; outside the sequence */
	struct msh_verdict verdict;
} __rte_cache_aligned;
static_assert(sizeof(struct entry) == 64, "a cache line");

struct msh_flow_table {
	struct msh_tagged in;
};

struct msh_flow_table *
msh_flow_create(uint32_t flows)
{
	struct msh_flow_table *t = rte_zmalloc("flow table", sizeof(*t), 0);
	if (t != NULL && msh_tagged_init(&t->in, flows) == 0)
		return t;
	rte_free(t);
	return NULL;
}

void
msh_flow_free(struct msh_flow_table *t)
{
	if (t != NULL)
		msh_tagged_free(&t->in);
	rte_free(t);
}

static inline struct entry *
entries(const struct msh_flow_table *t)
{
	return t->in.entry;
}

/* Untagged TCP or UDP by IPv4 without options, whole, with all that the parser wants to see. */
static inline bool
is_common(const struct rte_mbuf *m)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(ether + 1);
	uint16_t total;
	if (rte_pktmbuf_data_len(m) < sizeof(*ether) + sizeof(*ip) + PORTS_BYTES ||
		ether->ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV4) ||
		ip->version_ihl != RTE_IPV4_VHL_DEF ||
		(ip->fragment_offset & RTE_BE16(IPV4_FRAGMENT)) != 0 ||
		(ip->next_proto_id != IPPROTO_TCP && ip->next_proto_id != IPPROTO_UDP))
		return false;
	total = rte_be_to_cpu_16(ip->total_length);
	return total >= sizeof(*ip) + PORTS_BYTES &&
	       total <= rte_pktmbuf_pkt_len(m) - sizeof(*ether);
}

/* The words that make a flow, as they lie in the frame: MACs, EtherType, type of service,
 * addresses, ports. */
static inline void
read_common(const struct rte_mbuf *m, uint64_t scope, uint64_t word[MSH_NH_WORDS])
{
	const uint8_t *frame = rte_pktmbuf_mtod(m, const uint8_t *);
	const struct rte_ipv4_hdr *ip =
		(const struct rte_ipv4_hdr *)(frame + sizeof(struct rte_ether_hdr));
	uint32_t ports;
	memcpy(&word[0], frame, 2 * sizeof(word[0]));
	memcpy(&word[2], &ip->src_addr, sizeof(word[2]));
	memcpy(&ports, ip + 1, sizeof(ports));
	word[3] = COMMON | scope | (uint64_t)ip->next_proto_id << 32 | ports;
}

/* The same for any parsed packet; never equal to those. Returns how many. */
static unsigned int
read_any(const struct msh_packet *p, uint64_t scope, bool flags, uint64_t word[MSH_NH_WORDS])
{
	const uint8_t *frame = rte_pktmbuf_mtod(p->mbuf, const uint8_t *);
	uint32_t source;
	memcpy(&word[0], frame, sizeof(word[0])); /* destination, and two bytes of the source */
	memcpy(&source, frame + sizeof(word[0]), sizeof(source));
	word[1] = source | (uint64_t)p->ether_type << 32 | (uint64_t)p->tci << 48;
	word[2] = (uint64_t)p->ip_version << 16 | (uint64_t)p->tos << 8 | p->tagged << 2 |
		  p->fragment << 1 | p->has_ports;
	word[3] = scope | (uint64_t)p->proto << 32 | (uint64_t)p->dport << 16 | p->sport;
	uint16_t info;
	if ((flags || p->proto != IPPROTO_TCP) && msh_packet_info(p, &info))
		word[2] |= (uint64_t)info << 32 | INFO;
	if (p->ip_version == 0)
		return 4;
	if (p->ip_version == 4) {
		memcpy(&word[4], &msh_packet_ipv4(p)->src_addr, sizeof(word[4]));
		word[5] = 0;
		return 6;
	}
	memcpy(&word[4], msh_packet_ipv6(p)->src_addr, 4 * sizeof(word[4]));
	return 8;
}

static inline uint64_t
print_of(const struct msh_flow_table *t, const struct msh_flow_scope *scope, struct msh_packet *p,
	uint8_t state)
{
	uint64_t word[MSH_NH_WORDS];
	uint64_t whose =
		(uint64_t)scope->vm << 40 | (uint64_t)scope->out << 52 | (uint64_t)state << 53;
	if (likely(!scope->flags && is_common(p->mbuf))) {
		read_common(p->mbuf, whose, word);
		return msh_nh(&t->in.nh, word, 4);
	}
	msh_packet_need(p);
	return msh_nh(&t->in.nh, word, read_any(p, whose, scope->flags, word));
}

static inline uint32_t
bucket_of(const struct msh_flow_table *t, uint64_t print)
{
	return (uint32_t)print & (t->in.buckets - 1);
}

static inline struct entry *
entry_of(const struct msh_flow_table *t, uint64_t print, uint64_t ways)
{
	return &entries(t)[bucket_of(t, print) * MSH_WAYS + msh_way_of(ways)];
}

/* Copy out the verdict, if the entry is this flow's and holds. */
static inline bool
read_entry(const struct entry *e, uint64_t print, uint32_t generation, struct msh_verdict *verdict)
{
	uint32_t sequence = __atomic_load_n(&e->sequence, __ATOMIC_ACQUIRE);
	if (e->print != print || e->generation != generation)
		return false;
	*verdict = e->verdict;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return !(sequence & 1) && __atomic_load_n(&e->sequence, __ATOMIC_RELAXED) == sequence;
}

static inline bool
look_up(struct msh_flow_table *t, uint64_t print, uint32_t generation, uint64_t ways, uint32_t now,
	struct msh_verdict *verdict)
{
	for (; ways != 0; ways &= ways - 1) {
		struct entry *e = entry_of(t, print, ways);
		if (unlikely(!read_entry(e, print, generation, verdict)))
			continue;
		if (__atomic_load_n(&e->seen, __ATOMIC_RELAXED) != now)
			__atomic_store_n(&e->seen, now, __ATOMIC_RELAXED);
		return true;
	}
	return false;
}

uint64_t
msh_flow_find(struct msh_flow_table *t, const struct msh_flow_scope *scope, struct msh_burst *burst,
	uint64_t mask, uint32_t now)
{
	uint64_t ways[MSH_BURST_MAX], found = 0;
	MSH_FOREACH_BIT (i, mask) {
		burst->flow[i] =
			print_of(t, scope, &burst->packet[i], scope->states ? burst->state[i] : 0);
		rte_prefetch0(&t->in.tags[bucket_of(t, burst->flow[i])]);
	}
	MSH_FOREACH_BIT (i, mask) {
		uint64_t print = burst->flow[i];
		ways[i] = msh_ways_with(&t->in.tags[bucket_of(t, print)], msh_tag_of(print));
		if (likely(ways[i] != 0))
			rte_prefetch0(entry_of(t, print, ways[i]));
	}
	MSH_FOREACH_BIT (i, mask)
		if (look_up(t, burst->flow[i], scope->generation, ways[i], now, &burst->verdict[i]))
			found |= UINT64_C(1) << i;
	return found;
}

/* Seconds. Another worker's time may be one ahead. */
static inline int32_t
idle(const struct entry *e, uint32_t now)
{
	return (int32_t)(now - __atomic_load_n(&e->seen, __ATOMIC_RELAXED));
}

/* The entry to write the flow to: its own, a free one, or the longest idle; or NOBODY. */
static uint32_t
choose(const struct msh_flow_table *t, uint64_t print, bool drop, uint32_t now)
{
	uint32_t first = bucket_of(t, print) * MSH_WAYS, best = first, free = NOBODY;
	const union msh_tags *tags = &t->in.tags[bucket_of(t, print)];
	int32_t longest = INT32_MIN;
	for (uint32_t at = first; at < first + MSH_WAYS; at++) {
		uint16_t tag = __atomic_load_n(&tags->way[at % MSH_WAYS], __ATOMIC_RELAXED);
		if (tag == 0)
			free = at;
		else if (tag == msh_tag_of(print) && entries(t)[at].print == print)
			return at;
		else if (idle(&entries(t)[at], now) > longest) {
			longest = idle(&entries(t)[at], now);
			best = at;
		}
	}
	if (free != NOBODY)
		return free;
	if (longest > MSH_FLOW_IDLE)
		return best;
	return !drop && rte_rdtsc() / 64 % LUCKY == 0 ? best : NOBODY;
}

void
msh_flow_keep(struct msh_flow_table *t, const struct msh_flow_scope *scope,
	const struct msh_burst *burst, uint64_t mask, uint32_t now)
{
	MSH_FOREACH_BIT (i, mask) {
		uint64_t print = burst->flow[i];
		uint32_t at = choose(t, print, burst->verdict[i].action == MSH_DROP, now);
		if (at == NOBODY)
			continue;
		struct entry *e = &entries(t)[at];
		uint32_t sequence = __atomic_load_n(&e->sequence, __ATOMIC_RELAXED);
		if ((sequence & 1) ||
			!__atomic_compare_exchange_n(&e->sequence, &sequence, sequence + 1, false,
				__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			continue; /* another worker writes it: the next packet comes again */
		__atomic_thread_fence(__ATOMIC_RELEASE);
		e->print = print;
		e->generation = scope->generation;
		e->seen = now;
		e->verdict = burst->verdict[i];
		__atomic_store_n(&t->in.tags[at / MSH_WAYS].way[at % MSH_WAYS], msh_tag_of(print),
			__ATOMIC_RELAXED);
		__atomic_store_n(&e->sequence, sequence + 2, __ATOMIC_RELEASE);
	}
}

uint32_t
msh_flow_room(const struct msh_flow_table *t)
{
	return t->in.buckets * MSH_WAYS;
}

uint32_t
msh_flow_count(const struct msh_flow_table *t, uint32_t now)
{
	uint32_t n = 0;
	for (uint32_t at = 0; at < t->in.buckets * MSH_WAYS; at++)
		n += t->in.tags[at / MSH_WAYS].way[at % MSH_WAYS] != 0 &&
		     idle(&entries(t)[at], now) <= MSH_FLOW_IDLE;
	return n;
}
