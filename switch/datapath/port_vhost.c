/* SPDX-License-Identifier: BSD-3-Clause */

/* Burst calls of vhost-user ports, through librte_vhost. Queues are the guest's: it receives by the
 * even rings and sends by the odd ones (virtio 1.2, 5.1.2). */

#include <rte_vhost.h>

#include "port.h"

static uint16_t
vhost_rx(struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	int vid = __atomic_load_n(&port->vid, __ATOMIC_ACQUIRE);
	if (vid < 0)
		return 0;
	return rte_vhost_dequeue_burst(vid, (uint16_t)(queue * 2 + 1), port->pool, packets, n);
}

/* librte_vhost copies, so that what it accepted is freed here. */
static uint16_t
vhost_tx(struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	int vid = __atomic_load_n(&port->vid, __ATOMIC_ACQUIRE);
	if (vid < 0)
		return 0;
	uint16_t sent = rte_vhost_enqueue_burst(vid, (uint16_t)(queue * 2), packets, n);
	rte_pktmbuf_free_bulk(packets, sent);
	return sent;
}

const struct msh_port_ops msh_port_vhost_ops = {.kind = "vhost", .rx = vhost_rx, .tx = vhost_tx};
