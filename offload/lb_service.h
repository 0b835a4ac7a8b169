/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* An instance of the lb stage: the services of one VM. */

#include <string.h>

#include "cowset.h"
#include "stage.h"
#include "tally.h"

/* What holds the tallies of a service: shared by all its versions. */
struct lb_tallies {
	uint32_t refs; /* control lcore */
	uint32_t sent, unresolved, ttl;
};

/* Never changes once published: a backend that moves makes a new service with the same counters. */
struct lb_service {
	struct msh_object object; /* key: MAC and type, IP and source */
	struct msh_redirect redirect;
	bool known; /* redirect.backend_mac is */
	uint8_t type;
	rte_be32_t source; /* 0 for type 0 */
	struct lb_tallies *tallies;
} __rte_cache_aligned;

struct lb {
	struct msh_hash_key secret;
	uint64_t next_order;      /* of the next service */
	struct msh_set *services; /* never empty */
};

#define LB_KEY_WORDS 2
struct lb_key {
	uint64_t word[MSH_KEY_WORDS];
};

static inline struct lb_key
lb_key(const struct rte_ether_addr *mac, rte_be32_t ip, uint8_t type, rte_be32_t source)
{
	struct lb_key key = {.word = {0}};

	memcpy(&key.word[0], mac, sizeof(*mac));
	memcpy((uint8_t *)&key.word[0] + sizeof(*mac), &type, sizeof(type));
	key.word[1] = ip | (uint64_t)source << 32;
	return key;
}

static inline struct lb_service *
lb_find(const struct lb *lb, const struct lb_key *key)
{
	return (struct lb_service *)msh_set_find(lb->services,
		msh_object_hash(&lb->secret, key->word, LB_KEY_WORDS), key->word, LB_KEY_WORDS);
}

/* A service as a command describes it. */
struct lb_spec {
	struct rte_ether_addr mac;
	rte_be32_t ip, source, backend;
	uint8_t type;
};

/* A new instance: old (NULL: none) with this service. *rc is 0, or -EEXIST or -ENOMEM and the
 * result NULL. */
const struct lb *lb_with_service(const struct lb *old, const struct lb_spec *spec, int *rc);

/* All services in the order in which they were added; the caller frees the array. NULL, and no
 * service: out of memory. */
struct lb_service **lb_services(const struct lb *lb, size_t *count);

/* See struct msh_stage. */
int lb_cancel(const void *instance, const struct rte_ether_addr *mac, const void **result);
void lb_destroy(const void *instance);
void lb_classify(
	const void *instance, enum msh_direction direction, struct msh_burst *burst, uint64_t mask);
int lb_resolved(
	const void *instance, rte_be32_t ip, const struct rte_ether_addr *mac, const void **result);
