/* SPDX-License-Identifier: BSD-3-Clause */

/* Split rings against a naive driver: what one side puts in, the other gets to the byte; what a
 * driver must not do breaks its ring and touches nothing else. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bounds.h"
#include "eal.h"
#include "vring.h"

#define GUEST_BASE 0x100000000ull /* guest-physical address of its memory */
#define GUEST_SIZE (4u << 20)
#define RING 64
#define BUFFERS 0x100000 /* offset of packet buffers */
#define PACKET_MAX 9100

/* One virtqueue as the driver sees it. */
struct queue {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_idx, used_idx, next_desc;
	uint32_t next_buffer; /* offset into guest memory */
};

struct guest {
	uint8_t *memory; /* between pages that nobody may touch */
	size_t page;
	struct queue tx, rx;
	struct msh_vrings rings;
};

static struct rte_mempool *pool;

static uint64_t
physical(const struct guest *g, const void *at)
{
	return GUEST_BASE + (uint64_t)((const uint8_t *)at - g->memory);
}

static void
make_queue(struct guest *g, struct queue *q, struct msh_vring *ring, uint32_t offset, uint32_t base)
{
	q->desc = (struct vring_desc *)(g->memory + offset);
	q->avail = (struct vring_avail *)(g->memory + offset + RING * sizeof(struct vring_desc));
	q->used = (struct vring_used *)(g->memory + offset + 0x1000);
	q->next_buffer = base;
	*ring = (struct msh_vring){
		.desc = q->desc, .avail = q->avail, .used = q->used, .size = RING, .call = -1};
}

static void
guest_open(struct guest *g, bool mergeable)
{
	memset(g, 0, sizeof(*g));
	g->page = (size_t)sysconf(_SC_PAGESIZE);
	uint8_t *all =
		mmap(NULL, GUEST_SIZE + 2 * g->page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(all, MAP_FAILED);
	g->memory = all + g->page;
	assert_int_equal(mprotect(g->memory, GUEST_SIZE, PROT_READ | PROT_WRITE), 0);
	g->rings.memory.count = 1;
	g->rings.memory.region[0] = (struct msh_guest_region){
		.guest = GUEST_BASE, .size = GUEST_SIZE, .host = g->memory};
	g->rings.header = mergeable ? 12 : 10;
	g->rings.mergeable = mergeable;
	make_queue(g, &g->tx, &g->rings.to_switch, 0, BUFFERS);
	make_queue(g, &g->rx, &g->rings.to_guest, 0x4000, BUFFERS + GUEST_SIZE / 4);
}

static void
guest_close(struct guest *g)
{
	munmap(g->memory - g->page, GUEST_SIZE + 2 * g->page);
}

static uint8_t *
new_buffer(struct guest *g, struct queue *q, uint32_t length)
{
	uint32_t base = q == &g->tx ? BUFFERS : BUFFERS + GUEST_SIZE / 4;
	if (q->next_buffer + length > base + GUEST_SIZE / 4)
		q->next_buffer = base;
	uint8_t *at = g->memory + q->next_buffer;
	q->next_buffer += length;
	return at;
}

/* Offer a chain of buffers of these lengths, all in one descriptor table or in an indirect one.
 * Returns the first descriptor; bytes[i] is where the i-th lies. */
static uint16_t
offer(struct guest *g, struct queue *q, const uint32_t *length, unsigned int n, uint16_t flag,
	bool indirect, uint8_t **bytes)
{
	struct vring_desc *table = q->desc;
	uint16_t head = q->next_desc, size = RING;
	if (indirect) {
		q->next_buffer = (q->next_buffer + 15u) & ~15u;
		table = (struct vring_desc *)new_buffer(g, q, n * sizeof(*table));
		q->desc[head] = (struct vring_desc){.addr = physical(g, table),
			.len = n * (uint32_t)sizeof(*table),
			.flags = VRING_DESC_F_INDIRECT};
		q->next_desc = (uint16_t)((head + 1) % RING);
		size = (uint16_t)n;
	}
	for (unsigned int i = 0; i < n; i++) {
		uint16_t at = indirect ? (uint16_t)i : (uint16_t)((head + i) % RING);
		bytes[i] = new_buffer(g, q, length[i]);
		table[at] = (struct vring_desc){.addr = physical(g, bytes[i]),
			.len = length[i],
			.flags = (uint16_t)(flag | (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)((at + 1) % size)};
		if (!indirect)
			q->next_desc = (uint16_t)((at + 1) % RING);
	}
	q->avail->ring[q->avail_idx++ % RING] = head;
	__atomic_store_n(&q->avail->idx, q->avail_idx, __ATOMIC_RELEASE);
	return head;
}

static void
fill(uint8_t *packet, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		packet[i] = (uint8_t)rand();
}

/* Cut a length into up to `most` pieces, each at least one byte. */
static unsigned int
cut(uint32_t length, unsigned int most, uint32_t *piece)
{
	unsigned int n = 0;
	while (length > 0) {
		piece[n] = n + 1 == most ? length : 1 + (uint32_t)rand() % length;
		length -= piece[n++];
	}
	return n;
}

/* The driver sends a packet, its header in front, in some chain. */
static void
drive_tx(struct guest *g, const uint8_t *packet, uint32_t length, unsigned int pieces)
{
	uint32_t piece[16] = {0}, done = 0, total = length + g->rings.header;
	uint8_t *bytes[16], whole[PACKET_MAX + 12] = {0};
	memcpy(whole + g->rings.header, packet, length);
	unsigned int n = cut(total, pieces, piece);
	offer(g, &g->tx, piece, n, 0, rand() % 3 == 0, bytes);
	for (unsigned int i = 0; i < n; done += piece[i++])
		memcpy(bytes[i], whole + done, piece[i]);
}

static void
check_packet(struct rte_mbuf *m, const uint8_t *packet, uint32_t length)
{
	uint8_t copy[PACKET_MAX];
	assert_int_equal(m->pkt_len, length);
	if (msh_is_partial(m))
		assert_int_equal(msh_rest_copy(m), 0);
	assert_int_equal(m->pkt_len, length);
	assert_memory_equal(rte_pktmbuf_read(m, 0, length, copy), packet, length);
}

static uint32_t
random_length(void)
{
	static const uint32_t some[] = {14, 60, 181, 182, 183, 192, 193, 1514, 9000};
	return rand() % 2 ? some[rand() % 9] : 14 + (uint32_t)rand() % 8986;
}

/* Random packets in random chains arrive whole, in order, and are given back. */
static void
receive_all(bool mergeable)
{
	static uint8_t packet[8][PACKET_MAX];
	struct guest g;
	guest_open(&g, mergeable);
	for (unsigned int turn = 0; turn < 3000; turn++) {
		uint32_t length[8];
		struct rte_mbuf *got[MSH_BURST_MAX];
		uint16_t n = (uint16_t)(1 + rand() % 8);
		uint16_t first = g.tx.next_desc;
		for (uint16_t i = 0; i < n; i++) {
			length[i] = random_length();
			fill(packet[i], length[i]);
			drive_tx(&g, packet[i], length[i], 1 + (unsigned int)rand() % 8);
		}
		assert_int_equal(msh_vring_receive(&g.rings, pool, got, MSH_BURST_MAX), n);
		assert_int_equal(g.tx.used->idx, g.tx.used_idx);
		for (uint16_t i = 0; i < n; i++) {
			check_packet(got[i], packet[i], length[i]);
			rte_pktmbuf_free(got[i]);
		}
		msh_vring_release(&g.rings);
		assert_int_equal(g.tx.used->ring[g.tx.used_idx % RING].id, first);
		g.tx.used_idx = (uint16_t)(g.tx.used_idx + n);
		assert_int_equal(g.tx.used->idx, g.tx.used_idx);
	}
	assert_false(g.rings.to_switch.broken);
	guest_close(&g);
}

static void
test_receive(void **state)
{
	receive_all(false);
	receive_all(true);
}

/* Read what was put into the next used buffers of the driver. Returns the packet's length. */
static uint32_t
drive_rx(struct guest *g, uint8_t *packet)
{
	uint32_t total = 0;
	uint16_t buffers = 1;
	for (uint16_t b = 0; b < buffers; b++) {
		const struct vring_used_elem *e = &g->rx.used->ring[g->rx.used_idx++ % RING];
		uint32_t left = e->len, skip = b == 0 ? g->rings.header : 0;
		const struct vring_desc *d = &g->rx.desc[e->id], *table = g->rx.desc;
		if (d->flags & VRING_DESC_F_INDIRECT) {
			table = (const struct vring_desc *)(g->memory + (d->addr - GUEST_BASE));
			d = table;
		}
		if (b == 0 && g->rings.mergeable) {
			uint8_t head[12] = {0};
			const struct vring_desc *h = d;
			for (uint32_t i = 0, at = 0; i < 12; i++, at++) {
				while (at == h->len) {
					h = &table[h->next];
					at = 0;
				}
				head[i] = g->memory[h->addr - GUEST_BASE + at];
			}
			memcpy(&buffers, head + 10, 2);
		}
		for (; left > 0; d = &table[d->next]) {
			uint32_t n = RTE_MIN(d->len, left), off = RTE_MIN(skip, n);
			memcpy(packet + total, g->memory + (d->addr - GUEST_BASE) + off, n - off);
			total += n - off;
			skip -= off;
			left -= n;
		}
	}
	return total;
}

static struct rte_mbuf *
make_mbuf(const uint8_t *packet, uint32_t length)
{
	struct rte_mbuf *first = rte_pktmbuf_alloc(pool), *m = first;
	for (uint32_t done = 0, n; done < length; done += n) {
		n = RTE_MIN(length - done, 1 + (uint32_t)rand() % 2000);
		if (done > 0)
			assert_int_equal(rte_pktmbuf_chain(first, m = rte_pktmbuf_alloc(pool)), 0);
		memcpy(rte_pktmbuf_append(m, (uint16_t)n), packet + done, n);
		if (m != first)
			first->pkt_len += n;
	}
	return first;
}

/* Packets of any length into buffers of any shape; those that find no room are not lost. */
static void
send_all(bool mergeable)
{
	static uint8_t packet[PACKET_MAX], got[PACKET_MAX + (1 << 16)];
	struct guest g;
	unsigned int waited = 0, sent = 0;
	guest_open(&g, mergeable);
	while (sent < 3000) {
		uint32_t length = random_length(), piece[16] = {0};
		uint8_t *bytes[16];
		fill(packet, length);
		struct rte_mbuf *m = make_mbuf(packet, length);
		while (msh_vring_send(&g.rings, &m, 1) == 0) {
			assert_false(g.rings.to_guest.broken);
			uint32_t room = mergeable ? 64 + (uint32_t)rand() % 4000 : PACKET_MAX + 10;
			unsigned int n = cut(room, 1 + (unsigned int)rand() % 3, piece);
			offer(&g, &g.rx, piece, n, VRING_DESC_F_WRITE, rand() % 4 == 0, bytes);
			waited++;
			assert_int_equal(g.rx.used->idx, g.rx.used_idx);
		}
		assert_int_equal(drive_rx(&g, got), length);
		assert_memory_equal(got, packet, length);
		assert_int_equal(g.rx.used->idx, g.rx.used_idx);
		rte_pktmbuf_free(m);
		sent++;
	}
	assert_true(waited >= 3000);
	guest_close(&g);
}

static void
test_send(void **state)
{
	send_all(false);
	send_all(true);
}

/* From one guest to another, the rest of long packets in one copy. */
static void
test_guest_to_guest(void **state)
{
	static uint8_t packet[PACKET_MAX], got[PACKET_MAX + (1 << 16)];
	struct guest a, b;
	guest_open(&a, true);
	guest_open(&b, true);
	for (unsigned int turn = 0; turn < 3000; turn++) {
		uint32_t length = random_length(), room = PACKET_MAX + 12;
		struct rte_mbuf *m;
		uint8_t *bytes;
		fill(packet, length);
		drive_tx(&a, packet, length, 1 + (unsigned int)rand() % 8);
		offer(&b, &b.rx, &room, 1, VRING_DESC_F_WRITE, false, &bytes);
		assert_int_equal(msh_vring_receive(&a.rings, pool, &m, 1), 1);
		assert_int_equal(msh_vring_send(&b.rings, &m, 1), 1);
		rte_pktmbuf_free(m);
		msh_vring_release(&a.rings);
		assert_int_equal(drive_rx(&b, got), length);
		assert_memory_equal(got, packet, length);
	}
	guest_close(&a);
	guest_close(&b);
}

/* An interrupt only when the driver asked for it (virtio 1.2, 2.7.7). */
static void
test_interrupts(void **state)
{
	struct guest g;
	uint32_t room = 2000;
	uint8_t *bytes;
	const uint8_t packet[60] = {0};
	guest_open(&g, true);
	g.rings.to_guest.call = eventfd(0, EFD_NONBLOCK);
	for (unsigned int i = 0; i < 300; i++) {
		eventfd_t count = 0;
		struct rte_mbuf *m = make_mbuf(packet, sizeof(packet));
		bool wanted = rand() % 2;
		g.rings.to_guest.event_index = i >= 150;
		g.rx.avail->flags = wanted ? 0 : VRING_AVAIL_F_NO_INTERRUPT;
		/* used_event: the interrupt is due when the index passes it. */
		g.rx.avail->ring[RING] = (uint16_t)(g.rx.used_idx + (wanted ? 0 : 7));
		offer(&g, &g.rx, &room, 1, VRING_DESC_F_WRITE, false, &bytes);
		assert_int_equal(msh_vring_send(&g.rings, &m, 1), 1);
		g.rx.used_idx++;
		eventfd_read(g.rings.to_guest.call, &count);
		assert_int_equal(count, wanted);
		rte_pktmbuf_free(m);
	}
	close(g.rings.to_guest.call);
	guest_close(&g);
}

/* What a driver must not write. Each breaks the ring (or is ignored), none is followed. */
static void
spoil(struct guest *g, struct queue *q, uint16_t head, unsigned int kind)
{
	struct vring_desc *d = &q->desc[head];
	switch (kind) {
	case 0:
		q->avail->ring[(q->avail_idx - 1) % RING] = RING;
		break;
	case 1:
		q->avail->idx = (uint16_t)(q->avail_idx + RING + 1);
		break;
	case 2:
		d->addr = GUEST_BASE - 1;
		break;
	case 3:
		d->addr = GUEST_BASE + GUEST_SIZE - 10;
		break;
	case 4:
		d->addr = UINT64_MAX - 5;
		break;
	case 5:
		d->len = UINT32_MAX;
		break;
	case 6:
		d->len = 0;
		break;
	case 7: /* a loop */
		d->flags |= VRING_DESC_F_NEXT;
		d->next = head;
		break;
	case 8:
		d->flags |= VRING_DESC_F_NEXT;
		d->next = RING + 5;
		break;
	case 9:
		d->flags ^= VRING_DESC_F_WRITE;
		break;
	case 10: /* an indirect table beyond the end */
		*d = (struct vring_desc){.addr = GUEST_BASE + GUEST_SIZE - 16,
			.len = 64,
			.flags = VRING_DESC_F_INDIRECT};
		break;
	case 11:
		*d = (struct vring_desc){
			.addr = GUEST_BASE, .len = 24, .flags = VRING_DESC_F_INDIRECT};
		break;
	case 12: /* a table within itself */
		d->flags = VRING_DESC_F_INDIRECT;
		d->len = 32;
		d->addr = physical(g, g->memory + 0x8000);
		*(struct vring_desc *)(g->memory + 0x8000) = *d;
		break;
	case 13: /* misaligned table */
		*d = (struct vring_desc){
			.addr = GUEST_BASE + 0x8001, .len = 32, .flags = VRING_DESC_F_INDIRECT};
		break;
	case 14:
		d->len = g->rings.header - 1u; /* less than its header */
		break;
	default:
		d->addr = GUEST_BASE + GUEST_SIZE;
	}
}

#define SPOILS 16

static void
test_hostile(void **state)
{
	const uint8_t packet[60] = {0};
	for (unsigned int i = 0; i < 4 * SPOILS; i++) {
		bool mergeable = i & 1, sending = i & 2;
		unsigned int kind = i / 4;
		struct guest g;
		struct rte_mbuf *m[MSH_BURST_MAX];
		uint8_t *bytes;
		uint32_t length = 100;
		guest_open(&g, mergeable);
		struct queue *q = sending ? &g.rx : &g.tx;
		uint16_t head =
			offer(&g, q, &length, 1, sending ? VRING_DESC_F_WRITE : 0, false, &bytes);
		spoil(&g, q, head, kind);
		if (sending) {
			m[0] = make_mbuf(packet, sizeof(packet));
			assert_int_equal(msh_vring_send(&g.rings, m, 1), 0);
			rte_pktmbuf_free(m[0]);
			/* Too small is no offence: another buffer might follow. */
			assert_true(g.rings.to_guest.broken || kind == 6 || kind == 14);
		} else {
			assert_int_equal(msh_vring_receive(&g.rings, pool, m, MSH_BURST_MAX), 0);
			msh_vring_release(&g.rings);
			assert_true(g.rings.to_switch.broken);
		}
		assert_int_equal(q->used->idx, 0);
		/* It rests: mending comes too late. */
		offer(&g, q, &length, 1, sending ? VRING_DESC_F_WRITE : 0, false, &bytes);
		if (!sending)
			assert_int_equal(msh_vring_receive(&g.rings, pool, m, MSH_BURST_MAX), 0);
		guest_close(&g);
	}
}

struct scribbler {
	struct guest *guest;
	bool stop;
};

static void *
scribble(void *argument)
{
	struct scribbler *s = argument;
	unsigned int seed = 1;
	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint8_t *at = s->guest->memory + (uint32_t)rand_r(&seed) % 0x9000;
		uint32_t r = (uint32_t)rand_r(&seed);
		switch (r % 4) {
		case 0:
			*at = (uint8_t)(r >> 8);
			break;
		case 1: /* an address in or near the memory */
			*(volatile uint64_t *)((uintptr_t)at & ~7ul) =
				GUEST_BASE + r % (GUEST_SIZE + 4096);
			break;
		case 2:
			*(volatile uint32_t *)((uintptr_t)at & ~3ul) = r >> 16;
			break;
		default:
			*(volatile uint16_t *)((uintptr_t)at & ~1ul) = (uint16_t)(r & 7);
		}
	}
	return NULL;
}

/* The guest writes into its rings while they are read. Sanitizers and guard pages watch. */
static void
test_racing(void **state)
{
	static struct guest g;
	struct scribbler s = {.guest = &g};
	pthread_t thread;
	static uint8_t packet[PACKET_MAX];
	unsigned int received = 0, sent = 0;
	uint32_t room = PACKET_MAX;
	uint8_t *bytes;
	guest_open(&g, true);
	assert_int_equal(pthread_create(&thread, NULL, scribble, &s), 0);
	for (unsigned int turn = 0; turn < 300000; turn++) {
		struct rte_mbuf *m[MSH_BURST_MAX];
		struct msh_vring *to_switch = &g.rings.to_switch, *to_guest = &g.rings.to_guest;
		drive_tx(&g, packet, random_length(), 1 + (unsigned int)rand() % 8);
		offer(&g, &g.rx, &room, 1, VRING_DESC_F_WRITE, turn % 5 == 0, &bytes);
		/* Again and again, as if the driver had set the device up anew. */
		to_switch->next_avail = to_switch->offered = (uint16_t)(g.tx.avail_idx - 1);
		to_guest->next_avail = to_guest->offered = (uint16_t)(g.rx.avail_idx - 1);
		to_switch->broken = to_guest->broken = false;
		uint16_t n = msh_vring_receive(&g.rings, pool, m, MSH_BURST_MAX);
		sent += msh_vring_send(&g.rings, m, n);
		for (uint16_t i = 0; i < n; i++)
			if (msh_is_partial(m[i]) && turn % 2 && m[i]->pkt_len < 20000)
				msh_rest_copy(m[i]);
		rte_pktmbuf_free_bulk(m, n);
		msh_vring_release(&g.rings);
		received += n;
	}
	__atomic_store_n(&s.stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	assert_true(received > 1000 && sent > 1000);
	guest_close(&g);
}

static int
setup(void **state)
{
	start_eal();
	pool = rte_pktmbuf_pool_create(
		"test", 1023, 0, RTE_ALIGN(sizeof(struct msh_rest), 8), 2176, SOCKET_ID_ANY);
	srand(7);
	return pool == NULL;
}

/* No packet was lost on the way. */
static int
teardown(void **state)
{
	return rte_mempool_avail_count(pool) != 1023;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_receive),
		cmocka_unit_test(test_send),
		cmocka_unit_test(test_guest_to_guest),
		cmocka_unit_test(test_interrupts),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_racing),
	};
	return cmocka_run_group_tests_name("vring", tests, setup, teardown);
}
