/* SPDX-License-Identifier: BSD-3-Clause */

/* A hostile driver: the input is the guest's memory, rings and all, between pages that nobody may
 * touch. First byte: options. */

#include <rte_ether.h>
#include <rte_mempool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../unit/eal.h"
#include "bounds.h"
#include "unfinished.h"
#include "vring.h"

#define GUEST_BASE 0x10000ull
#define GUEST_SIZE 0x10000u
#define PAGE 4096u
#define RING 8
#define MBUFS 255

static struct rte_mempool *pool;
static uint8_t *memory;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	start_eal();
	pool = rte_pktmbuf_pool_create(
		"fuzz", MBUFS, 0, RTE_ALIGN(sizeof(struct msh_rest), 8), 2176, SOCKET_ID_ANY);
	memory = mmap(NULL, GUEST_SIZE + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pool == NULL || memory == MAP_FAILED)
		abort();
	memory += PAGE;
	return mprotect(memory, GUEST_SIZE, PROT_READ | PROT_WRITE);
}

static void
make_ring(struct msh_vring *ring, uint32_t offset, bool event_index)
{
	*ring = (struct msh_vring){.desc = (struct vring_desc *)(memory + offset),
		.avail = (struct vring_avail *)(memory + offset + RING * 16),
		.used = (struct vring_used *)(memory + offset + 0x100),
		.size = RING,
		.event_index = event_index,
		.call = -1};
}

/* Every byte that the code believes to be the packet's is looked at. */
static void
look_through(struct rte_mbuf *m)
{
	uint8_t byte = 0;
	uint32_t length = 0;
	if (m->pkt_len > MSH_FRAME_MAX || (msh_is_partial(m) && msh_rest_copy(m) != 0))
		return;
	uint32_t said = m->pkt_len;
	for (; m != NULL; length += m->data_len, m = m->next)
		for (uint16_t i = 0; i < m->data_len; i++)
			byte ^= rte_pktmbuf_mtod(m, uint8_t *)[i];
	__asm__ volatile("" : : "r"(byte));
	if (length != said)
		abort();
}

/* What the guest left unfinished is checked, and finished. */
static void
finish(struct rte_mbuf *m)
{
	struct rte_mbuf *segments[MSH_SEGMENTS_MAX];
	if (m->data_len < RTE_ETHER_HDR_LEN || !(m->ol_flags & MSH_RAW_HEADER) ||
		!msh_unfinished_accept(m) || !msh_unfinished_for(m, 0))
		return;
	if ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == 0) {
		msh_unfinished_sum(m);
		return;
	}
	int n = msh_unfinished_cut(m, pool, segments);
	if (n > 0)
		rte_pktmbuf_free_bulk(segments, (unsigned int)n);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rte_mbuf *packets[MSH_BURST_MAX];
	struct msh_vrings rings = {.memory = {.count = 2}};
	if (size == 0 || size > GUEST_SIZE)
		return 0;
	uint8_t options = data[0];
	memset(memory, 0, GUEST_SIZE);
	memcpy(memory, data + 1, size - 1);
	rings.memory.region[0] = (struct msh_guest_region){GUEST_BASE, GUEST_SIZE / 2, memory};
	rings.memory.region[1] = (struct msh_guest_region){
		GUEST_BASE + GUEST_SIZE, GUEST_SIZE / 2, memory + GUEST_SIZE / 2};
	rings.mergeable = options & 1;
	rings.header = options & 3 ? 12 : 10;
	rings.unfinished = options & 16;
	make_ring(&rings.to_switch, 0, options & 4);
	make_ring(&rings.to_guest, 0x200, options & 4);
	for (unsigned int turn = 0; turn < 3; turn++) {
		uint16_t n = msh_vring_receive(&rings, pool, packets, MSH_BURST_MAX);
		for (uint16_t i = 0; i < n; i++)
			finish(packets[i]);
		msh_vring_send(&rings, packets, n);
		for (uint16_t i = 0; i < n; i++)
			if (options & 8)
				look_through(packets[i]);
		rte_pktmbuf_free_bulk(packets, n);
		msh_vring_release(&rings);
	}
	if (rte_mempool_avail_count(pool) != MBUFS)
		abort();
	return 0;
}
