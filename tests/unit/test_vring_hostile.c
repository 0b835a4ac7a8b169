/* SPDX-License-Identifier: BSD-3-Clause */

/* Split rings against a driver that does what it must not: its ring breaks, and nothing else is
 * touched. Guard pages and sanitizers watch. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_ether.h>

#include "bounds.h"
#include "unfinished.h"
#include "vring_guest.h"

#define TABLE 0x8000u /* offset of an indirect table */

/* Offenses against the last of the offers; the chain's last descriptor is `d`, its first `head`. */
struct crime {
	struct vring_guest *g;
	struct queue *q;
	struct vring_desc *d, *head;
	uint16_t id, flag;
};

static void
table_at(struct crime *c, uint64_t address, uint32_t length, uint16_t flags)
{
	*c->head = (struct vring_desc){
		.addr = address, .len = length, .flags = flags | VRING_DESC_F_INDIRECT};
}

static void
entry(struct crime *c, unsigned int i, uint16_t flags, uint16_t next)
{
	struct vring_desc *table = (struct vring_desc *)guest_at(c->g, TABLE);
	table[i] = (struct vring_desc){.addr = GUEST_BASE + GUEST_REGION / 2,
		.len = 2000,
		.flags = flags | c->flag,
		.next = next};
}

#define CRIMES 32

static void
commit(struct crime *c, unsigned int which)
{
	static const uint64_t nowhere[] = {0, GUEST_BASE - 1, GUEST_BASE + GUEST_SIZE,
		GUEST_BASE + GUEST_REGION - 1, UINT64_MAX - 5};
	struct queue *q = c->q;
	uint16_t *id = &q->avail->ring[(q->avail_idx - 1) % RING];
	switch (which) {
	case 0:
		*id = RING;
		break;
	case 1:
		*id = UINT16_MAX;
		break;
	case 2: /* too many offers */
		q->avail->idx = (uint16_t)(q->used_idx + RING + 1);
		break;
	case 3: /* an index that goes back */
		q->avail->idx = (uint16_t)(q->used_idx - 1);
		break;
	case 4: /* bits of nonsense, the wrong direction among them */
		c->d->flags = (uint16_t)(0xfff8 | (c->flag ^ VRING_DESC_F_WRITE));
		break;
	case 5:
		c->d->addr = GUEST_BASE + GUEST_SIZE - c->d->len + 1;
		break;
	case 6: /* from one region into the next: adjacent for the guest only */
		c->d->addr = GUEST_BASE + GUEST_REGION - c->d->len + 1;
		break;
	case 7: /* the sum is a good address again */
		c->d->addr = UINT64_MAX - c->d->len + 1;
		break;
	case 8: /* where it is mapped here */
		c->d->addr = (uintptr_t)guest_at(c->g, 0);
		break;
	case 9:
		c->d->len = UINT32_MAX;
		break;
	case 10:
		c->d->len = GUEST_REGION + 1;
		break;
	case 11: /* a loop of one */
		c->d->flags |= VRING_DESC_F_NEXT;
		c->d->next = (uint16_t)(c->d - q->desc);
		break;
	case 12: /* a loop back to the head */
		c->d->flags |= VRING_DESC_F_NEXT;
		c->d->next = c->id;
		break;
	case 13:
		c->d->flags |= VRING_DESC_F_NEXT;
		c->d->next = RING;
		break;
	case 14:
		c->d->flags |= VRING_DESC_F_NEXT;
		c->d->next = UINT16_MAX;
		break;
	case 15: /* the wrong direction */
		c->d->flags ^= VRING_DESC_F_WRITE;
		break;
	case 16: /* a table that reaches beyond its region */
		table_at(c, GUEST_BASE + GUEST_REGION - 16, 32, 0);
		break;
	case 17:
		table_at(c, GUEST_BASE + GUEST_SIZE, 32, 0);
		break;
	case 18:
		table_at(c, GUEST_BASE + TABLE, 24, 0);
		break;
	case 19:
		table_at(c, GUEST_BASE + TABLE, 0, 0);
		break;
	case 20:
		table_at(c, GUEST_BASE + TABLE, UINT32_MAX - 15, 0);
		break;
	case 21: /* a misaligned table */
		table_at(c, GUEST_BASE + TABLE + 1, 32, 0);
		break;
	case 22: /* a table and more */
		table_at(c, GUEST_BASE + TABLE, 16, VRING_DESC_F_NEXT);
		entry(c, 0, 0, 0);
		break;
	case 23: /* a table within itself */
		table_at(c, GUEST_BASE + TABLE, 16, 0);
		*(struct vring_desc *)guest_at(c->g, TABLE) = *c->head;
		break;
	case 24: /* a loop in a table */
		table_at(c, GUEST_BASE + TABLE, 32, 0);
		entry(c, 0, VRING_DESC_F_NEXT, 1);
		entry(c, 1, VRING_DESC_F_NEXT, 0);
		break;
	case 25: /* from the table to behind it; there a good one */
		table_at(c, GUEST_BASE + TABLE, 32, 0);
		entry(c, 0, VRING_DESC_F_NEXT, 2);
		entry(c, 2, 0, 0);
		break;
	case 26: /* a table as part of a chain */
		c->d->flags |= VRING_DESC_F_INDIRECT;
		c->d->addr = GUEST_BASE + TABLE;
		c->d->len = 16;
		if (c->d == c->head)
			c->d->flags |= VRING_DESC_F_NEXT;
		entry(c, 0, 0, 0);
		break;
	default:
		c->d->addr = nowhere[which - 27];
	}
}

static void
snapshot(const struct vring_guest *g, uint8_t *to)
{
	for (uint32_t i = 0; i < GUEST_REGIONS; i++)
		memcpy(to + (size_t)i * GUEST_REGION, guest_at(g, i * GUEST_REGION), GUEST_REGION);
}

/* What a driver offered before comes through or stays; what it did wrong is not followed; then the
 * ring rests, even when mended. */
static void
one_crime(unsigned int which, unsigned int pieces, uint16_t before, bool sending, bool mergeable)
{
	static uint8_t was[GUEST_SIZE], is[GUEST_SIZE];
	struct vring_guest g;
	struct rte_mbuf *m[MSH_BURST_MAX];
	uint8_t *bytes[PIECES_MAX], got[PACKET_MAX];
	const uint8_t *packet = random_packet();
	uint32_t length[2] = {1500, 1500};
	vring_guest_open(&g, mergeable ? 12 : 10, mergeable);
	struct queue *q = sending ? &g.rx : &g.tx;
	struct msh_vring *ring = sending ? &g.rings.to_guest : &g.rings.to_switch;
	for (uint16_t i = 0; i < before; i++)
		if (sending)
			offer(&g, q, length, 1, false, bytes);
		else
			drive_tx(&g, packet, 1400, 1);
	uint16_t id = offer(&g, q, length, pieces, false, bytes), last = id;
	while (q->desc[last].flags & VRING_DESC_F_NEXT)
		last = q->desc[last].next;
	struct crime c = {.g = &g,
		.q = q,
		.d = &q->desc[last],
		.head = &q->desc[id],
		.id = id,
		.flag = sending ? VRING_DESC_F_WRITE : 0};
	commit(&c, which);
	snapshot(&g, was);
	uint16_t n;
	if (sending) {
		for (uint16_t i = 0; i <= before; i++)
			m[i] = make_mbuf(pool, packet, 1400);
		n = msh_vring_send(&g.rings, m, (uint16_t)(before + 1));
		rte_pktmbuf_free_bulk(m, before + 1u);
	} else {
		n = msh_vring_receive(&g.rings, pool, m, MSH_BURST_MAX);
		for (uint16_t i = 0; i < n; i++) {
			assert_int_equal(m[i]->pkt_len, 1400);
			if (msh_is_partial(m[i]))
				assert_int_equal(msh_rest_copy(m[i]), 0);
			assert_memory_equal(rte_pktmbuf_mtod(m[i], void *), packet, 1400);
		}
		rte_pktmbuf_free_bulk(m, n);
		msh_vring_release(&g.rings);
	}
	assert_true(ring->broken);
	assert_true(n <= before);
	assert_int_equal(q->used->idx, (uint16_t)(q->used_idx + n));
	snapshot(&g, is);
	if (n == 0)
		assert_true(memcmp(was, is, GUEST_SIZE) == 0);
	for (uint16_t i = 0; sending && i < n; i++) {
		assert_int_equal(drive_rx(&g, 1, got), 1400);
		assert_memory_equal(got, packet, 1400);
	}
	q->avail->idx = ring->next_avail;
	offer(&g, q, length, 1, false, bytes);
	q->avail->ring[ring->next_avail % RING] = q->avail->ring[(q->avail_idx - 1) % RING];
	q->avail->idx = (uint16_t)(ring->next_avail + 1);
	if (sending) {
		m[0] = make_mbuf(pool, packet, 60);
		assert_int_equal(msh_vring_send(&g.rings, m, 1), 0);
		rte_pktmbuf_free(m[0]);
	} else {
		assert_int_equal(msh_vring_receive(&g.rings, pool, m, 1), 0);
	}
	vring_guest_close(&g);
}

static void
test_crimes(void **state)
{
	for (unsigned int which = 0; which < CRIMES; which++)
		for (unsigned int how = 0; how < 16; how++)
			one_crime(which, 1 + (how & 1), how & 2 ? 2 : 0, how & 4, how & 8);
}

/* Legal at the edge of what is not: whole regions, empty pieces, nothing but a header. */
static void
test_edges(void **state)
{
	struct vring_guest g;
	struct rte_mbuf *m;
	uint8_t *bytes[2], got[PACKET_MAX];
	for (uint32_t total = 0; total < 300; total++)
		for (uint16_t header = 10; header <= 12; header = (uint16_t)(header + 2)) {
			uint32_t length[2] = {total > 0 ? total : 1, 1};
			vring_guest_open(&g, header, header == 12);
			uint16_t id = offer(&g, &g.tx, length, 1, false, bytes);
			g.tx.desc[id].addr = GUEST_BASE + GUEST_REGION - total - (total == 0);
			g.tx.desc[id].len = total;
			bool good = total >= header;
			assert_int_equal(msh_vring_receive(&g.rings, pool, &m, 1), good);
			assert_int_equal(g.rings.to_switch.broken, !good);
			if (good) {
				assert_int_equal(m->pkt_len, total - header);
				assert_int_equal(
					msh_is_partial(m), total - header > MSH_HEAD_BYTES);
				rte_pktmbuf_free(m);
			}
			/* Exactly so much room, at a region's end. */
			length[0] = total > 0 ? total : 1;
			id = offer(&g, &g.rx, length, 1, false, bytes);
			g.rx.desc[id].addr = GUEST_BASE + 2 * GUEST_REGION - length[0];
			memset(guest_at(&g, GUEST_REGION), 0xa5, 16);
			if (total > header) {
				uint32_t n = total - header;
				const uint8_t *packet = random_packet();
				m = make_mbuf(pool, packet, n + 1);
				assert_int_equal(msh_vring_send(&g.rings, &m, 1), 0);
				rte_pktmbuf_free(m);
				m = make_mbuf(pool, packet, n);
				assert_int_equal(msh_vring_send(&g.rings, &m, 1), 1);
				rte_pktmbuf_free(m);
				assert_int_equal(g.rx.used->ring[g.rx.used_idx % RING].len, total);
				assert_memory_equal(
					guest_at(&g, 2 * GUEST_REGION - 1) - n + 1, packet, n);
			}
			assert_false(g.rings.to_guest.broken);
			vring_guest_close(&g);
		}
	/* An empty piece within a packet is none of our business. */
	vring_guest_open(&g, 12, true);
	uint32_t length[3] = {500, 7, 500};
	uint8_t *three[3];
	offer(&g, &g.rx, length, 3, false, three);
	g.rx.desc[5].len = 0;
	g.rx.capacity[(g.rx.avail_idx - 1) % RING] = 1000;
	m = make_mbuf(pool, random_packet(), 900);
	assert_int_equal(msh_vring_send(&g.rings, &m, 1), 1);
	rte_pktmbuf_free(m);
	assert_int_equal(drive_rx(&g, 1, got), 900);
	vring_guest_close(&g);
}

/* When mbufs end, what broke the ring behind them is not forgotten. */
static void
test_broken_without_mbufs(void **state)
{
	struct vring_guest g;
	struct rte_mbuf *m[2], *hold[1023];
	uint32_t piece[24];
	uint8_t *bytes[24];
	unsigned int held = rte_mempool_avail_count(pool) - 2;
	vring_guest_open(&g, 12, true);
	for (unsigned int i = 0; i < 24; i++)
		piece[i] = 240;
	offer(&g, &g.tx, piece, 24, false, bytes);
	offer(&g, &g.tx, piece, 1, false, bytes);
	g.tx.avail->ring[(g.tx.avail_idx - 1) % RING] = RING;
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, hold, held), 0);
	assert_int_equal(msh_vring_receive(&g.rings, pool, m, 2), 0);
	assert_true(g.rings.to_switch.broken);
	rte_pktmbuf_free_bulk(hold, held);
	vring_guest_close(&g);
}

/* An address in, at the edge of, or out of the memory. */
static uint64_t
odd_address(unsigned int *seed)
{
	uint64_t edge = GUEST_BASE + (uint64_t)GUEST_REGION * ((unsigned int)rand_r(seed) % 4);
	switch ((unsigned int)rand_r(seed) % 4) {
	case 0:
		return edge - (uint64_t)rand_r(seed) % 3000;
	case 1:
		return edge + (uint64_t)rand_r(seed) % 64;
	default:
		return GUEST_BASE + (uint64_t)rand_r(seed) % (GUEST_SIZE + 4096);
	}
}

/* One change anywhere in both rings, or in the table that some descriptors point to. */
static void
scribble_once(struct vring_guest *g, unsigned int *seed)
{
	uint8_t *at = guest_at(g, (uint32_t)rand_r(seed) % 0x9000);
	uint32_t r = (uint32_t)rand_r(seed);
	uint16_t flags = (uint16_t)(r >> 8) & 7;
	struct queue *q = r & 8 ? &g->rx : &g->tx;
	struct vring_desc *d = &q->desc[rand_r(seed) % RING];
	switch (r & 7) {
	case 0:
		*at = (uint8_t)(r >> 8);
		break;
	case 1:
		__atomic_store_n(&d->addr, odd_address(seed), __ATOMIC_RELAXED);
		break;
	case 2:
		__atomic_store_n(&d->len, r >> (r >> 16) % 24, __ATOMIC_RELAXED);
		break;
	case 3:
		__atomic_store_n(&d->flags, flags, __ATOMIC_RELAXED);
		break;
	case 4:
		__atomic_store_n(&d->next, (r >> 8) % (RING + 2), __ATOMIC_RELAXED);
		break;
	case 5:
		__atomic_store_n(
			&q->avail->ring[(r >> 8) % RING], (r >> 16) % (RING + 1), __ATOMIC_RELAXED);
		break;
	case 6: /* a table */
		__atomic_store_n(&d->addr, GUEST_BASE + TABLE, __ATOMIC_RELAXED);
		__atomic_store_n(&d->len, 16u * (r >> 16) % 256, __ATOMIC_RELAXED);
		__atomic_store_n(&d->flags, VRING_DESC_F_INDIRECT, __ATOMIC_RELAXED);
		break;
	default:
		__atomic_store_n(
			&q->avail->idx, (uint16_t)(q->avail->idx + r % 5), __ATOMIC_RELAXED);
	}
}

struct scribbler {
	struct vring_guest *guest;
	bool stop;
};

static void *
scribble(void *argument)
{
	struct scribbler *s = argument;
	unsigned int seed = 1;
	cpu_set_t others;
	/* DPDK has bound us to CPU 0; with only one, we take turns. */
	CPU_ZERO(&others);
	for (int i = 1; i < CPU_SETSIZE; i++)
		CPU_SET(i, &others);
	pthread_setaffinity_np(pthread_self(), sizeof(others), &others);
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED))
		scribble_once(s->guest, &seed);
	return NULL;
}

static uint64_t
now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned int received, sent, copied, broke;

/* Good offers in both directions, on rings set up anew, and `scribbles` changes; then a turn. */
static void
turn(struct vring_guest *g, unsigned int scribbles, unsigned int *seed)
{
	struct rte_mbuf *m[MSH_BURST_MAX];
	struct msh_vring *to_switch = &g->rings.to_switch, *to_guest = &g->rings.to_guest;
	uint32_t room = PACKET_MAX;
	uint8_t *bytes;
	uint16_t n = (uint16_t)(1 + rand() % 4);
	g->tx.free = g->rx.free = RING; /* what was given back does not matter here */
	for (uint16_t i = 0; i < n; i++) {
		drive_tx(g, random_packet(), random_length(), 1 + (unsigned int)rand() % 8);
		offer(g, &g->rx, &room, 1, rand() % 5 == 0, &bytes);
	}
	to_switch->next_avail = to_switch->offered = (uint16_t)(g->tx.avail_idx - n);
	to_guest->next_avail = to_guest->offered = (uint16_t)(g->rx.avail_idx - n);
	to_switch->broken = to_guest->broken = false;
	while (scribbles-- > 0)
		scribble_once(g, seed);
	n = msh_vring_receive(&g->rings, pool, m, MSH_BURST_MAX);
	uint16_t out = msh_vring_send(&g->rings, m, n);
	assert_true(out <= n);
	for (uint16_t i = 0; i < n; i++) {
		uint32_t length = m[i]->pkt_len;
		assert_true(length <= MSH_FRAME_MAX);
		if ((m[i]->ol_flags & MSH_RAW_HEADER) && m[i]->data_len >= RTE_ETHER_HDR_LEN)
			msh_unfinished_accept(m[i]);
		if (msh_is_partial(m[i]) && msh_rest_copy(m[i]) == 0) {
			rte_mbuf_sanity_check(m[i], 1);
			assert_int_equal(m[i]->pkt_len, length);
			copied++;
		}
	}
	rte_pktmbuf_free_bulk(m, n);
	msh_vring_release(&g->rings);
	assert_int_equal(rte_mempool_avail_count(pool), 1023);
	received += n;
	sent += out;
	broke += to_switch->broken || to_guest->broken;
}

/* Each writes nonsense only between turns, so that a failure comes again. */
static void
test_nonsense(void **state)
{
	unsigned int seed = 3;
	struct vring_guest g;
	received = sent = copied = broke = 0;
	for (unsigned int guest = 0; guest < 30; guest++) {
		vring_guest_open(&g, guest & 1 ? 12 : 10, guest & 1);
		for (unsigned int i = 0; i < 1000; i++)
			turn(&g, (unsigned int)rand() % 8, &seed);
		vring_guest_close(&g);
	}
	assert_true(received > 1000 && sent > 1000 && copied > 1000 && broke > 1000);
}

/* The guest writes into its rings while they are read. */
static void
test_racing(void **state)
{
	static struct vring_guest g;
	struct scribbler s = {.guest = &g};
	pthread_t thread;
	received = sent = copied = broke = 0;
	vring_guest_open(&g, 12, true);
	assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
	/* Half a second, and on a busy machine until there was some of each. */
	uint64_t begin = now_ns(), past = 0;
	for (bool enough = false; past < 500000000 || (!enough && past < 20000000000);
		past = now_ns() - begin) {
		turn(&g, 0, NULL);
		enough = received > 100 && sent > 100 && broke > 100;
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(received > 100 && sent > 100 && broke > 100);
	vring_guest_close(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_crimes),
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_broken_without_mbufs),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_racing),
	};
	return cmocka_run_group_tests_name("vring_hostile", tests, vring_setup, vring_teardown);
}
