/* SPDX-License-Identifier: BSD-3-Clause */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bounds.h"
#include "eal.h"
#include "vring_guest.h"

#define FIRST_INDEX 0xff00
#define UNTOUCHED 0xa5 /* what the driver leaves in buffers */
#define GAP 16         /* bytes behind each buffer that stay so */
#define STEP 5         /* from a descriptor to the next of its chain: not in a row */
#define MBUFS 1023

struct rte_mempool *pool;

uint8_t *
guest_at(const struct vring_guest *g, uint32_t offset)
{
	return g->map + g->page + offset / GUEST_REGION * (GUEST_REGION + g->page) +
	       offset % GUEST_REGION;
}

static void
make_queue(struct vring_guest *g, struct queue *q, struct msh_vring *ring, uint32_t offset,
	uint32_t begin)
{
	uint8_t *at = guest_at(g, offset);
	*q = (struct queue){.desc = (struct vring_desc *)at,
		.avail = (struct vring_avail *)(at + RING * sizeof(struct vring_desc)),
		.used = (struct vring_used *)(at + 0x1000),
		.avail_idx = FIRST_INDEX,
		.used_idx = FIRST_INDEX,
		.free = RING,
		.begin = begin,
		.end = begin + GUEST_REGION,
		.next_buffer = begin};
	q->avail->idx = q->used->idx = FIRST_INDEX;
	*ring = (struct msh_vring){.desc = q->desc,
		.avail = q->avail,
		.used = q->used,
		.size = RING,
		.next_avail = FIRST_INDEX,
		.next_used = FIRST_INDEX,
		.told = FIRST_INDEX,
		.offered = FIRST_INDEX,
		.call = -1};
}

static size_t
map_size(const struct vring_guest *g)
{
	return GUEST_SIZE + (GUEST_REGIONS + 1) * g->page;
}

void
vring_guest_open(struct vring_guest *g, uint16_t header, bool mergeable)
{
	memset(g, 0, sizeof(*g));
	g->page = (size_t)sysconf(_SC_PAGESIZE);
	g->map = mmap(NULL, map_size(g), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(g->map, MAP_FAILED);
	g->rings.memory.count = GUEST_REGIONS;
	for (uint32_t i = 0; i < GUEST_REGIONS; i++) {
		uint8_t *host = guest_at(g, i * GUEST_REGION);
		assert_int_equal(mprotect(host, GUEST_REGION, PROT_READ | PROT_WRITE), 0);
		g->rings.memory.region[i] = (struct msh_guest_region){
			.guest = GUEST_BASE + i * GUEST_REGION, .size = GUEST_REGION, .host = host};
		memset(host, UNTOUCHED, GUEST_REGION);
	}
	memset(guest_at(g, 0), 0, 0x10000);
	g->rings.header = header;
	g->rings.mergeable = mergeable;
	g->rings.unfinished = true;
	make_queue(g, &g->tx, &g->rings.to_switch, 0, GUEST_REGION / 2);
	make_queue(g, &g->rx, &g->rings.to_guest, 0x4000, GUEST_REGION / 2 + GUEST_REGION);
}

void
vring_guest_close(struct vring_guest *g)
{
	assert_int_equal(munmap(g->map, map_size(g)), 0);
}

/* The offset of a new buffer, in one region. */
static uint32_t
new_buffer(struct queue *q, uint32_t length, uint32_t align)
{
	uint32_t at = RTE_ALIGN(q->next_buffer, align), need = length + GAP;
	if (at / GUEST_REGION != (at + need - 1) / GUEST_REGION)
		at = RTE_ALIGN(at, GUEST_REGION);
	if (at + need > q->end)
		at = q->begin;
	q->next_buffer = at + need;
	return at;
}

uint16_t
offer(struct vring_guest *g, struct queue *q, const uint32_t *length, unsigned int n, bool indirect,
	uint8_t **bytes)
{
	struct vring_desc *table = q->desc;
	uint16_t head = q->next_desc, taken = indirect ? 1 : (uint16_t)n;
	uint16_t flag = q == &g->rx ? VRING_DESC_F_WRITE : 0;
	uint32_t *capacity = &q->capacity[q->avail_idx % RING];
	assert_true(q->free >= taken);
	q->free = (uint16_t)(q->free - taken);
	q->next_desc = (uint16_t)((head + STEP * taken) % RING);
	if (indirect) {
		uint32_t size = n * (uint32_t)sizeof(*table), at = new_buffer(q, size, 16);
		table = (struct vring_desc *)guest_at(g, at);
		q->desc[head] = (struct vring_desc){
			.addr = GUEST_BASE + at, .len = size, .flags = VRING_DESC_F_INDIRECT};
	}
	*capacity = 0;
	for (unsigned int i = 0; i < n; i++) {
		unsigned int at = indirect ? i : (head + STEP * i) % RING;
		unsigned int next = indirect ? i + 1 : (at + STEP) % RING;
		uint32_t buffer = new_buffer(q, length[i], 1);
		bytes[i] = guest_at(g, buffer);
		memset(bytes[i], UNTOUCHED, length[i] + GAP);
		table[at] = (struct vring_desc){.addr = GUEST_BASE + buffer,
			.len = length[i],
			.flags = (uint16_t)(flag | (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)next};
		*capacity += length[i];
	}
	q->avail->ring[q->avail_idx++ % RING] = head;
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
	return head;
}

unsigned int
cut(uint32_t length, unsigned int most, uint32_t *piece)
{
	unsigned int n = 0;
	while (length > 0) {
		piece[n] = n + 1 == most ? length : 1 + (uint32_t)rand() % length;
		length -= piece[n++];
	}
	return n;
}

void
drive_tx(struct vring_guest *g, const uint8_t *packet, uint32_t length, unsigned int pieces)
{
	uint32_t piece[PIECES_MAX], done = 0;
	uint8_t *bytes[PIECES_MAX], whole[PACKET_MAX + 12] = {0};
	unsigned int n = cut(length + g->rings.header, pieces, piece);
	memcpy(whole + g->rings.header, packet, length);
	/* A burst always finds descriptors. */
	bool indirect = g->tx.free < n + MSH_BURST_MAX || rand() % 3 == 0;
	offer(g, &g->tx, piece, n, indirect, bytes);
	for (unsigned int i = 0; i < n; done += piece[i++])
		memcpy(bytes[i], whole + done, piece[i]);
}

/* What is at the used ring's next place: the buffers come back in order. */
static const struct vring_used_elem *
next_used(struct queue *q)
{
	const struct vring_used_elem *e = &q->used->ring[q->used_idx % RING];
	assert_int_not_equal(q->used_idx, __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE));
	assert_int_equal(e->id, q->avail->ring[q->used_idx % RING]);
	q->used_idx++;
	const struct vring_desc *d = &q->desc[e->id];
	for (q->free++; d->flags & VRING_DESC_F_NEXT; q->free++)
		d = &q->desc[d->next];
	return e;
}

void
drive_tx_done(struct vring_guest *g, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		assert_int_equal(next_used(&g->tx)->len, 0);
	assert_int_equal(g->tx.used->idx, g->tx.used_idx);
}

uint32_t
drive_rx(struct vring_guest *g, uint16_t buffers, uint8_t *packet)
{
	static const uint8_t zero[10];
	static uint8_t whole[PACKET_MAX + 12];
	uint8_t untouched[2 * PACKET_MAX + GAP];
	uint32_t total = 0;
	struct queue *q = &g->rx;
	memset(untouched, UNTOUCHED, sizeof(untouched));
	for (uint16_t b = 0; b < buffers; b++) {
		uint32_t capacity = q->capacity[q->used_idx % RING];
		const struct vring_used_elem *e = next_used(q);
		const struct vring_desc *d = &q->desc[e->id], *table = q->desc;
		assert_in_range(e->len, 1, capacity);
		if (b + 1 < buffers)
			assert_int_equal(e->len, capacity);
		assert_true(total + e->len <= sizeof(whole));
		if (d->flags & VRING_DESC_F_INDIRECT)
			d = table =
				(struct vring_desc *)guest_at(g, (uint32_t)(d->addr - GUEST_BASE));
		for (uint32_t left = e->len;; d = &table[d->next]) {
			uint8_t *at = guest_at(g, (uint32_t)(d->addr - GUEST_BASE));
			uint32_t n = RTE_MIN(d->len, left);
			memcpy(whole + total, at, n);
			assert_memory_equal(at + n, untouched, d->len - n + GAP);
			total += n;
			left -= n;
			if ((d->flags & VRING_DESC_F_NEXT) == 0)
				break;
		}
	}
	assert_true(total >= g->rings.header);
	assert_memory_equal(whole, zero, sizeof(zero));
	if (g->rings.header == 12) { /* num_buffers, little-endian; 1 without mergeable ones */
		assert_int_equal(whole[10], buffers);
		assert_int_equal(whole[11], 0);
	}
	total -= g->rings.header;
	memcpy(packet, whole + g->rings.header, total);
	return total;
}

uint32_t
random_length(void)
{
	static const uint32_t some[] = {
		14, 60, 180, 181, 182, 183, 191, 192, 193, 1514, 2048, 9000};
	return rand() % 2 ? some[rand() % 12] : 14 + (uint32_t)rand() % 8986;
}

const uint8_t *
random_packet(void)
{
	static uint8_t bytes[PACKET_MAX + (1 << 16)];
	if (bytes[0] == 0)
		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(1 + rand() % 255);
	return bytes + rand() % (1 << 16);
}

struct rte_mbuf *
make_mbuf(struct rte_mempool *from, const uint8_t *packet, uint32_t length)
{
	struct rte_mbuf *first = NULL;
	for (uint32_t done = 0, n; done < length; done += n) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(from);
		assert_non_null(m);
		n = RTE_MIN(length - done, 1 + (uint32_t)rand() % 2000);
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), packet + done, n);
		if (first == NULL)
			first = m;
		else
			assert_int_equal(rte_pktmbuf_chain(first, m), 0);
	}
	return first;
}

int
vring_setup(void **state)
{
	start_eal();
	pool = rte_pktmbuf_pool_create(
		"test", MBUFS, 0, RTE_ALIGN(sizeof(struct msh_rest), 8), 2176, SOCKET_ID_ANY);
	srand(7);
	return pool == NULL;
}

int
vring_teardown(void **state)
{
	return rte_mempool_avail_count(pool) != MBUFS;
}
