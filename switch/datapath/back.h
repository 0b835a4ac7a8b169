/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Flows that a redirect sent to a backend, kept so that the answers can be turned back (and only
 * those). One table a worker, which alone writes it; every worker reads all of them, by a sequence
 * number an entry. */

#include <stdbool.h>
#include <stdint.h>

#include "hash.h"
#include "packet.h"

#define MSH_BACK_BUCKETS 8192 /* of 4 entries */

/* Seconds since the last packet after which an entry may be reused. */
#define MSH_BACK_IDLE_TCP 7440        /* RFC 5382 REQ-5: at least 2 h 4 min once established */
#define MSH_BACK_IDLE_TCP_CLOSING 240 /* RFC 5382 REQ-5: transitory, at least 4 min */
#define MSH_BACK_IDLE_OTHER 300       /* RFC 4787 REQ-5, recommended */
#define MSH_BACK_IDLE_NEW 30          /* nothing came back yet */

/* Direction: from the backend to the client. */
struct msh_back_key {
	rte_be32_t backend, client;
	uint16_t backend_port, client_port; /* host order; ICMP: the identifier twice; neither: 0 */
	uint16_t proto; /* IP protocol, and MSH_BACK_FRAGMENT: ports hold the datagram's id */
	uint16_t zero;
};
#define MSH_BACK_FRAGMENT 0x100

/* What a packet says of its connection. */
#define MSH_BACK_OPENING 1   /* TCP SYN: forget what was known of this key */
#define MSH_BACK_CLOSING 2   /* TCP FIN or RST */
#define MSH_BACK_ACCEPTING 4 /* TCP SYN and ACK: after a closing, it answers another connection */

struct msh_back {
	uint32_t epoch; /* msh_epoch_of vip_mac when it began */
	uint16_t vm;
	uint16_t zero;
	rte_be32_t vip;
	struct rte_ether_addr vip_mac, client_mac;
};

struct msh_config;
struct msh_back_table;

/* node: of NUMA, or SOCKET_ID_ANY. NULL when memory is short. */
struct msh_back_table *msh_back_create(const struct msh_hash_key *secret, int node);
void msh_back_free(struct msh_back_table *table);

/* Any worker: copy out the flow. False when there is none, or it is past its time or of an earlier
 * epoch. Notes that an answer was seen. */
bool msh_back_find(struct msh_back_table *table, const struct msh_back_key *key, uint32_t now,
	unsigned int hints, const struct msh_config *config, struct msh_back *flow);

/* The table's own worker: add the flow or refresh it. False when its bucket is full of live flows.
 * config tells which entries are dead. */
bool msh_back_keep(struct msh_back_table *table, const struct msh_back_key *key,
	const struct msh_back *flow, uint32_t now, unsigned int hints,
	const struct msh_config *config);

/* Entries in use and not past their time. Control lcore. */
uint32_t msh_back_count(
	const struct msh_back_table *table, uint32_t now, const struct msh_config *config);
