/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Split virtqueues (virtio 1.2, 2.7) of a guest's network device, from the device's side. Whatever
 * the guest writes there is read once and checked: what is wrong breaks the ring, which then rests
 * until the guest sets its device up anew.
 *
 * A long packet is received by its head only; the rest stays in the guest's memory until it is
 * sent, so that it is copied once, from guest to guest. Receive, send on, and release in one turn
 * of the loop. */

#include <linux/virtio_ring.h>
#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#define MSH_GUEST_REGIONS 8 /* librte_vhost's own bound */
#define MSH_HEAD_BYTES 192u /* copied of each packet: all headers that anyone looks at */
#define MSH_REST_PARTS 6    /* pieces that the rest may lie in; else it is copied as well */

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
	struct msh_vring to_switch, to_guest;
	uint64_t interrupts;
};

struct msh_part {
	uint8_t *bytes;
	uint32_t length;
};

/* Kept in an mbuf's private area while data_len < pkt_len: where the rest of the packet lies. */
struct msh_rest {
	uint32_t parts;
	struct msh_part part[MSH_REST_PARTS];
};

static inline bool
msh_is_partial(const struct rte_mbuf *m)
{
	return m->next == NULL && m->data_len < m->pkt_len;
}

static inline struct msh_rest *
msh_rest_of(struct rte_mbuf *m)
{
	return (struct msh_rest *)rte_mbuf_to_priv(m);
}

/* Copy the rest into the packet, with more mbufs of its pool if need be. 0 or -ENOMEM. */
int msh_rest_copy(struct rte_mbuf *packet);

/* Up to n packets from the guest. */
uint16_t msh_vring_receive(
	struct msh_vrings *rings, struct rte_mempool *pool, struct rte_mbuf **packets, uint16_t n);
/* The guest may reuse what was received: no packet refers to it any more. */
void msh_vring_release(struct msh_vrings *rings);

/* Copy up to n packets to the guest. Returns how many found room; they are still the caller's. */
uint16_t msh_vring_send(struct msh_vrings *rings, struct rte_mbuf **packets, uint16_t n);
