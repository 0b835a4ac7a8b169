/* SPDX-License-Identifier: BSD-3-Clause */
#include "lb_service.h"

/* The service that a packet belongs to: what names its source goes before what takes all. */
static inline struct lb_service *
service_of(const struct lb *lb, const struct msh_packet *p)
{
	const uint8_t *header = rte_pktmbuf_mtod_offset(p->mbuf, const uint8_t *, p->l3);
	const struct rte_ether_addr *mac = &msh_packet_ether(p)->dst_addr;
	rte_be32_t source, destination;

	memcpy(&source, header + 12, sizeof(source));
	memcpy(&destination, header + 16, sizeof(destination));
	struct lb_key narrow = lb_key(mac, destination, 1, source);
	struct lb_service *service = lb_find(lb, &narrow);
	if (service != NULL)
		return service;
	struct lb_key wide = lb_key(mac, destination, 0, 0);
	return lb_find(lb, &wide);
}

void
lb_classify(
	const void *instance, enum msh_direction direction, struct msh_burst *burst, uint64_t mask)
{
	MSH_FOREACH_BIT (i, mask) {
		const struct msh_packet *p = &burst->packet[i];
		if (p->ip_version != 4)
			continue;
		const struct lb_service *service = service_of(instance, p);
		if (service == NULL)
			continue;
		if (service->known) {
			burst->verdict[i].action = MSH_REDIRECT;
			burst->verdict[i].redirect = &service->redirect;
		} else {
			msh_verdict_tally(&burst->verdict[i], service->tallies->unresolved);
		}
	}
}
