/* SPDX-License-Identifier: BSD-3-Clause */

/* What a NIC finishes of packets that guests left unfinished (unfinished.h). */

#include <rte_bus.h>
#include <rte_dev.h>
#include <string.h>

#include "port_dev.h"
#include "unfinished.h"

#define CHECKSUMS                                                       \
	(RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM | \
		RTE_ETH_TX_OFFLOAD_UDP_CKSUM)
/* Long packets are of several mbufs. */
#define SEGMENTS (CHECKSUMS | RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS)

/* A virtual device that offers this does it in software as well, and not all of it: net_tap passes
 * on long IPv6 packets uncut. */
static bool
is_nic(const struct rte_eth_dev_info *info)
{
	return info->device != NULL && strcmp(rte_bus_name(rte_dev_bus(info->device)), "pci") == 0;
}

uint64_t
msh_dev_offloads(const struct msh_dev *dev, const struct rte_eth_dev_info *info)
{
	uint64_t can = info->tx_offload_capa;
	if (dev->options.finished || !is_nic(info) || (can & CHECKSUMS) != CHECKSUMS)
		return 0;
	return (can & SEGMENTS) == SEGMENTS ? SEGMENTS : CHECKSUMS;
}

uint8_t
msh_dev_takes(uint64_t offloads)
{
	uint8_t takes = (offloads & CHECKSUMS) == CHECKSUMS ? MSH_TAKES_CSUM : 0;
	if ((offloads & SEGMENTS) == SEGMENTS)
		takes |= MSH_TAKES_TSO4 | MSH_TAKES_TSO6;
	return takes;
}
