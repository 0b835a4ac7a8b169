/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <rte_ethdev.h>

#include "port_dev_options.h"

#define MSH_BOND_MEMBERS_MAX 8

struct msh_dev_member {
	uint16_t ethdev;
	bool made; /* for the bond, else it was there before */
};

#define MSH_DEV_POOLS_MAX 8 /* of an 82576 */

/* VMDq */
struct msh_dev_pool {
	uint16_t vm; /* index of the VM that it is for, 0: none */
	uint16_t mac_count;
	struct rte_ether_addr mac[MSH_VM_MACS_MAX];
};

/* A DPDK device as control sees it. */
struct msh_dev {
	struct msh_dev_options options;
	uint16_t mtu;
	uint16_t filter_count, filter_max; /* MACs that it was told to let in, and may be told */
	struct rte_ether_addr *filter;
	char name[RTE_ETH_NAME_MAX_LEN];
	bool gone;             /* it is no device of DPDK any more */
	uint16_t member_count; /* of a bond, else 0 */
	struct msh_dev_member member[MSH_BOND_MEMBERS_MAX];
	bool lacp;           /* a bond by LACP */
	uint16_t pool_count; /* with VMDq, else 0 */
	struct msh_dev_pool pool[MSH_DEV_POOLS_MAX];
};

/* port_dev_probe.c: DPDK's port for devargs, after making the device if it is not there. 0 or the
 * negative status of *answer. */
int msh_dev_probe(const struct msh_control *control, const char *devargs, uint16_t *ethdev,
	bool *made, struct msh_answer *answer);
/* The kernel or its driver wants it back: msh_dev_remove() it soon. */
bool msh_dev_is_leaving(uint16_t ethdev);
/* Stop it and take it from DPDK. */
void msh_dev_remove(uint16_t ethdev);

/* port_dev_open.c: whether it is a port, or a member of one. */
bool msh_dev_is_taken(const struct msh_control *control, uint16_t ethdev);

/* port_dev_bond.c; nothing happens when devargs are not a bond's. */
/* Make the members that devargs name. 0 or the negative status of *answer; those made until then
 * are to be closed either way. */
int msh_bond_probe(const struct msh_control *control, struct msh_dev *dev, const char *devargs,
	struct msh_answer *answer);
/* Once the bond itself is made: its members become its own. 0 or the negative status. */
int msh_bond_take(
	struct msh_dev *dev, uint16_t ethdev, const char *devargs, struct msh_answer *answer);
/* Let members go that are leaving; no worker may use the bond. Returns whether there were any. */
bool msh_bond_lose_members(struct msh_dev *dev, uint16_t ethdev);
/* After the bond: remove its members, all or those made for it. */
void msh_bond_close_members(struct msh_dev *dev, bool all);
/* Its members with their states. */
json_t *msh_bond_show(const struct msh_dev *dev, uint16_t ethdev);

/* port_dev_offloads.c */
/* RTE_ETH_TX_OFFLOAD_* to use of what the device can do. */
uint64_t msh_dev_offloads(const struct msh_dev *dev, const struct rte_eth_dev_info *info);
/* MSH_TAKES_* of a device with these. */
uint8_t msh_dev_takes(uint64_t offloads);

/* port_dev_pools.c */
/* VMs came or went: take back their pools, give them free ones. */
void msh_pools_assign(
	const struct msh_control *control, const struct msh_port *port, struct msh_dev *dev);
json_t *msh_pools_show(
	const struct msh_control *control, const struct msh_port *port, const struct msh_dev *dev);

/* port_dev_82576.c */
bool msh_82576_is(const struct rte_eth_dev_info *info);
/* Once it is started with VMDq: sort by MAC alone, groups and unknown MACs into the first pool,
 * tags stay. address: on the PCI bus; frame_max: bytes of the longest frame. 0 or -errno. */
int msh_82576_sort_by_mac(const char *address, uint32_t frame_max);

/* port_dev_filter.c: with promiscuous off, let in frames to the MACs of the port's options and of
 * all VMs that are not behind it. 0 or the negative status of *answer. */
int msh_dev_filter(const struct msh_control *control, const struct msh_port *port,
	struct msh_dev *dev, struct msh_answer *answer);

/* Devices whose drivers do not tell all, or leave things behind. Ports on other devices pass
 * through untouched. */

/* port_dev_memif.c: 0, or the negative status of *answer when a memif's socket cannot be made. */
int msh_memif_check(
	const struct msh_control *control, const char *devargs, struct msh_answer *answer);

/* port_dev_xdp.c: net_af_xdp. */
/* Before the queues are set up: a pool of its own. 0 or -ENOMEM. */
int msh_xdp_prepare(struct msh_port *port, const struct rte_eth_dev_info *info);
/* After that, whether it worked or not. */
void msh_xdp_started(const struct msh_port *port);
/* Before the driver closes the device, and after. */
void msh_xdp_stop(const struct msh_port *port);
void msh_xdp_closed(const struct msh_port *port);

/* port_dev_link.c: net_af_packet, net_af_xdp, net_tap. */
/* After the start: note which interface it is, and how long frames it takes. */
void msh_link_started(struct msh_port *port, const struct rte_eth_dev_info *info);
/* Whether it can send and receive now; up: what the driver says. */
bool msh_link_is_up(const struct msh_port *port, bool up);

/* The first of this program's file descriptors that is_it, or -1. */
int msh_find_fd(bool (*is_it)(int fd, const void *context), const void *context);
