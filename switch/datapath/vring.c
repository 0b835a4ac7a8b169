/* SPDX-License-Identifier: BSD-3-Clause */
#include "vring.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <rte_ether.h>
#include <rte_memcpy.h>
#include <string.h>
#include <sys/eventfd.h>

#include "bounds.h"
#include "unfinished.h"

#define PARTS_MAX 64 /* descriptors of one packet or buffer: 64 KiB in pages, and some */

/* A chain of descriptors, as pieces of mapped memory. */
struct chain {
	unsigned int parts;
	uint32_t length;
	struct msh_part part[PARTS_MAX];
};

static inline bool
holds(const struct msh_guest_region *r, uint64_t address, uint32_t length)
{
	uint64_t offset = address - r->guest;
	return offset < r->size && length <= r->size - offset;
}

/* Where the guest's [address, address + length) is mapped, or NULL. */
static inline uint8_t *
mapped(const struct msh_guest_memory *memory, uint64_t address, uint32_t length)
{
	const struct msh_guest_region *r = memory->region, *end = r + memory->count;
	for (; r < end; r++)
		if (likely(holds(r, address, length)))
			return r->host + (address - r->guest);
	return NULL;
}

/* Read a descriptor once: the guest may change it at any time. */
static inline struct vring_desc
read_desc(const struct vring_desc *at)
{
	const volatile uint64_t *words = (const volatile uint64_t *)at;
	union {
		uint64_t word[2];
		struct vring_desc desc;
	} copy = {.word = {words[0], words[1]}};
	return copy.desc;
}

/* Collect the chain that begins at desc[id]; false: it is malformed. `flag` is what each
 * descriptor's VRING_DESC_F_WRITE must be. */
static bool
walk(const struct msh_vrings *rings, const struct msh_vring *ring, uint16_t id, uint16_t flag,
	struct chain *chain)
{
	const struct vring_desc *table = ring->desc;
	uint32_t size = ring->size;
	struct vring_desc d = read_desc(&table[id]);
	chain->parts = 0;
	chain->length = 0;
	if (d.flags & VRING_DESC_F_INDIRECT) {
		if ((d.flags & VRING_DESC_F_NEXT) || d.len % sizeof(d) != 0 || d.len == 0)
			return false;
		table = (const struct vring_desc *)mapped(&rings->memory, d.addr, d.len);
		size = d.len / sizeof(d);
		if (table == NULL || (uintptr_t)table % sizeof(uint64_t) != 0)
			return false;
		d = read_desc(&table[0]);
	}
	for (;;) {
		struct msh_part *part = &chain->part[chain->parts];
		if ((d.flags & (VRING_DESC_F_WRITE | VRING_DESC_F_INDIRECT)) != flag)
			return false;
		part->bytes = mapped(&rings->memory, d.addr, d.len);
		part->length = d.len;
		if (part->bytes == NULL || d.len > UINT32_MAX - chain->length)
			return false;
		chain->length += d.len;
		chain->parts++;
		if ((d.flags & VRING_DESC_F_NEXT) == 0)
			return true;
		if (chain->parts == PARTS_MAX || d.next >= size)
			return false;
		d = read_desc(&table[d.next]);
	}
}

/* How many buffers the guest offers, at most n; 0 also when it has broken the ring. */
static inline uint16_t
offers(struct msh_vring *ring, uint16_t n)
{
	uint16_t have = (uint16_t)(ring->offered - ring->next_avail);
	if (have < n) {
		ring->offered = __atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE);
		have = (uint16_t)(ring->offered - ring->next_avail);
		if (unlikely(have > ring->size)) {
			ring->broken = true;
			return 0;
		}
	}
	return have < n ? have : n;
}

/* The id of an offer, or UINT16_MAX. */
static inline uint16_t
read_offer(struct msh_vring *ring, uint16_t at)
{
	uint16_t id = __atomic_load_n(&ring->avail->ring[at & (ring->size - 1)], __ATOMIC_RELAXED);
	if (likely(id < ring->size))
		return id;
	ring->broken = true;
	return UINT16_MAX;
}

static inline void
give_back(struct msh_vring *ring, uint16_t id, uint32_t written)
{
	ring->used->ring[ring->next_used++ & (ring->size - 1)] =
		(struct vring_used_elem){.id = id, .len = written};
}

/* Tell the guest what was given back, and interrupt it if it asked for that
 * (virtio 1.2, 2.7.7). */
static void
tell(struct msh_vrings *rings, struct msh_vring *ring)
{
	uint16_t old = ring->told, new = ring->next_used;
	if (old == new)
		return;
	__atomic_store_n(&ring->used->idx, new, __ATOMIC_RELEASE);
	ring->told = new;
	if (ring->call < 0)
		return;
	rte_smp_mb(); /* the guest sees the index before we look at what it wants */
	bool wanted;
	if (ring->event_index) {
		/* used_event lies behind the ring */
		uint16_t event = __atomic_load_n(&ring->avail->ring[ring->size], __ATOMIC_RELAXED);
		wanted = vring_need_event(event, new, old);
	} else {
		uint16_t flags = __atomic_load_n(&ring->avail->flags, __ATOMIC_RELAXED);
		wanted = (flags & VRING_AVAIL_F_NO_INTERRUPT) == 0;
	}
	if (wanted) {
		eventfd_write(ring->call, 1);
		rings->interrupts++;
	}
}

/* Take the first n bytes off a chain. */
static void
behead(struct chain *chain, uint32_t n, uint8_t *to)
{
	unsigned int gone = 0;
	for (; gone < chain->parts && n > 0; gone++) {
		struct msh_part *part = &chain->part[gone];
		uint32_t take = RTE_MIN(part->length, n);
		to = (uint8_t *)rte_memcpy(to, part->bytes, take) + take;
		part->bytes += take;
		part->length -= take;
		chain->length -= take;
		n -= take;
		if (part->length > 0)
			break;
	}
	chain->parts -= gone;
	memmove(chain->part, chain->part + gone, chain->parts * sizeof(chain->part[0]));
}

/* What the guest wants to be finished is checked by whoever takes the packet on. */
static inline void
note_header(
	const struct msh_vrings *rings, const struct virtio_net_hdr_v1 *header, struct rte_mbuf *m)
{
	if (likely(!rings->unfinished))
		return;
	uint16_t what; /* flags and gso_type, read at once */
	memcpy(&what, header, sizeof(what));
	if (what == 0)
		return;
	memcpy(&msh_rest_of(m)->raw, header, sizeof(struct virtio_net_hdr));
	m->ol_flags |= MSH_RAW_HEADER;
}

/* A packet of several pieces: its head by copy, the rest by reference if it has few enough. */
static int
take_chain(struct msh_vrings *rings, uint16_t id, struct rte_mbuf *m)
{
	struct chain chain;
	if (!walk(rings, &rings->to_switch, id, 0, &chain) || chain.length < rings->header ||
		chain.length - rings->header > MSH_FRAME_MAX)
		return -EINVAL;
	struct virtio_net_hdr_v1 header;
	behead(&chain, rings->header, (uint8_t *)&header);
	note_header(rings, &header, m);
	uint32_t head = RTE_MIN(chain.length, MSH_HEAD_BYTES);
	behead(&chain, head, rte_pktmbuf_mtod(m, uint8_t *));
	m->data_len = (uint16_t)head;
	m->pkt_len = head;
	if (chain.parts > MSH_REST_PARTS)
		return msh_append(m, m->pool, chain.part, chain.parts);
	struct msh_rest *rest = msh_rest_of(m);
	m->pkt_len += chain.length;
	rest->parts = chain.parts;
	memcpy(rest->part, chain.part, chain.parts * sizeof(chain.part[0]));
	return 0;
}

/* The usual packet: header and frame in one piece. */
static inline void
take_one(uint8_t *frame, uint32_t length, struct rte_mbuf *m)
{
	uint16_t head = (uint16_t)RTE_MIN(length, MSH_HEAD_BYTES);
	rte_memcpy(rte_pktmbuf_mtod(m, void *), frame, head);
	m->data_len = head;
	m->pkt_len = length;
	if (length > head) {
		struct msh_rest *rest = msh_rest_of(m);
		rest->parts = 1;
		rest->part[0] = (struct msh_part){frame + head, length - head};
	}
}

/* What a descriptor of a burst says, once read. */
struct offer {
	uint16_t id;
	uint32_t length;
	uint8_t *bytes; /* NULL: it is not the usual one, walk() it */
};

/* Read n offers and fetch what they point to. Returns how many are good. Copies of the ring's
 * fields, so that they are not loaded again after each store. */
static uint16_t
look_at(const struct msh_vrings *rings, struct msh_vring *ring, struct offer *offer, uint16_t n,
	uint16_t flag)
{
	const struct vring_desc *const table = ring->desc;
	const uint16_t *const ids = ring->avail->ring;
	const uint16_t size = ring->size, mask = (uint16_t)(size - 1), first = ring->next_avail;
	const struct msh_guest_memory *const memory = &rings->memory;
	for (uint16_t i = 0; i < n; i++) {
		uint16_t id = __atomic_load_n(&ids[(first + i) & mask], __ATOMIC_RELAXED);
		if (unlikely(id >= size)) {
			ring->broken = true;
			n = i; /* those before it are good */
			break;
		}
		offer[i].id = id;
		rte_prefetch0(&table[id]);
	}
	for (uint16_t i = 0; i < n; i++) {
		const struct vring_desc d = read_desc(&table[offer[i].id]);
		uint8_t *bytes = NULL;
		/* put_one() writes the longer header, whichever it is. */
		if (likely(d.flags == flag && d.len > sizeof(struct virtio_net_hdr_v1) &&
			    d.len <= UINT16_MAX))
			bytes = mapped(memory, d.addr, d.len);
		if (likely(bytes != NULL)) {
			rte_prefetch0(bytes);
			rte_prefetch0(bytes + RTE_CACHE_LINE_SIZE);
		}
		offer[i].length = d.len;
		offer[i].bytes = bytes;
	}
	return n;
}

/* Take packets from `at` on, up to the first that is not the usual one. Returns its place. */
static inline uint16_t
take_usual(struct msh_vrings *rings, const struct offer *offer, uint16_t at, uint16_t end,
	struct rte_mbuf **packets)
{
	struct msh_vring *ring = &rings->to_switch;
	struct vring_used_elem *const used = ring->used->ring;
	const uint16_t header = rings->header, mask = (uint16_t)(ring->size - 1);
	uint16_t next = ring->next_used;
	for (; at < end && likely(offer[at].bytes != NULL); at++) {
		const struct offer *o = &offer[at];
		take_one(o->bytes + header, o->length - header, packets[at]);
		note_header(rings, (const struct virtio_net_hdr_v1 *)o->bytes, packets[at]);
		used[next++ & mask] = (struct vring_used_elem){.id = o->id};
	}
	ring->next_used = next;
	return at;
}

uint16_t
msh_vring_receive(
	struct msh_vrings *rings, struct rte_mempool *pool, struct rte_mbuf **packets, uint16_t n)
{
	struct msh_vring *ring = &rings->to_switch;
	struct offer offer[MSH_BURST_MAX];
	uint16_t taken = 0;
	if (unlikely(ring->broken))
		return 0;
	n = offers(ring, RTE_MIN(n, MSH_BURST_MAX));
	if (n == 0 || rte_pktmbuf_alloc_bulk(pool, packets, n) != 0)
		return 0;
	uint16_t good = look_at(rings, ring, offer, n, 0);
	while (taken < good) {
		taken = take_usual(rings, offer, taken, good, packets);
		if (likely(taken == good))
			break;
		int rc = take_chain(rings, offer[taken].id, packets[taken]);
		if (unlikely(rc != 0)) {
			ring->broken |= rc == -EINVAL; /* look_at() may have set it */
			break;
		}
		give_back(ring, offer[taken++].id, 0);
	}
	ring->next_avail = (uint16_t)(ring->next_avail + taken);
	if (unlikely(taken < n))
		rte_pktmbuf_free_bulk(packets + taken, n - taken);
	return taken;
}

void
msh_vring_release(struct msh_vrings *rings)
{
	tell(rings, &rings->to_switch);
}

/* Where to write next in a buffer of the guest. */
struct cursor {
	const struct chain *chain;
	unsigned int part;
	uint32_t offset;
};

static void
write_bytes(struct cursor *at, const uint8_t *bytes, uint32_t length)
{
	while (length > 0) {
		const struct msh_part *part = &at->chain->part[at->part];
		uint32_t n = RTE_MIN(part->length - at->offset, length);
		rte_memcpy(part->bytes + at->offset, bytes, n);
		bytes += n;
		length -= n;
		at->offset += n;
		if (at->offset == part->length) {
			at->part++;
			at->offset = 0;
		}
	}
}

/* The whole packet, from its mbufs and from where its rest lies; there is room. */
static void
write_packet(struct cursor *at, struct rte_mbuf *m)
{
	if (msh_is_partial(m)) {
		const struct msh_rest *rest = msh_rest_of(m);
		write_bytes(at, rte_pktmbuf_mtod(m, uint8_t *), m->data_len);
		for (uint32_t i = 0; i < rest->parts; i++)
			write_bytes(at, rest->part[i].bytes, rest->part[i].length);
		return;
	}
	for (; m != NULL; m = m->next)
		write_bytes(at, rte_pktmbuf_mtod(m, uint8_t *), m->data_len);
}

/* Add the next buffer of the guest to a chain. */
static bool
add_buffer(struct msh_vrings *rings, struct msh_vring *ring, uint16_t at, struct chain *all,
	uint16_t *id, uint32_t *length)
{
	struct chain one;
	*id = read_offer(ring, at);
	if (ring->broken || !walk(rings, ring, *id, VRING_DESC_F_WRITE, &one)) {
		ring->broken = true;
		return false;
	}
	if (all->parts + one.parts > PARTS_MAX)
		return false;
	memcpy(all->part + all->parts, one.part, one.parts * sizeof(one.part[0]));
	all->parts += one.parts;
	all->length += one.length;
	*length = one.length;
	return true;
}

/* A packet into as many buffers as it takes. False: there are too few, or they are too small. */
static bool
put_chain(struct msh_vrings *rings, struct rte_mbuf *m)
{
	struct msh_vring *ring = &rings->to_guest;
	struct virtio_net_hdr_v1 header = {0};
	struct chain all = {0};
	uint16_t id[PARTS_MAX], buffers = 0;
	uint32_t length[PARTS_MAX], need = rings->header + m->pkt_len;
	do {
		if ((buffers > 0 && !rings->mergeable) || buffers == PARTS_MAX ||
			offers(ring, (uint16_t)(buffers + 1)) <= buffers ||
			!add_buffer(rings, ring, (uint16_t)(ring->next_avail + buffers), &all,
				&id[buffers], &length[buffers]))
			return false;
		buffers++;
	} while (all.length < need);
	if (m->ol_flags & MSH_UNFINISHED)
		header = msh_unfinished_header(m);
	header.num_buffers = buffers;
	struct cursor at = {.chain = &all};
	write_bytes(&at, (const uint8_t *)&header, rings->header);
	write_packet(&at, m);
	for (uint16_t i = 0; i < buffers; i++) {
		uint32_t n = RTE_MIN(length[i], need);
		give_back(ring, id[i], n);
		need -= n;
	}
	ring->next_avail = (uint16_t)(ring->next_avail + buffers);
	return true;
}

/* The usual packet, into one piece that holds it. */
static inline void
put_one(uint8_t *bytes, uint16_t length, struct rte_mbuf *m)
{
	static const struct virtio_net_hdr_v1 finished = {.num_buffers = 1};
	if (likely((m->ol_flags & MSH_UNFINISHED) == 0)) {
		memcpy(bytes, &finished, sizeof(finished));
	} else {
		struct virtio_net_hdr_v1 header = msh_unfinished_header(m);
		memcpy(bytes, &header, sizeof(header));
	} /* 12 bytes; where it has 10, the frame's begin overwrites 2 */
	bytes += length;
	if (likely(m->data_len == m->pkt_len)) {
		rte_memcpy(bytes, rte_pktmbuf_mtod(m, void *), m->data_len);
		return;
	}
	for (struct rte_mbuf *s = m; s != NULL; s = s->next) {
		rte_memcpy(bytes, rte_pktmbuf_mtod(s, void *), s->data_len);
		bytes += s->data_len;
	}
	if (m->next != NULL)
		return;
	const struct msh_rest *rest = msh_rest_of(m);
	for (uint32_t i = 0; i < rest->parts; i++) {
		rte_memcpy(bytes, rest->part[i].bytes, rest->part[i].length);
		bytes += rest->part[i].length;
	}
}

/* Put packets into one buffer each, up to the first that does not fit so. Returns its place. */
static inline uint16_t
put_usual(struct msh_vrings *rings, const struct offer *offer, uint16_t end,
	struct rte_mbuf **packets)
{
	struct msh_vring *ring = &rings->to_guest;
	struct vring_used_elem *const used = ring->used->ring;
	const uint16_t header = rings->header, mask = (uint16_t)(ring->size - 1);
	uint16_t next = ring->next_used, at;
	for (at = 0; at < end; at++) {
		const struct offer *o = &offer[at];
		uint32_t need = header + packets[at]->pkt_len;
		if (unlikely(o->bytes == NULL || o->length < need))
			break;
		put_one(o->bytes, header, packets[at]);
		used[next++ & mask] = (struct vring_used_elem){.id = o->id, .len = need};
	}
	ring->next_used = next;
	ring->next_avail = (uint16_t)(ring->next_avail + at);
	return at;
}

uint16_t
msh_vring_send(struct msh_vrings *rings, struct rte_mbuf **packets, uint16_t n)
{
	struct msh_vring *ring = &rings->to_guest;
	struct offer offer[MSH_BURST_MAX];
	uint16_t sent;
	if (unlikely(ring->broken))
		return 0;
	n = RTE_MIN(n, MSH_BURST_MAX);
	uint16_t seen = look_at(rings, ring, offer, offers(ring, n), VRING_DESC_F_WRITE);
	sent = put_usual(rings, offer, RTE_MIN(seen, n), packets);
	for (uint16_t first = (uint16_t)(ring->next_avail - sent); sent < n && !ring->broken;
		sent++) {
		struct rte_mbuf *m = packets[sent];
		uint16_t i = (uint16_t)(ring->next_avail - first); /* a packet may take several */
		uint32_t need = rings->header + m->pkt_len;
		if (likely(i < seen && offer[i].bytes != NULL && offer[i].length >= need)) {
			put_one(offer[i].bytes, rings->header, m);
			give_back(ring, offer[i].id, need);
			ring->next_avail++;
		} else if (!put_chain(rings, m)) {
			break;
		}
	}
	tell(rings, ring);
	return sent;
}
