/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Forwarding database: which port a MAC is behind (IEEE 802.1D 7.9), learned per VLAN.
 * Workers look up and learn without locks; the control lcore pins, ages and flushes. */

#include <rte_ether.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MSH_FDB_BUCKETS 8192 /* of 4 entries, one cache line each */
#define MSH_FDB_AGE \
	300 /* seconds after which a silent MAC is forgotten, as IEEE 802.1D recommends */

struct msh_fdb;

struct msh_fdb_entry {
	struct rte_ether_addr mac;
	uint16_t vlan;
	uint16_t port;
	bool pinned;  /* a VM's own: never learned elsewhere, never aged */
	uint32_t age; /* seconds since a frame came from it */
};

/* A MAC in a VLAN as one word: the table's key. Never 0 for a valid source. */
static inline uint64_t
msh_fdb_key(const struct rte_ether_addr *mac, uint16_t vlan)
{
	uint64_t key = 0;
	memcpy(&key, mac, sizeof(*mac));
	return key | (uint64_t)(vlan & 0xfff) << 48;
}

/* NULL when memory is short. */
struct msh_fdb *msh_fdb_create(void);
void msh_fdb_free(struct msh_fdb *fdb);

/* Index of the port, or 0 when unknown. Any thread. */
uint16_t msh_fdb_lookup(const struct msh_fdb *fdb, uint64_t key);

/* A frame from this MAC came by this port at `now` (seconds). Not learned when the port has `limit`
 * already (0: no limit). False when the MAC is pinned to another port. Any worker. */
bool msh_fdb_learn(struct msh_fdb *fdb, uint64_t key, uint16_t port, uint32_t limit, uint32_t now);
/* MACs that are learned on a port. Any thread. */
uint32_t msh_fdb_count(const struct msh_fdb *fdb, uint16_t port);

/* Control lcore: 0, -EEXIST when pinned already, -ENOSPC. */
int msh_fdb_pin(struct msh_fdb *fdb, uint64_t key, uint16_t port);
void msh_fdb_unpin(struct msh_fdb *fdb, uint64_t key);
/* Forget what was last heard before now - MSH_FDB_AGE, in the next `buckets` buckets of a round. */
void msh_fdb_age(struct msh_fdb *fdb, uint32_t now, uint32_t buckets);
/* Forget all that was learned on a port. */
void msh_fdb_flush(struct msh_fdb *fdb, uint16_t port);
/* Next entry at or after *cursor (start at 0): false at the end. */
bool msh_fdb_next(
	const struct msh_fdb *fdb, uint32_t *cursor, uint32_t now, struct msh_fdb_entry *entry);
