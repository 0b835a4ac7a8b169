/* SPDX-License-Identifier: BSD-3-Clause */

/* Burst calls of vhost-user ports: by our own code for the rings that it knows (vring.h), else
 * through librte_vhost. Queues are the guest's: it receives by the even rings and sends by the odd
 * ones (virtio 1.2, 5.1.2). */

#include <rte_vhost.h>

#include "port.h"
#include "vring.h"

/* What the rings have to say, where it outlives them. */
static void
account(struct msh_port *port, uint16_t queue, struct msh_vrings *rings)
{
	if (rings->interrupts > 0)
		msh_count(&port->queue[queue].notifications, rings->interrupts);
	rings->interrupts = 0;
	if (unlikely(rings->to_switch.broken || rings->to_guest.broken))
		__atomic_store_n(&port->broken, true, __ATOMIC_RELAXED);
}

static uint16_t
vhost_rx(struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	struct msh_vrings *rings = __atomic_load_n(&port->queue[queue].rings, __ATOMIC_ACQUIRE);
	if (likely(rings != NULL)) {
		n = msh_vring_receive(rings, port->pool, packets, n);
		port->queue[queue].received = n > 0 ? rings : NULL;
		if (unlikely(rings->to_switch.broken))
			account(port, queue, rings);
		return n;
	}
	int vid = __atomic_load_n(&port->vid, __ATOMIC_ACQUIRE);
	if (vid < 0)
		return 0;
	return rte_vhost_dequeue_burst(vid, (uint16_t)(queue * 2 + 1), port->pool, packets, n);
}

static void
vhost_release(struct msh_port *port, uint16_t queue)
{
	struct msh_vrings *rings = port->queue[queue].received;
	if (rings == NULL)
		return;
	msh_vring_release(rings);
	account(port, queue, rings);
	port->queue[queue].received = NULL;
}

/* Complete what is partial; those that memory is too short for go last. Returns the others. */
static uint16_t
complete(struct rte_mbuf **packets, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		if (unlikely(msh_is_partial(packets[i]) && msh_rest_copy(packets[i]) != 0))
			return i;
	return n;
}

/* What is accepted is copied, and freed here. */
static uint16_t
vhost_tx(struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	struct msh_vrings *rings = __atomic_load_n(&port->queue[queue].rings, __ATOMIC_ACQUIRE);
	uint16_t sent;
	if (likely(rings != NULL)) {
		sent = msh_vring_send(rings, packets, n);
		account(port, queue, rings);
	} else {
		int vid = __atomic_load_n(&port->vid, __ATOMIC_ACQUIRE);
		if (vid < 0)
			return 0;
		n = complete(packets, n);
		sent = rte_vhost_enqueue_burst(vid, (uint16_t)(queue * 2), packets, n);
	}
	rte_pktmbuf_free_bulk(packets, sent);
	return sent;
}

const struct msh_port_ops msh_port_vhost_ops = {
	.kind = "vhost",
	.rx = vhost_rx,
	.tx = vhost_tx,
	.release = vhost_release,
	.takes_partial = true,
};
