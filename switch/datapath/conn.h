/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Connections of VMs that have rules about them: what each packet is to its connection, as Linux'
 * conntrack has it (track.h). One table for all workers; both directions of a connection share an
 * entry of a cache line, which two workers may use at once.
 *
 * A connection belongs to one VM. A VM has at most a quarter of the table; when it or its part of
 * the table is full, its own connections that were never answered make room, and never another's.
 */

#include "burst.h"
#include "track.h"

struct msh_conn_table;

/* Whose connections. */
struct msh_conn_scope {
	uint16_t vm;
	uint32_t epoch; /* those of an earlier one are forgotten */
};

/* Room for so many, rounded up to a power of two. NULL when memory is short. */
struct msh_conn_table *msh_conn_create(uint32_t connections);
void msh_conn_free(struct msh_conn_table *table);

/* Put into burst->state[] what the packets of `mask`, parsed, are to their connections: enum
 * msh_track_verdict. Connections that are there go on with them. Any worker. now: seconds. */
void msh_conn_judge(struct msh_conn_table *table, const struct msh_conn_scope *scope,
	struct msh_burst *burst, uint64_t mask, uint32_t now);

/* Those of the packets of `mask` that are new are let through: their connections begin. What finds
 * no room is no connection, and its next packet is new again. Any worker. */
void msh_conn_confirm(struct msh_conn_table *table, const struct msh_conn_scope *scope,
	const struct msh_burst *burst, uint64_t mask, uint32_t now);

/* Forget what is past its time, in the next part of the table; all of it in MSH_CONN_SWEEP calls.
 * Control lcore. */
#define MSH_CONN_SWEEP 64
void msh_conn_sweep(struct msh_conn_table *table, uint32_t now);

uint32_t msh_conn_room(const struct msh_conn_table *table);
/* Connections of a VM, those not yet forgotten included. Any thread. */
uint32_t msh_conn_count(const struct msh_conn_table *table, uint16_t vm);
