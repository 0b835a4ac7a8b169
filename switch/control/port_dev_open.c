/* SPDX-License-Identifier: BSD-3-Clause */

/* DPDK ethdevs as ports: PCI devices bound to vfio-pci, and vdevs. */

#include <limits.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_pci.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "port_dev.h"

#define RX_DESCRIPTORS 1024
#define TX_DESCRIPTORS 1024

/* Why a PCI device cannot be used, or 0. */
static int
check_pci(const char *address, const struct rte_pci_addr *pci, struct msh_answer *answer)
{
	char path[PATH_MAX], link[PATH_MAX], target[PATH_MAX];
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.4" PRIx32 ":%.2x:%.2x.%x", pci->domain,
		pci->bus, pci->devid, pci->function);
	if (access(path, F_OK) != 0)
		return msh_answer_set(
			answer, MSH_NOTFOUND, "there is no PCI device %s in this machine", address);
	snprintf(link, sizeof(link), "%.*s/driver", PATH_MAX - 16, path);
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	const char *driver = strrchr(target, '/') != NULL ? strrchr(target, '/') + 1 : NULL;
	if (driver != NULL &&
		(strcmp(driver, "vfio-pci") == 0 || strcmp(driver, "uio_pci_generic") == 0 ||
			strcmp(driver, "igb_uio") == 0))
		return 0;
	return msh_answer_set(answer, MSH_FAILED,
		"PCI device %s is bound to %s: bind it to vfio-pci first", address,
		driver != NULL ? driver : "no driver");
}

/* DPDK's port of this name, after making the device if it is not there. */
static int
probe(const struct msh_control *control, const char *devargs, uint16_t *ethdev,
	struct msh_answer *answer)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	struct rte_pci_addr pci;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(devargs, ","), devargs);
	if (rte_eth_dev_get_port_by_name(name, ethdev) == 0)
		return 0; /* by --vdev or -a of the command line */
	if (rte_pci_addr_parse(name, &pci) == 0) {
		int rc = check_pci(name, &pci, answer);
		if (rc != 0)
			return rc;
		rte_pci_device_name(&pci, name, sizeof(name));
	}
	int rc = msh_memif_check(control, devargs, answer);
	if (rc != 0)
		return rc;
	rc = rte_dev_probe(devargs);
	if (rc != 0)
		return msh_answer_set(answer, MSH_FAILED,
			"DPDK cannot make device '%s': %s; its log says more", devargs,
			rc == -EFAULT ? "no driver of that name" : rte_strerror(-rc));
	if (rte_eth_dev_get_port_by_name(name, ethdev) != 0)
		return msh_answer_set(
			answer, MSH_FAILED, "device '%s' is no Ethernet device", devargs);
	return 0;
}

static int
set_up_queues(struct msh_port *port, unsigned int workers, const struct rte_eth_dev_info *info)
{
	struct rte_eth_conf conf = {0};
	uint16_t tx_queues = port->own_tx_queues ? (uint16_t)workers : 1;
	uint16_t rx_descriptors = RX_DESCRIPTORS, tx_descriptors = TX_DESCRIPTORS;
	int socket = rte_eth_dev_socket_id(port->ethdev);
	conf.txmode.offloads = info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	conf.rxmode.offloads = info->rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
	int rc = rte_eth_dev_configure(port->ethdev, 1, tx_queues, &conf);
	if (rc == 0)
		rc = rte_eth_dev_adjust_nb_rx_tx_desc(
			port->ethdev, &rx_descriptors, &tx_descriptors);
	if (rc == 0)
		rc = rte_eth_rx_queue_setup(
			port->ethdev, 0, rx_descriptors, (unsigned int)socket, NULL, port->pool);
	for (uint16_t q = 0; rc == 0 && q < tx_queues; q++)
		rc = rte_eth_tx_queue_setup(
			port->ethdev, q, tx_descriptors, (unsigned int)socket, NULL);
	return rc;
}

static int
prepare(struct msh_port *port, unsigned int workers, const struct rte_eth_dev_info *info)
{
	/* Of a memif's queues only as many are there as the peer has. */
	port->own_tx_queues =
		info->max_tx_queues >= workers && strcmp(info->driver_name, "net_memif") != 0;
	int rc = msh_xdp_prepare(port, info);
	if (rc != 0)
		return rc;
	rc = set_up_queues(port, workers, info);
	if (rc != 0 && port->own_tx_queues && workers > 1) {
		port->own_tx_queues = false; /* some drivers want as many rx as tx queues */
		rc = set_up_queues(port, workers, info);
	}
	msh_xdp_started(port);
	return rc;
}

static int
start(struct msh_port *port, unsigned int workers, const char *devargs, struct msh_answer *answer)
{
	struct rte_eth_dev_info info;
	uint16_t mtu = RTE_ETHER_MTU;
	int rc = rte_eth_dev_info_get(port->ethdev, &info);
	if (rc == 0)
		rc = prepare(port, workers, &info);
	if (rc == 0)
		rc = rte_eth_dev_start(port->ethdev);
	if (rc != 0)
		return msh_answer_set(answer, MSH_FAILED, "device '%s' does not start: %s", devargs,
			rte_strerror(-rc));
	rc = rte_eth_promiscuous_enable(port->ethdev);
	if (rc != 0 && rc != -ENOTSUP)
		MSH_LOG(WARNING, "port %s: not promiscuous (%s): it receives its own MAC only",
			port->name, rte_strerror(-rc));
	rte_eth_dev_get_mtu(port->ethdev, &mtu);
	/* Devices without a wire (pcap, ring, null) say that they take any length, but net_pcap
	 * would cut what is longer than this. */
	port->max_frame = info.max_rx_pktlen == UINT32_MAX
				  ? RTE_ETHER_MAX_JUMBO_FRAME_LEN
				  : mtu + RTE_ETHER_HDR_LEN + 2u * RTE_VLAN_HLEN;
	msh_link_started(port, &info);
	return 0;
}

static bool
is_taken(const struct msh_control *control, uint16_t ethdev)
{
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++)
		if (control->port[i].port != NULL &&
			control->port[i].port->ops == &msh_port_dev_ops &&
			control->port[i].port->ethdev == ethdev)
			return true;
	return false;
}

static void
remove_device(const struct msh_port *port)
{
	struct rte_eth_dev_info info;
	if (rte_eth_dev_info_get(port->ethdev, &info) != 0)
		return;
	msh_xdp_stop(port);
	rte_eth_dev_stop(port->ethdev);
	rte_eth_dev_close(port->ethdev);
	if (info.device != NULL)
		rte_dev_remove(info.device);
	msh_xdp_closed(port);
}

static int
dev_open(struct msh_control *control, struct msh_port *port, int argc, char *const *argv,
	struct msh_answer *answer)
{
	uint16_t ethdev;
	if (argc != 1)
		return msh_answer_set(
			answer, MSH_BAD, "port add NAME dev takes DEVARGS_OR_PCI [learn on|off]");
	int rc = probe(control, argv[0], &ethdev, answer);
	if (rc != 0)
		return rc;
	if (is_taken(control, ethdev))
		return msh_answer_set(answer, MSH_EXISTS, "device '%s' is a port already", argv[0]);
	port->ops = &msh_port_dev_ops;
	port->ethdev = ethdev;
	rc = start(port, control->datapath.worker_count, argv[0], answer);
	if (rc != 0)
		remove_device(port);
	else
		msh_port_dev_provider.check_link(port);
	return rc;
}

static void
dev_close(struct msh_port *port)
{
	remove_device(port);
}

static void
dev_check_link(struct msh_port *port)
{
	struct rte_eth_link link = {0};
	int rc = rte_eth_link_get_nowait(port->ethdev, &link);
	/* A driver that cannot tell (net_ring says -ENOTSUP) is taken to be up. */
	msh_port_set_up(port, msh_link_is_up(port, rc != 0 || link.link_status == RTE_ETH_LINK_UP));
}

static void
dev_show(const struct msh_port *port, json_t *row)
{
	char name[RTE_ETH_NAME_MAX_LEN] = "";
	rte_eth_dev_get_name_by_port(port->ethdev, name);
	msh_put(row, "interrupts", 0);
	json_object_set_new(row, "where", json_string(name));
}

const struct msh_port_provider msh_port_dev_provider = {
	.kind = "dev",
	.open = dev_open,
	.close = dev_close,
	.show = dev_show,
	.check_link = dev_check_link,
};
