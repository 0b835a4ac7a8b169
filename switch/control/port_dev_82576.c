/* SPDX-License-Identifier: BSD-3-Clause */

/* What DPDK's driver leaves to be said to an Intel 82576 (datasheet, 7.10.3 and 8.14): as it sets
 * up VMDq, the NIC sorts by VLAN tag, takes the tags off, and gives every pool a copy of each group
 * frame. DPDK has no call for that; the registers are reached by vfio, whose group DPDK has open.
 */

#include <fcntl.h>
#include <linux/vfio.h>
#include <rte_ethdev.h>
#include <rte_vfio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "port_dev.h"

#define POOLS MSH_DEV_POOLS_MAX
#define RCTL 0x100
#define RCTL_VFE (1u << 18) /* filter by VLAN */
#define VFTE 0xc90          /* pools that may send */
#define MTA 0x5200          /* hash table of multicast MACs */
#define MTA_WORDS 128
#define VT_CTL 0x581c
#define VT_CTL_DEFAULT_POOL (7u << 7)
#define VT_CTL_IGNORE_MAC (1u << 28)
#define VT_CTL_NO_DEFAULT (1u << 29)
#define VT_CTL_REPLICATE (1u << 30)
#define VMOLR(pool) (0x5ad0 + 4 * (pool))
#define VMOLR_LENGTH 0x3fffu
#define VMOLR_LONG (1u << 16)
#define VMOLR_UNTAGGED (1u << 24)
#define VMOLR_MULTICAST (1u << 25) /* those that MTA has */
#define VMOLR_UNICAST (1u << 26)   /* the same of its table for unicast */
#define VMOLR_BROADCAST (1u << 27)
#define VMOLR_ALL_MULTICAST (1u << 28)
#define VMOLR_STRIP_VLAN (1u << 30)

struct registers {
	int fd;
	uint64_t start; /* of BAR 0, in fd */
	bool failed;
};

static int
open_registers(struct registers *r, const char *address)
{
	struct vfio_region_info bar = {.argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX};
	int group;
	if (rte_vfio_get_group_num("/sys/bus/pci/devices", address, &group) != 1)
		return -ENODEV;
	r->fd = ioctl(rte_vfio_get_group_fd(group), VFIO_GROUP_GET_DEVICE_FD, address);
	if (r->fd < 0)
		return -errno;
	if (ioctl(r->fd, VFIO_DEVICE_GET_REGION_INFO, &bar) != 0) {
		int reason = errno;
		close(r->fd);
		return -reason;
	}
	r->start = bar.offset;
	r->failed = false;
	return 0;
}

static void
change(struct registers *r, uint32_t at, uint32_t clear, uint32_t set)
{
	uint32_t value = 0;
	off_t where = (off_t)(r->start + at);
	r->failed |= pread(r->fd, &value, sizeof(value), where) != sizeof(value);
	value = (value & ~clear) | set;
	r->failed |= pwrite(r->fd, &value, sizeof(value), where) != sizeof(value);
}

bool
msh_82576_is(const struct rte_eth_dev_info *info)
{
	/* The driver's other chips have fewer queues in VMDq. */
	return info->driver_name != NULL && strcmp(info->driver_name, "net_e1000_igb") == 0 &&
	       info->max_vmdq_pools == POOLS && info->vmdq_queue_num == 2 * POOLS;
}

int
msh_82576_sort_by_mac(const char *address, uint32_t frame_max)
{
	struct registers r = {.fd = -1};
	int rc = open_registers(&r, address);
	if (rc != 0)
		return rc;
	change(&r, RCTL, RCTL_VFE, 0);
	change(&r, VFTE, 0, (1u << POOLS) - 1);
	for (uint32_t i = 0; i < MTA_WORDS; i++)
		change(&r, MTA + 4 * i, 0, UINT32_MAX);
	for (uint32_t pool = 0; pool < POOLS; pool++)
		change(&r, VMOLR(pool),
			VMOLR_LENGTH | VMOLR_MULTICAST | VMOLR_UNICAST | VMOLR_BROADCAST |
				VMOLR_ALL_MULTICAST | VMOLR_STRIP_VLAN,
			(frame_max + RTE_ETHER_CRC_LEN) | VMOLR_LONG | VMOLR_UNTAGGED |
				(pool == 0 ? VMOLR_MULTICAST | VMOLR_BROADCAST : 0));
	change(&r, VT_CTL,
		VT_CTL_IGNORE_MAC | VT_CTL_DEFAULT_POOL | VT_CTL_NO_DEFAULT | VT_CTL_REPLICATE, 0);
	close(r.fd);
	return r.failed ? -EIO : 0;
}
