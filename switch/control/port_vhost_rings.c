/* SPDX-License-Identifier: BSD-3-Clause */

/* Taking a guest's rings over from librte_vhost, and giving them back. All in vhost's thread. */

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <rte_vhost.h>
#include <stdlib.h>

#include "port_vhost.h"
#include "retire.h"
#include "vring.h"

#define BIT(n) (UINT64_C(1) << (n))
/* Rings and services that vring.h does not know: packed rings, an IOMMU, the log of a migration. */
#define NOT_OURS (BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IOMMU_PLATFORM) | BIT(VHOST_F_LOG_ALL))
#define TO_GUEST(pair) ((uint16_t)(2 * (pair)))
#define TO_SWITCH(pair) ((uint16_t)(2 * (pair) + 1))

static bool
read_memory(struct msh_guest_memory *memory, int vid)
{
	struct rte_vhost_memory *mem = NULL;
	if (rte_vhost_get_mem_table(vid, &mem) != 0)
		return false;
	bool fits = mem->nregions <= MSH_GUEST_REGIONS;
	memory->count = fits ? mem->nregions : 0;
	for (unsigned int i = 0; i < memory->count; i++)
		memory->region[i] = (struct msh_guest_region){
			.guest = mem->regions[i].guest_phys_addr,
			.size = mem->regions[i].size,
			.host = (uint8_t *)(uintptr_t)mem->regions[i].host_user_addr,
		};
	free(mem);
	return fits;
}

static bool
read_ring(struct msh_vring *ring, int vid, uint16_t index, uint64_t features)
{
	struct rte_vhost_vring vring = {0};
	uint16_t avail, used;
	if (rte_vhost_get_vhost_vring(vid, index, &vring) != 0 ||
		rte_vhost_get_vring_base(vid, index, &avail, &used) != 0 || vring.desc == NULL ||
		vring.avail == NULL || vring.used == NULL || vring.size == 0 ||
		(vring.size & (vring.size - 1)) != 0)
		return false;
	*ring = (struct msh_vring){
		.desc = vring.desc,
		.avail = vring.avail,
		.used = vring.used,
		.size = vring.size,
		.next_avail = avail,
		.offered = avail,
		.next_used = used,
		.told = used,
		.event_index = features & BIT(VIRTIO_RING_F_EVENT_IDX),
		.call = vring.callfd,
	};
	return true;
}

static struct msh_vrings *
read_pair(int vid, uint16_t pair, uint64_t features)
{
	struct msh_vrings *rings =
		aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*rings), RTE_CACHE_LINE_SIZE));
	if (rings == NULL)
		return NULL;
	*rings = (struct msh_vrings){0};
	if (!read_memory(&rings->memory, vid) ||
		!read_ring(&rings->to_guest, vid, TO_GUEST(pair), features) ||
		!read_ring(&rings->to_switch, vid, TO_SWITCH(pair), features)) {
		free(rings);
		return NULL;
	}
	rings->unfinished = features & BIT(VIRTIO_NET_F_CSUM);
	rings->mergeable = features & BIT(VIRTIO_NET_F_MRG_RXBUF);
	rings->header = rings->mergeable || (features & BIT(VIRTIO_F_VERSION_1))
				? sizeof(struct virtio_net_hdr_v1)
				: sizeof(struct virtio_net_hdr);
	return rings;
}

void
msh_vrings_take(struct msh_port *port, int vid, uint16_t pairs)
{
	uint64_t features = 0;
	if (rte_vhost_get_negotiated_features(vid, &features) != 0 || (features & NOT_OURS))
		return;
	for (uint16_t i = 0; i < pairs; i++)
		__atomic_store_n(
			&port->queue[i].rings, read_pair(vid, i, features), __ATOMIC_RELEASE);
}

void
msh_vrings_give_back(struct msh_port *port, int vid)
{
	struct msh_vrings *rings[MSH_QUEUES_MAX];
	for (uint16_t i = 0; i < MSH_QUEUES_MAX; i++)
		rings[i] = __atomic_exchange_n(&port->queue[i].rings, NULL, __ATOMIC_ACQ_REL);
	msh_rcu_wait();
	for (uint16_t i = 0; i < MSH_QUEUES_MAX; i++) {
		if (rings[i] == NULL)
			continue;
		rte_vhost_set_vring_base(vid, TO_GUEST(i), rings[i]->to_guest.next_avail,
			rings[i]->to_guest.next_used);
		rte_vhost_set_vring_base(vid, TO_SWITCH(i), rings[i]->to_switch.next_avail,
			rings[i]->to_switch.next_used);
		free(rings[i]);
	}
}
