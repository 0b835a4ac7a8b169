/* SPDX-License-Identifier: BSD-3-Clause */

/* Links of interfaces of this machine's kernel. The drivers of AF_PACKET and AF_XDP say "up", even
 * of an interface that is gone; that of taps says "down" of one that was moved to another network
 * namespace. */

#include <dirent.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "port_dev.h"

/* By DPDK's port id. */
static struct interface {
	unsigned int index; /* 0: no interface of the kernel's */
	bool is_tap;
	int tap; /* the driver's file descriptor, or -1 */
} interfaces[RTE_MAX_ETHPORTS];

int
msh_find_fd(bool (*is_it)(int fd, const void *context), const void *context)
{
	int found = -1;
	DIR *directory = opendir("/proc/self/fd");
	if (directory == NULL)
		return -1;
	for (const struct dirent *entry; found < 0 && (entry = readdir(directory)) != NULL;) {
		int fd = atoi(entry->d_name);
		if (entry->d_name[0] != '.' && fd != dirfd(directory) && is_it(fd, context))
			found = fd;
	}
	closedir(directory);
	return found;
}

/* One that makes the tap of this name. */
static bool
makes_tap(int fd, const void *name)
{
	char path[32], target[32];
	struct ifreq request = {0};
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	return strcmp(target, "/dev/net/tun") == 0 && ioctl(fd, TUNGETIFF, &request) == 0 &&
	       strcmp(request.ifr_name, name) == 0;
}

/* Ask the kernel about an interface by its index. False: it is not in this namespace. */
static bool
ask(unsigned int index, unsigned long what, struct ifreq *answer)
{
	if (if_indextoname(index, answer->ifr_name) == NULL)
		return false;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool told = fd >= 0 && ioctl(fd, what, answer) == 0;
	if (fd >= 0)
		close(fd);
	return told;
}

/* The driver's socket hears every interface until it is bound to its own: not what a port of this
 * one should receive. */
static void
forget_heard(uint16_t ethdev)
{
	struct rte_mbuf *packets[MSH_BURST_MAX];
	for (unsigned int i = 0; i < 4096; i++) {
		uint16_t n = rte_eth_rx_burst(ethdev, 0, packets, MSH_BURST_MAX);
		rte_pktmbuf_free_bulk(packets, n);
		if (n == 0)
			break;
	}
}

void
msh_link_started(struct msh_port *port, const struct rte_eth_dev_info *info)
{
	struct interface *i = &interfaces[port->ethdev];
	struct ifreq answer = {0};
	bool is_tap = strcmp(info->driver_name, "net_tap") == 0;
	bool is_socket = strcmp(info->driver_name, "net_af_packet") == 0 ||
			 strcmp(info->driver_name, "net_af_xdp") == 0;
	*i = (struct interface){.tap = -1};
	if (!is_tap && !is_socket)
		return;
	if (strcmp(info->driver_name, "net_af_packet") == 0)
		forget_heard(port->ethdev);
	i->index = info->if_index;
	i->is_tap = is_tap;
	if (!ask(i->index, SIOCGIFMTU, &answer))
		return;
	/* What is longer these two would take, and lose. */
	uint32_t longest = (uint32_t)answer.ifr_mtu + RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN;
	if (is_socket && longest < port->max_frame)
		port->max_frame = longest;
	if (is_tap)
		i->tap = msh_find_fd(makes_tap, answer.ifr_name);
}

bool
msh_link_is_up(const struct msh_port *port, bool up)
{
	const struct interface *i = &interfaces[port->ethdev];
	struct ifreq answer = {0};
	if (i->index == 0)
		return up;
	if (ask(i->index, SIOCGIFFLAGS, &answer))
		return (answer.ifr_flags & IFF_UP) && (answer.ifr_flags & IFF_RUNNING);
	/* Gone, or a tap that is another namespace's now. */
	return i->is_tap && i->tap >= 0 && ioctl(i->tap, TUNGETIFF, &answer) == 0;
}
