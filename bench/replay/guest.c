/* SPDX-License-Identifier: BSD-3-Clause */
#include "guest.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#define BASE 0x100000000ull /* guest-physical address of its memory */
#define QUEUE_BYTES 0x4000  /* of its rings */
#define BUFFER_BYTES 2048
#define SIZE (2 * (QUEUE_BYTES + GUEST_RING * BUFFER_BYTES))
#define HEADER sizeof(struct virtio_net_hdr_mrg_rxbuf)

static void
open_queue(struct guest *g, struct guest_queue *q, struct msh_vring *ring, uint32_t offset,
	uint16_t flags)
{
	uint8_t *at = g->memory + offset;
	*q = (struct guest_queue){.desc = (struct vring_desc *)at,
		.avail = (struct vring_avail *)(at + 0x1000),
		.used = (struct vring_used *)(at + 0x2000)};
	for (uint16_t i = 0; i < GUEST_RING; i++) {
		q->desc[i] =
			(struct vring_desc){.addr = BASE + offset + QUEUE_BYTES + i * BUFFER_BYTES,
				.len = BUFFER_BYTES,
				.flags = flags};
		q->avail->ring[i] = i;
	}
	*ring = (struct msh_vring){.desc = q->desc,
		.avail = q->avail,
		.used = q->used,
		.size = GUEST_RING,
		.call = -1};
}

int
guest_open(struct guest *g)
{
	*g = (struct guest){.memory = aligned_alloc(4096, SIZE)};
	if (g->memory == NULL)
		return -ENOMEM;
	memset(g->memory, 0, SIZE);
	g->rings.memory.count = 1;
	g->rings.memory.region[0] =
		(struct msh_guest_region){.guest = BASE, .size = SIZE, .host = g->memory};
	g->rings.header = HEADER;
	g->rings.mergeable = true;
	open_queue(g, &g->tx, &g->rings.to_switch, 0, 0);
	open_queue(g, &g->rx, &g->rings.to_guest, SIZE / 2, VRING_DESC_F_WRITE);
	g->rx.offered = g->rx.avail->idx = GUEST_RING;
	return 0;
}

void
guest_close(struct guest *g)
{
	free(g->memory);
}

uint8_t *
guest_frame(struct guest *g)
{
	return g->memory + QUEUE_BYTES + g->tx.offered % GUEST_RING * BUFFER_BYTES + HEADER;
}

void
guest_send(struct guest *g, uint32_t length, bool unfinished)
{
	struct virtio_net_hdr header = {0};
	if (unfinished)
		header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.csum_start = 14 + 20, /* Ethernet, IPv4 */
			.csum_offset = 6};     /* UDP's checksum */
	memcpy(guest_frame(g) - HEADER, &header, sizeof(header));
	g->tx.desc[g->tx.offered % GUEST_RING].len = HEADER + length;
	__atomic_store_n(&g->tx.avail->idx, ++g->tx.offered, __ATOMIC_RELEASE);
}

void
guest_turn(struct guest *g)
{
	struct guest_queue *q = &g->rx;
	while (q->seen != __atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE)) {
		uint32_t id = q->used->ring[q->seen++ % GUEST_RING].id;
		q->avail->ring[q->offered++ % GUEST_RING] = (uint16_t)id;
		g->received++;
	}
	__atomic_store_n(&q->avail->idx, q->offered, __ATOMIC_RELEASE);
	g->tx.seen = __atomic_load_n(&g->tx.used->idx, __ATOMIC_ACQUIRE);
}
