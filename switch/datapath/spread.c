/* SPDX-License-Identifier: BSD-3-Clause */
#include "spread.h"

#include "hash.h"
#include "packet.h"

/* Of two addresses, whichever comes first. */
static uint64_t
mix(const uint8_t *a, const uint8_t *b, size_t size)
{
	uint64_t x[2] = {0, 0}, y[2] = {0, 0};
	memcpy(x, a, size);
	memcpy(y, b, size);
	return (x[0] ^ y[0]) + 3 * (x[1] ^ y[1]);
}

uint32_t
msh_spread_hash(const struct rte_mbuf *m)
{
	struct msh_packet p;
	uint64_t value;
	if (unlikely(m->data_len < RTE_ETHER_HDR_LEN))
		return 0;
	msh_packet_parse(&p, (struct rte_mbuf *)(uintptr_t)m);
	const uint8_t *at = rte_pktmbuf_mtod(m, const uint8_t *);
	if (p.ip_version == 4)
		value = mix(at + p.l3 + 12, at + p.l3 + 16, 4);
	else if (p.ip_version == 6)
		value = mix(at + p.l3 + 8, at + p.l3 + 24, 16);
	else
		value = mix(at, at + RTE_ETHER_ADDR_LEN, RTE_ETHER_ADDR_LEN);
	/* Fragments have no ports but for the first: all go by their addresses. */
	if (p.has_ports && !p.fragment)
		value += (uint64_t)(p.sport ^ p.dport) << 32;
	return (uint32_t)msh_fold64(value ^ 0x2545f4914f6cdd1dull, 0x9e3779b97f4a7c15ull);
}
