/* SPDX-License-Identifier: BSD-3-Clause */

/* DPDK ethdevs as ports: PCI devices bound to vfio-pci, and vdevs. */

#include <rte_errno.h>
#include <rte_ethdev.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "nodes.h"
#include "port_dev.h"

#define RX_DESCRIPTORS 1024u
#define TX_DESCRIPTORS 1024

static struct msh_dev *devices[MSH_PORTS_MAX]; /* by port index */

/* What the queues have in common. */
static struct rte_eth_conf
configuration(const struct msh_dev *dev, const struct rte_eth_dev_info *info)
{
	struct rte_eth_conf conf = {0};
	conf.txmode.offloads = (info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS) |
			       msh_dev_offloads(dev, info);
	conf.rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	conf.rxmode.mtu = dev->options.mtu;
	if (dev->options.vmdq) {
		conf.rxmode.mq_mode = RTE_ETH_MQ_RX_VMDQ_ONLY;
		conf.rx_adv_conf.vmdq_rx_conf = (struct rte_eth_vmdq_rx_conf){
			.nb_queue_pools = RTE_ETH_8_POOLS,
			.enable_default_pool = 1,
			.rx_mode = RTE_ETH_VMDQ_ACCEPT_UNTAG | RTE_ETH_VMDQ_ACCEPT_BROADCAST,
		};
	} else if (dev->options.queues > 1) {
		conf.rx_adv_conf.rss_conf.rss_hf =
			info->flow_type_rss_offloads &
			(RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_SCTP);
		/* Devices that cannot hash, as net_tap, spread in their own way. */
		if (conf.rx_adv_conf.rss_conf.rss_hf != 0)
			conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	}
	return conf;
}

static int
set_up_queues(struct msh_port *port, const struct msh_dev *dev, uint16_t tx_queues,
	const struct rte_eth_dev_info *info)
{
	struct rte_eth_conf conf = configuration(dev, info);
	/* Empty buffers wait in all of them; most must be left for packets. */
	uint16_t rx_descriptors = port->queues == 1 ? RX_DESCRIPTORS
						    : (uint16_t)RTE_MIN(RX_DESCRIPTORS,
							      port->pool->size / 4 / port->queues);
	uint16_t tx_descriptors = TX_DESCRIPTORS;
	int socket = rte_eth_dev_socket_id(port->ethdev);
	port->takes = msh_dev_takes(conf.txmode.offloads);
	if (dev->lacp)
		port->lacp_queue = tx_queues++;
	int rc = rte_eth_dev_configure(port->ethdev, port->queues, tx_queues, &conf);
	if (rc == 0)
		rc = rte_eth_dev_adjust_nb_rx_tx_desc(
			port->ethdev, &rx_descriptors, &tx_descriptors);
	for (uint16_t q = 0; rc == 0 && q < port->queues; q++)
		rc = rte_eth_rx_queue_setup(
			port->ethdev, q, rx_descriptors, (unsigned int)socket, NULL, port->pool);
	for (uint16_t q = 0; rc == 0 && q < tx_queues; q++)
		rc = rte_eth_tx_queue_setup(
			port->ethdev, q, tx_descriptors, (unsigned int)socket, NULL);
	return rc;
}

/* A tx queue for each worker if it can be. Some drivers want as many as rx queues. */
static int
set_up_any_queues(struct msh_port *port, const struct msh_dev *dev, unsigned int workers,
	const struct rte_eth_dev_info *info)
{
	/* Of a memif's queues only as many are there as the peer has. */
	bool all_there = strcmp(info->driver_name, "net_memif") != 0;
	int rc = msh_xdp_prepare(port, info);
	if (rc != 0)
		return rc;
	rc = -ENOTSUP;
	port->own_tx_queues = all_there && info->max_tx_queues >= workers + dev->lacp;
	if (port->own_tx_queues)
		rc = set_up_queues(port, dev, (uint16_t)workers, info);
	if (rc != 0 && (!port->own_tx_queues || workers != port->queues)) {
		port->own_tx_queues = all_there && port->queues >= workers;
		rc = set_up_queues(port, dev, port->queues, info);
	}
	msh_xdp_started(port);
	return rc;
}

/* Against what the device can. */
static int
check_options(struct msh_dev *dev, const struct rte_eth_dev_info *info, const char *devargs,
	struct msh_answer *answer)
{
	const struct msh_dev_options *o = &dev->options;
	uint16_t most = RTE_MIN(info->max_rx_queues, MSH_QUEUES_MAX);
	if (o->queues > most)
		return msh_answer_set(answer, MSH_BAD,
			"device '%s' receives by at most %u queue%s, not %u", devargs, most,
			most == 1 ? "" : "s", o->queues);
	if (o->mtu != 0 && (o->mtu < info->min_mtu || o->mtu > info->max_mtu))
		return msh_answer_set(answer, MSH_BAD,
			"device '%s' takes an mtu of %u to %u bytes, not %u", devargs,
			info->min_mtu, info->max_mtu, o->mtu);
	if (o->filtered && info->max_mac_addrs <= 1)
		return msh_answer_set(answer, MSH_UNSUPPORTED,
			"device '%s' has no MAC filters: with promiscuous off frames to VMs would "
			"not come in",
			devargs);
	if (o->vmdq && !msh_82576_is(info))
		return msh_answer_set(answer, MSH_UNSUPPORTED,
			"device '%s' is no Intel 82576: vmdq is for that NIC only", devargs);
	dev->filter_max = (uint16_t)RTE_MIN(info->max_mac_addrs, (uint32_t)UINT16_MAX) - 1;
	dev->filter = calloc(dev->filter_max + 1, sizeof(*dev->filter));
	return dev->filter != NULL ? 0 : msh_answer_set(answer, MSH_FAILED, "out of memory");
}

/* Let in what the port needs: everything, or what msh_dev_filter() names, and all groups. */
static int
set_reception(const struct msh_port *port, const struct msh_dev *dev, const char *devargs,
	struct msh_answer *answer)
{
	if (!dev->options.filtered) {
		int rc = rte_eth_promiscuous_enable(port->ethdev);
		if (rc != 0 && rc != -ENOTSUP)
			MSH_LOG(WARNING,
				"port %s: not promiscuous (%s): it receives its own MAC only",
				port->name, rte_strerror(-rc));
		return 0;
	}
	int rc = rte_eth_promiscuous_disable(port->ethdev);
	if (rc == 0)
		rc = rte_eth_allmulticast_enable(port->ethdev);
	return rc == 0 ? 0
		       : msh_answer_set(answer, MSH_UNSUPPORTED,
				 "device '%s' cannot be switched to promiscuous off: %s", devargs,
				 rte_strerror(-rc));
}

static int
set_mtu(struct msh_port *port, struct msh_dev *dev, const struct rte_eth_dev_info *info,
	const char *devargs, struct msh_answer *answer)
{
	dev->mtu = RTE_ETHER_MTU;
	int rc = dev->options.mtu != 0 ? rte_eth_dev_set_mtu(port->ethdev, dev->options.mtu) : 0;
	if (rc != 0)
		return msh_answer_set(answer, MSH_FAILED, "device '%s' does not take mtu %u: %s",
			devargs, dev->options.mtu, rte_strerror(-rc));
	rte_eth_dev_get_mtu(port->ethdev, &dev->mtu);
	/* Devices without a wire (pcap, ring, null) say that they take any length, but net_pcap
	 * would cut what is longer than this. */
	port->max_frame = info->max_rx_pktlen == UINT32_MAX && dev->options.mtu == 0
				  ? RTE_ETHER_MAX_JUMBO_FRAME_LEN
				  : dev->mtu + RTE_ETHER_HDR_LEN + 2u * RTE_VLAN_HLEN;
	return 0;
}

static int
sort_by_mac(const struct msh_port *port, const char *devargs, struct msh_answer *answer)
{
	char name[RTE_ETH_NAME_MAX_LEN] = "";
	rte_eth_dev_get_name_by_port(port->ethdev, name);
	int rc = msh_82576_sort_by_mac(name, port->max_frame);
	return rc == 0 ? 0
		       : msh_answer_set(answer, MSH_FAILED,
				 "device '%s' cannot be told to sort by MAC, which vmdq needs "
				 "vfio-pci for: %s",
				 devargs, rte_strerror(-rc));
}

static int
start(struct msh_port *port, struct msh_dev *dev, unsigned int workers, const char *devargs,
	struct msh_answer *answer)
{
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(port->ethdev, &info);
	if (rc == 0) {
		rc = check_options(dev, &info, devargs, answer);
		if (rc != 0)
			return rc;
		if (dev->options.vmdq) {
			dev->pool_count = MSH_DEV_POOLS_MAX;
			port->queues = MSH_DEV_POOLS_MAX;
			port->ops = &msh_port_vmdq_ops;
		}
	}
	if (rc == 0)
		rc = set_up_any_queues(port, dev, workers, &info);
	if (rc == 0)
		rc = rte_eth_dev_start(port->ethdev);
	if (rc != 0)
		return msh_answer_set(answer, MSH_FAILED, "device '%s' does not start: %s", devargs,
			rte_strerror(-rc));
	rc = set_mtu(port, dev, &info, devargs, answer);
	msh_link_started(port, &info);
	if (rc == 0)
		rc = set_reception(port, dev, devargs, answer);
	return rc != 0 || !dev->options.vmdq ? rc : sort_by_mac(port, devargs, answer);
}

bool
msh_dev_is_taken(const struct msh_control *control, uint16_t ethdev)
{
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++) {
		const struct msh_dev *dev = devices[i];
		if (dev == NULL || dev->gone)
			continue;
		if (control->port[i].port->ethdev == ethdev)
			return true;
		for (uint16_t m = 0; m < dev->member_count; m++)
			if (dev->member[m].ethdev == ethdev)
				return true;
	}
	return false;
}

static void
free_dev(struct msh_dev *dev)
{
	free(dev->filter);
	free(dev);
}

static void
remove_device(const struct msh_port *port)
{
	msh_xdp_stop(port);
	msh_dev_remove(port->ethdev);
	msh_xdp_closed(port);
}

static int
start_device(struct msh_control *control, struct msh_port *port, struct msh_dev *dev,
	const char *devargs, struct msh_answer *answer)
{
	if (msh_dev_is_taken(control, port->ethdev))
		return msh_answer_set(answer, MSH_EXISTS, "device '%s' is a port already", devargs);
	int rc = msh_bond_take(dev, port->ethdev, devargs, answer);
	if (rc != 0)
		return rc;
	port->ops = dev->lacp ? &msh_port_lacp_ops : &msh_port_dev_ops;
	port->queues = dev->options.queues;
	port->node = rte_eth_dev_socket_id(port->ethdev);
	port->pool = msh_node_pool(&control->datapath, port->node);
	rc = start(port, dev, control->datapath.worker_count, devargs, answer);
	if (rc == 0)
		rc = msh_dev_filter(control, port, dev, answer);
	if (rc != 0)
		rte_eth_dev_stop(port->ethdev);
	return rc;
}

/* What was made for this is removed when it does not come to be. */
static int
open_device(struct msh_control *control, struct msh_port *port, struct msh_dev *dev,
	const char *devargs, struct msh_answer *answer)
{
	bool made = false;
	int rc = msh_bond_probe(control, dev, devargs, answer);
	if (rc == 0)
		rc = msh_dev_probe(control, devargs, &port->ethdev, &made, answer);
	if (rc == 0)
		rc = start_device(control, port, dev, devargs, answer);
	if (rc == 0)
		return 0;
	if (made)
		remove_device(port);
	msh_bond_close_members(dev, false);
	return rc;
}

static int
dev_open(struct msh_control *control, struct msh_port *port, int argc, char *const *argv,
	struct msh_answer *answer)
{
	if (argc < 1)
		return msh_answer_set(answer, MSH_BAD,
			"port add NAME dev takes DEVARGS_OR_PCI [queues N] [mtu N] "
			"[promiscuous on|off [mac MAC]...] [offloads on|off] [vmdq on|off] "
			"[learn on|off]");
	struct msh_dev *dev = calloc(1, sizeof(*dev));
	if (dev == NULL)
		return msh_answer_set(answer, MSH_FAILED, "port %s: out of memory", port->name);
	int rc = msh_dev_parse(&dev->options, argc - 1, argv + 1, answer);
	if (rc == 0)
		rc = open_device(control, port, dev, argv[0], answer);
	if (rc != 0) {
		free_dev(dev);
		return rc;
	}
	rte_eth_dev_get_name_by_port(port->ethdev, dev->name);
	devices[port->index] = dev;
	msh_port_dev_provider.check_link(port);
	return 0;
}

static void
dev_close(struct msh_port *port)
{
	struct msh_dev *dev = devices[port->index];
	if (!dev->gone)
		remove_device(port);
	msh_bond_close_members(dev, true);
	free_dev(dev);
	devices[port->index] = NULL;
}

static int
dev_addresses_changed(
	const struct msh_control *control, struct msh_port *port, struct msh_answer *answer)
{
	msh_pools_assign(control, port, devices[port->index]);
	return msh_dev_filter(control, port, devices[port->index], answer);
}

static void
dev_check_link(struct msh_port *port)
{
	struct rte_eth_link link = {0};
	int rc = rte_eth_link_get_nowait(port->ethdev, &link);
	/* A driver that cannot tell (net_ring says -ENOTSUP) is taken to be up. */
	msh_port_set_up(port, msh_link_is_up(port, rc != 0 || link.link_status == RTE_ETH_LINK_UP));
}

static bool
dev_is_leaving(const struct msh_port *port)
{
	const struct msh_dev *dev = devices[port->index];
	for (uint16_t i = 0; i < dev->member_count; i++)
		if (msh_dev_is_leaving(dev->member[i].ethdev))
			return true;
	return msh_dev_is_leaving(port->ethdev);
}

static bool
dev_release(struct msh_port *port)
{
	struct msh_dev *dev = devices[port->index];
	if (msh_bond_lose_members(dev, port->ethdev))
		return true;
	dev->gone = true;
	remove_device(port);
	return false;
}

static void
dev_show(const struct msh_port *port, json_t *row)
{
	const struct msh_dev *dev = devices[port->index];
	msh_put(row, "interrupts", 0);
	json_object_set_new(row, "where", json_string(dev->name));
	msh_put(row, "mtu", dev->mtu);
	json_object_set_new(row, "promiscuous", json_string(dev->options.filtered ? "off" : "on"));
	if (dev->member_count > 0)
		json_object_set_new(row, "members", msh_bond_show(dev, port->ethdev));
}

static void
dev_show_details(const struct msh_control *control, const struct msh_port *port, json_t *row)
{
	const struct msh_dev *dev = devices[port->index];
	if (dev->pool_count > 0)
		json_object_set_new(row, "pools", msh_pools_show(control, port, dev));
}

const struct msh_port_provider msh_port_dev_provider = {
	.kind = "dev",
	.open = dev_open,
	.close = dev_close,
	.show = dev_show,
	.show_details = dev_show_details,
	.check_link = dev_check_link,
	.is_leaving = dev_is_leaving,
	.release = dev_release,
	.addresses_changed = dev_addresses_changed,
};
