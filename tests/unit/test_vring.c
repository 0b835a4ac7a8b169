/* SPDX-License-Identifier: BSD-3-Clause */

/* Split rings against a naive driver: what one side puts in, the other gets to the byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "bounds.h"
#include "vring_guest.h"

/* What drivers negotiate: legacy, without and with mergeable buffers, and virtio 1. */
static const struct {
	uint16_t header;
	bool mergeable;
} kinds[] = {{10, false}, {12, false}, {12, true}};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void
check_packet(struct rte_mbuf *m, const uint8_t *packet, uint32_t length)
{
	uint8_t copy[PACKET_MAX];
	assert_int_equal(m->pkt_len, length);
	/* Headers are there at once. */
	assert_true(m->data_len >= RTE_MIN(length, MSH_HEAD_BYTES));
	assert_memory_equal(rte_pktmbuf_mtod(m, uint8_t *), packet, m->data_len);
	if (msh_is_partial(m))
		assert_int_equal(msh_rest_copy(m), 0);
	assert_int_equal(m->pkt_len, length);
	rte_mbuf_sanity_check(m, 1);
	const uint8_t *all = rte_pktmbuf_read(m, 0, length, copy);
	assert_non_null(all);
	assert_memory_equal(all, packet, length);
}

/* Random packets in random chains arrive whole, in order, and are given back when released. */
static void
receive_all(uint16_t header, bool mergeable)
{
	struct vring_guest g;
	unsigned int partial = 0, whole = 0;
	vring_guest_open(&g, header, mergeable);
	for (unsigned int turn = 0; turn < 1000; turn++) {
		const uint8_t *packet[MSH_BURST_MAX];
		uint32_t length[MSH_BURST_MAX];
		struct rte_mbuf *got[MSH_BURST_MAX];
		uint16_t n = (uint16_t)(rand() % (MSH_BURST_MAX + 1)), most = MSH_BURST_MAX;
		for (uint16_t i = 0; i < n; i++) {
			packet[i] = random_packet();
			length[i] = random_length();
			drive_tx(&g, packet[i], length[i], 1 + (unsigned int)rand() % PIECES_MAX);
		}
		for (uint16_t done = 0, now; done < n || done == 0; done = (uint16_t)(done + now)) {
			most = (uint16_t)(1 + rand() % MSH_BURST_MAX);
			now = msh_vring_receive(&g.rings, pool, got, most);
			assert_int_equal(now, RTE_MIN(n - done, most));
			assert_int_equal(g.tx.used->idx, g.tx.used_idx);
			for (uint16_t i = 0; i < now; i++) {
				*(msh_is_partial(got[i]) ? &partial : &whole) += 1;
				check_packet(got[i], packet[done + i], length[done + i]);
			}
			rte_pktmbuf_free_bulk(got, now);
			msh_vring_release(&g.rings);
			drive_tx_done(&g, now);
			if (n == 0)
				break;
		}
		assert_int_equal(g.tx.free, RING);
	}
	assert_true(partial > 1000 && whole > 1000);
	assert_false(g.rings.to_switch.broken);
	vring_guest_close(&g);
}

static void
test_receive(void **state)
{
	for (unsigned int i = 0; i < KINDS; i++)
		receive_all(kinds[i].header, kinds[i].mergeable);
}

/* How many of the packets find room in what the driver offers, and in how many buffers each. */
static uint16_t
expect(const struct vring_guest *g, const uint32_t *length, uint16_t n, uint16_t *buffers)
{
	const struct queue *q = &g->rx;
	uint16_t at = q->used_idx, sent = 0;
	for (; sent < n; sent++) {
		uint32_t need = g->rings.header + length[sent], room = 0;
		for (buffers[sent] = 0; room < need; buffers[sent]++) {
			if (at == q->avail_idx || (buffers[sent] > 0 && !g->rings.mergeable))
				return sent;
			room += q->capacity[at++ % RING];
		}
	}
	return sent;
}

static void
offer_buffers(struct vring_guest *g, unsigned int most)
{
	for (; most > 0 && g->rx.free >= 2; most--) {
		uint32_t piece[2], room = PACKET_MAX + 12;
		uint8_t *bytes[2];
		if (g->rings.mergeable)
			room = 400 + (uint32_t)rand() % (rand() % 2 ? 2000 : PACKET_MAX);
		unsigned int n = cut(room, 1 + (unsigned int)rand() % 2, piece);
		offer(g, &g->rx, piece, n, rand() % 4 == 0, bytes);
	}
}

/* Bursts of any length into buffers of any shape; those that find no room are not lost. */
static void
send_all(uint16_t header, bool mergeable)
{
	static uint8_t got[PACKET_MAX];
	struct vring_guest g;
	unsigned int refused = 0, merged = 0;
	vring_guest_open(&g, header, mergeable);
	for (unsigned int turn = 0; turn < 1000; turn++) {
		const uint8_t *packet[MSH_BURST_MAX];
		uint32_t length[MSH_BURST_MAX];
		struct rte_mbuf *m[MSH_BURST_MAX];
		uint16_t buffers[MSH_BURST_MAX], n = (uint16_t)(1 + rand() % MSH_BURST_MAX);
		for (uint16_t i = 0; i < n; i++) {
			packet[i] = random_packet();
			length[i] = random_length();
			m[i] = make_mbuf(pool, packet[i], length[i]);
		}
		for (uint16_t done = 0, now; done < n; done = (uint16_t)(done + now)) {
			uint16_t left = (uint16_t)(n - done);
			offer_buffers(&g, (unsigned int)rand() % 24);
			uint16_t due = expect(&g, length + done, left, buffers);
			now = msh_vring_send(&g.rings, m + done, left);
			assert_int_equal(now, due);
			assert_false(g.rings.to_guest.broken);
			refused += now < left;
			for (uint16_t i = 0; i < now; i++) {
				merged += buffers[i] > 1;
				assert_int_equal(drive_rx(&g, buffers[i], got), length[done + i]);
				assert_memory_equal(got, packet[done + i], length[done + i]);
			}
			assert_int_equal(g.rx.used->idx, g.rx.used_idx);
		}
		rte_pktmbuf_free_bulk(m, n);
	}
	assert_true(refused > 100);
	assert_true(mergeable ? merged > 1000 : merged == 0);
	vring_guest_close(&g);
}

static void
test_send(void **state)
{
	for (unsigned int i = 0; i < KINDS; i++)
		send_all(kinds[i].header, kinds[i].mergeable);
}

/* From one guest to another, long packets without a copy on the way. */
static void
guest_to_guest(unsigned int from, unsigned int to)
{
	static uint8_t got[PACKET_MAX];
	struct vring_guest a, b;
	unsigned int partial = 0;
	vring_guest_open(&a, kinds[from].header, kinds[from].mergeable);
	vring_guest_open(&b, kinds[to].header, kinds[to].mergeable);
	for (unsigned int turn = 0; turn < 500; turn++) {
		const uint8_t *packet[8];
		uint32_t length[8];
		struct rte_mbuf *m[8];
		uint16_t n = (uint16_t)(1 + rand() % 8), buffers[8], sent;
		for (uint16_t i = 0; i < n; i++) {
			packet[i] = random_packet();
			length[i] = random_length();
			drive_tx(&a, packet[i], length[i], 1 + (unsigned int)rand() % 8);
		}
		assert_int_equal(msh_vring_receive(&a.rings, pool, m, 8), n);
		uint32_t free_mbufs = rte_mempool_avail_count(pool);
		offer_buffers(&b, RING);
		sent = expect(&b, length, n, buffers);
		assert_true(sent > 0);
		for (uint16_t i = 0; i < n; i++)
			partial += msh_is_partial(m[i]);
		assert_int_equal(msh_vring_send(&b.rings, m, n), sent);
		assert_int_equal(rte_mempool_avail_count(pool), free_mbufs);
		rte_pktmbuf_free_bulk(m, n);
		msh_vring_release(&a.rings);
		drive_tx_done(&a, n);
		for (uint16_t i = 0; i < sent; i++) {
			assert_int_equal(drive_rx(&b, buffers[i], got), length[i]);
			assert_memory_equal(got, packet[i], length[i]);
		}
	}
	assert_true(partial > 500);
	vring_guest_close(&a);
	vring_guest_close(&b);
}

static void
test_guest_to_guest(void **state)
{
	for (unsigned int i = 0; i < KINDS * KINDS; i++)
		guest_to_guest(i / KINDS, i % KINDS);
}

/* An interrupt when the driver asked for it, and only then (virtio 1.1, 2.6.7). */
static void
test_interrupts(void **state)
{
	struct vring_guest g;
	unsigned int interrupts = 0;
	vring_guest_open(&g, 12, true);
	g.rings.to_guest.call = eventfd(0, EFD_NONBLOCK);
	g.rings.to_switch.call = eventfd(0, EFD_NONBLOCK);
	for (unsigned int i = 0; i < 4000; i++) {
		struct rte_mbuf *m[8];
		uint8_t *bytes, got[PACKET_MAX];
		uint32_t room = 2000;
		bool to_guest = i & 1, event_index = i & 2, wanted;
		struct queue *q = to_guest ? &g.rx : &g.tx;
		struct msh_vring *ring = to_guest ? &g.rings.to_guest : &g.rings.to_switch;
		uint16_t n = (uint16_t)(rand() % 9), ahead = (uint16_t)(rand() % 12);
		eventfd_t count = 0;
		for (uint16_t k = 0; k < n; k++) {
			if (to_guest)
				offer(&g, q, &room, 1, false, &bytes);
			else
				drive_tx(&g, random_packet(), 60, 1);
			m[k] = make_mbuf(pool, random_packet(), 60);
		}
		ring->event_index = event_index;
		/* Due when the index passes used_event; the flag counts only without. */
		q->avail->flags = rand() % 2 ? VRING_AVAIL_F_NO_INTERRUPT : 0;
		q->avail->ring[RING] = (uint16_t)(q->used_idx + ahead - 2);
		wanted = n > 0 && (event_index ? ahead >= 2 && ahead < n + 2 : !q->avail->flags);
		if (to_guest) {
			assert_int_equal(msh_vring_send(&g.rings, m, n), n);
			for (uint16_t k = 0; k < n; k++)
				assert_int_equal(drive_rx(&g, 1, got), 60);
			rte_pktmbuf_free_bulk(m, n);
		} else {
			rte_pktmbuf_free_bulk(m, n);
			assert_int_equal(msh_vring_receive(&g.rings, pool, m, 8), n);
			assert_int_equal(eventfd_read(ring->call, &count), -1);
			rte_pktmbuf_free_bulk(m, n);
			msh_vring_release(&g.rings);
			drive_tx_done(&g, n);
		}
		eventfd_read(ring->call, &count);
		assert_int_equal(count, wanted);
		interrupts += wanted;
		assert_int_equal(g.rings.interrupts, interrupts);
	}
	close(g.rings.to_guest.call);
	close(g.rings.to_switch.call);
	vring_guest_close(&g);
}

/* Without mbufs packets stay where they are, and come later. */
static void
test_no_mbufs(void **state)
{
	struct vring_guest g;
	struct rte_mbuf *m, *hold[1023];
	const uint8_t *packet = random_packet();
	uint32_t piece[24];
	uint8_t *bytes[24];
	unsigned int held = rte_mempool_avail_count(pool);
	vring_guest_open(&g, 12, true);
	for (unsigned int i = 0; i < 24; i++)
		piece[i] = i == 0 ? 12 : 240;
	offer(&g, &g.tx, piece, 24, false, bytes); /* so many pieces are copied */
	for (unsigned int i = 1; i < 24; i++)
		memcpy(bytes[i], packet + 240 * (i - 1), 240);
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, hold, held), 0);
	assert_int_equal(msh_vring_receive(&g.rings, pool, &m, 1), 0);
	rte_pktmbuf_free_bulk(hold, 2); /* not enough for all of it */
	assert_int_equal(msh_vring_receive(&g.rings, pool, &m, 1), 0);
	assert_int_equal(rte_mempool_avail_count(pool), 2);
	msh_vring_release(&g.rings);
	drive_tx_done(&g, 0);
	assert_false(g.rings.to_switch.broken);
	rte_pktmbuf_free_bulk(hold + 2, held - 2);
	assert_int_equal(msh_vring_receive(&g.rings, pool, &m, 1), 1);
	check_packet(m, packet, 23 * 240);
	rte_pktmbuf_free(m);
	msh_vring_release(&g.rings);
	drive_tx_done(&g, 1);
	vring_guest_close(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_guest_to_guest),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_no_mbufs),
	};
	return cmocka_run_group_tests_name("vring", tests, vring_setup, vring_teardown);
}
