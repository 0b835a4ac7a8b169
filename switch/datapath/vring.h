/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Split virtqueues (virtio 1.2, 2.7) of a guest's network device, from the device's side. Whatever
 * the guest writes there is read once and checked: what is wrong breaks the ring, which then rests
 * until the guest sets its device up anew.
 *
 * A long packet is received by its head only (partial.h). Receive, send on, and release in one turn
 * of the loop. */

#include <linux/virtio_ring.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#include "partial.h"

#define MSH_GUEST_REGIONS 8 /* librte_vhost's own bound */

/* The guest's memory as it is mapped here. */
struct msh_guest_memory {
	unsigned int count;
	struct msh_guest_region {
		uint64_t guest, size; /* guest-physical address, bytes */
		uint8_t *host;
	} region[MSH_GUEST_REGIONS];
};

struct msh_vring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t size;       /* a power of two */
	uint16_t next_avail; /* of the guest's offers, the next to take */
	uint16_t next_used;  /* what was given back, not all of it told yet */
	uint16_t told;       /* value of used->idx */
	uint16_t offered;    /* avail->idx when it was last looked at */
	bool event_index;    /* VIRTIO_F_EVENT_IDX */
	bool broken;         /* the guest wrote nonsense */
	int call;            /* eventfd that interrupts the guest, or -1 */
};

/* What a port's guest has negotiated. The worker that owns the port is the only user. */
struct msh_vrings {
	struct msh_guest_memory memory;
	uint16_t header; /* bytes of virtio_net_hdr before each packet: 10 or 12 */
	bool mergeable;  /* VIRTIO_NET_F_MRG_RXBUF: the header counts buffers */
	bool unfinished; /* VIRTIO_NET_F_CSUM: the guest may leave packets to be finished */
	struct msh_vring to_switch, to_guest;
	uint64_t interrupts;
};

/* Up to n packets from the guest. */
uint16_t msh_vring_receive(
	struct msh_vrings *rings, struct rte_mempool *pool, struct rte_mbuf **packets, uint16_t n);
/* The guest may reuse what was received: no packet refers to it any more. */
void msh_vring_release(struct msh_vrings *rings);

/* Copy up to n packets to the guest. Returns how many found room; they are still the caller's. */
uint16_t msh_vring_send(struct msh_vrings *rings, struct rte_mbuf **packets, uint16_t n);
