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

const struct msh_port_ops msh_port_dev_ops = {.kind = "dev", .rx = dev_rx, .tx = dev_tx};
