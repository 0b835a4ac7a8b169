/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A guest with a network device whose driver is naive: it does what it should, and looks closely at
 * what it gets. Include it after cmocka.h. */

#include "vring.h"

/* Regions follow one another in guest-physical addresses; where they are mapped, each lies between
 * pages that nobody may touch. Rings are in the first, buffers of both directions span two. */
#define GUEST_BASE 0x100000000ull
#define GUEST_REGION (2u << 20)
#define GUEST_REGIONS 3
#define GUEST_SIZE (GUEST_REGIONS * GUEST_REGION)

#define RING 64
#define PIECES_MAX 24
#define PACKET_MAX 9100

/* One virtqueue as the driver sees it. */
struct queue {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t avail_idx, used_idx, next_desc, free; /* free descriptors */
	uint32_t begin, end, next_buffer;              /* offsets into the memory */
	uint32_t capacity[RING]; /* bytes, of what was offered; parallel to avail->ring */
};

struct vring_guest {
	uint8_t *map; /* all regions, and the pages between */
	size_t page;
	struct queue tx, rx;
	struct msh_vrings rings; /* of this guest, as the switch sees them */
};

/* Where an offset into the guest's memory is mapped. */
uint8_t *guest_at(const struct vring_guest *g, uint32_t offset);

/* Indices begin where they soon wrap. */
void vring_guest_open(struct vring_guest *g, uint16_t header, bool mergeable);
void vring_guest_close(struct vring_guest *g);

/* Offer a chain of n new buffers, directly or by an indirect table. Returns its first descriptor;
 * bytes[i] is where the i-th buffer is mapped. */
uint16_t offer(struct vring_guest *g, struct queue *q, const uint32_t *length, unsigned int n,
	bool indirect, uint8_t **bytes);

/* Cut a length into up to `most` pieces, each at least one byte. */
unsigned int cut(uint32_t length, unsigned int most, uint32_t *piece);

/* Send a packet in a chain of up to `pieces`. */
void drive_tx(struct vring_guest *g, const uint8_t *packet, uint32_t length, unsigned int pieces);
/* Look at n chains that the switch gave back. */
void drive_tx_done(struct vring_guest *g, uint16_t n);

/* Take a packet that the switch put into the next `buffers` buffers. Returns its length. */
uint32_t drive_rx(struct vring_guest *g, uint16_t buffers, uint8_t *packet);

uint32_t random_length(void);
/* Random bytes, PACKET_MAX of them; different ones each time. */
const uint8_t *random_packet(void);
/* A packet of random segments. */
struct rte_mbuf *make_mbuf(struct rte_mempool *pool, const uint8_t *packet, uint32_t length);

/* EAL and the mbufs of a test program; the teardown fails when some were lost. */
extern struct rte_mempool *pool;
int vring_setup(void **state);
int vring_teardown(void **state);
