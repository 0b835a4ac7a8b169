/* SPDX-License-Identifier: BSD-3-Clause */

/* The MACs of backends: asked for by ARP in the name of the VM that redirects to them, learned from
 * all ARP that passes. Until a MAC is known, the packets go to the VM. */

#include <rte_arp.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "log.h"

/* An ARP request (RFC 826) as the VM itself would send it. */
static struct rte_mbuf *
make_request(struct rte_mempool *pool, rte_be32_t wanted, rte_be32_t asker,
	const struct rte_ether_addr *mac)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *frame =
		m != NULL ? (uint8_t *)rte_pktmbuf_append(m, RTE_ETHER_MIN_LEN - RTE_ETHER_CRC_LEN)
			  : NULL;
	if (frame == NULL) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	memset(frame, 0, RTE_ETHER_MIN_LEN - RTE_ETHER_CRC_LEN);
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)frame;
	struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(ether + 1);
	memset(&ether->dst_addr, 0xff, sizeof(ether->dst_addr));
	ether->src_addr = *mac;
	ether->ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP);
	arp->arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER);
	arp->arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	arp->arp_hlen = sizeof(*mac);
	arp->arp_plen = sizeof(wanted);
	arp->arp_opcode = RTE_BE16(RTE_ARP_OP_REQUEST);
	arp->arp_data.arp_sha = *mac;
	arp->arp_data.arp_sip = asker;
	arp->arp_data.arp_tip = wanted;
	return m;
}

struct asking {
	struct msh_control *control;
	bool refresh;
};

static void
ask_one(void *context, rte_be32_t wanted, rte_be32_t asker, const struct rte_ether_addr *mac,
	bool known)
{
	const struct asking *a = context;
	if (known && !a->refresh)
		return;
	struct rte_mbuf *m = make_request(a->control->datapath.worker[0].pool, wanted, asker, mac);
	if (m != NULL && rte_ring_sp_enqueue(a->control->datapath.worker[0].inject, m) != 0)
		rte_pktmbuf_free(m); /* asked again in a second */
}

void
msh_neighbors_ask(struct msh_control *control, bool refresh)
{
	struct asking a = {.control = control, .refresh = refresh};
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		for (unsigned int s = 0; control->vm[i].index != 0 && s < msh_slots(); s++)
			if (control->vm[i].instance[s] != NULL &&
				msh_slot_stage(s)->neighbors != NULL)
				msh_slot_stage(s)->neighbors(
					control->vm[i].instance[s], ask_one, &a);
}

static void
tell(struct msh_vm *vm, const struct msh_neighbor_seen *seen)
{
	char text[128], mac[MSH_MAC_TEXT], address[MSH_IP_TEXT];
	struct msh_ip ip = {.version = 4, .v4.s_addr = seen->ip};
	snprintf(text, sizeof(text), "backend %s is at %s", msh_ip_text(&ip, address),
		msh_mac_text(&seen->mac, mac));
	MSH_LOG(INFO, "vm %s: %s", vm->name, text);
	if (vm->region != NULL)
		msh_region_event(vm->region, text);
}

/* The VLAN that a VM's untagged frames are of; 0: none. */
static uint16_t
vlan_of(const struct msh_control *control, const struct msh_vm *vm)
{
	return control->port[vm->address[0].port].rules.vlan;
}

static void
resolve(struct msh_control *control, const struct msh_neighbor_seen *seen)
{
	if (!rte_is_unicast_ether_addr(&seen->mac) || rte_is_zero_ether_addr(&seen->mac))
		return;
	/* A VM speaks for its own MACs only, and nobody else for them. */
	if (msh_vm_of_mac(control, &seen->mac) != msh_vm_of_port(control, seen->port))
		return;
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++) {
		struct msh_vm *vm = &control->vm[i];
		/* A claim in another VLAN is none to this VM. */
		if (vm->index == 0 || vlan_of(control, vm) != seen->vlan)
			continue;
		for (unsigned int s = 0; s < msh_slots(); s++) {
			const void *old = vm->instance[s];
			const void *new = old;
			if (old == NULL || msh_slot_stage(s)->resolved == NULL ||
				msh_slot_stage(s)->resolved(old, seen->ip, &seen->mac, &new) != 0 ||
				new == old)
				continue;
			if (msh_stage_install(control, vm, s, new) != 0)
				msh_slot_stage(s)->destroy(
					new); /* seen again at the next refresh */
			else
				tell(vm, seen);
		}
	}
}

void
msh_neighbors_poll(struct msh_control *control)
{
	struct msh_neighbor_seen seen;
	for (unsigned int w = 0; w < control->datapath.worker_count; w++)
		for (unsigned int n = 0;
			n < 64 && rte_ring_sc_dequeue_elem(control->datapath.worker[w].neighbors,
					  &seen, sizeof(seen)) == 0;
			n++)
			resolve(control, &seen);
}
