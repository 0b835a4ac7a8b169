/* SPDX-License-Identifier: BSD-3-Clause */

/* A frame of a guest through all that looks into it before the stages: parser, VLAN rules, claims
 * and their answers. Input: two bytes of options, then the frame. */

#include <rte_ether.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "rules.h"
#include "spread.h"

#define HEADROOM 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
look(struct rte_mbuf *m, uint8_t options)
{
	static const struct rte_ether_addr mac = {{2, 0, 0, 0, 0, 1}};
	static struct msh_guard guard = {.mac_count = 1, .ip_count = 1};
	static union {
		struct msh_claims claims;
		uint8_t room[sizeof(struct msh_claims) + 2 * sizeof(struct msh_claim)];
	} known;
	struct msh_packet p;
	struct msh_claimed claimed;
	guard.mac[0] = mac;
	guard.ip[0].version = 4;
	known.claims.count = 2;
	known.claims.claim[0] =
		(struct msh_claim){.ip = {.version = 4, .v4 = {1}}, .mac = mac, .vm = 1};
	known.claims.claim[1] =
		(struct msh_claim){.ip = {.version = 6, .v6 = {{{0xfd}}}}, .mac = mac, .vm = 1};
	msh_packet_parse(&p, m);
	msh_spread_hash(m);
	bool permitted =
		msh_guard_permits(options & 1 ? &guard : NULL, &known.claims, options & 2, &p);
	__asm__ volatile("" : : "r"(permitted));
	if (!msh_claimed_read(&p, &claimed) || !claimed.asks)
		return;
	const struct msh_claim *claim = msh_claim_find(&known.claims, &claimed.wanted);
	if (claim == NULL || !msh_claim_answer(claim, &p))
		return;
	/* An answer is one itself, and claims what was asked for. */
	msh_packet_parse(&p, m);
	if (!msh_claimed_read(&p, &claimed) || claimed.asks || !claimed.claims ||
		msh_ip_compare(&claimed.ip, &claim->ip) != 0 ||
		!rte_is_same_ether_addr(&claimed.mac, &mac))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 + RTE_ETHER_HDR_LEN || size > 1500)
		return 0;
	uint16_t length = (uint16_t)(size - 2);
	uint8_t *room = malloc(HEADROOM + length); /* the sanitizer watches its end */
	struct rte_mbuf m = {.buf_addr = room,
		.data_off = HEADROOM,
		.buf_len = (uint16_t)(HEADROOM + length),
		.data_len = length,
		.pkt_len = length,
		.nb_segs = 1};
	struct msh_rules in = {.mode = data[0] & 3, .vlan = data[1]};
	struct msh_rules out = {.mode = data[0] >> 2 & 3, .vlan = data[1]};
	memcpy(room + HEADROOM, data + 2, length);
	memset(in.carries, 0xaa, sizeof(in.carries));
	memset(out.carries, 0x55, sizeof(out.carries));
	if (msh_rules_enter(&in, &m)) {
		look(&m, data[0] >> 4);
		if (msh_rules_leave(&out, &m))
			look(&m, data[0] >> 4);
	}
	free(room);
	return 0;
}
