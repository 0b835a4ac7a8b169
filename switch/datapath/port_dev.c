/* SPDX-License-Identifier: BSD-3-Clause */

/* Burst calls of DPDK ethdevs, physical and virtual. */

#include <rte_ethdev.h>

#include "port.h"

static uint16_t
dev_rx(struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	return rte_eth_rx_burst(port->ethdev, queue, packets, n);
}

static uint16_t
dev_tx(struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	return rte_eth_tx_burst(port->ethdev, queue, packets, n);
}

static bool
dev_prepare(struct msh_port *port, uint16_t queue, struct rte_mbuf *packet)
{
	return rte_eth_tx_prepare(port->ethdev, queue, &packet, 1) == 1;
}

/* net_bonding sends its LACP frames from within tx, and wants it called ten times a second: by
 * whoever polls the first queue, on a tx queue for that alone. */
static uint16_t
lacp_rx(struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	if (queue == 0)
		rte_eth_tx_burst(port->ethdev, port->lacp_queue, NULL, 0);
	return rte_eth_rx_burst(port->ethdev, queue, packets, n);
}

static uint16_t
vmdq_rx(struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	uint16_t count = rte_eth_rx_burst(port->ethdev, queue, packets, n);
	if (count > 0)
		msh_count(&port->queue[queue].packets, count);
	return count;
}

#define COMMON .kind = "dev", .tx = dev_tx, .prepare = dev_prepare

const struct msh_port_ops msh_port_dev_ops = {COMMON, .rx = dev_rx};
const struct msh_port_ops msh_port_lacp_ops = {COMMON, .rx = lacp_rx};
const struct msh_port_ops msh_port_vmdq_ops = {COMMON, .rx = vmdq_rx};
