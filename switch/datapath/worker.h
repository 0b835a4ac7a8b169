/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A worker lcore and what all workers share. */

#include <rte_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "bucket.h"
#include "config.h"
#include "conn.h"
#include "fdb.h"
#include "flow.h"
#include "back.h"
#include "poll.h"

/* Packets on their way to one port, all from the same port. */
struct msh_txq {
	uint16_t count;
	uint16_t source; /* index of the port they came from */
	struct rte_mbuf *packet[MSH_BURST_MAX];
};

/* An IPv4 neighbour seen in ARP; 16 bytes, as the ring's elements. */
struct msh_neighbor_seen {
	rte_be32_t ip;
	struct rte_ether_addr mac;
	uint16_t port, vlan, zero;
};
static_assert(sizeof(struct msh_neighbor_seen) == 16, "elements of a ring");

struct msh_worker {
	struct msh_datapath *datapath;
	struct msh_port_counters *counters; /* by port index; this worker writes, control reads */
	struct msh_back_table *back;        /* this worker writes, all read */
	uint32_t now;                       /* seconds; datapath->now of this turn */
	uint16_t index;
	unsigned int lcore;
	int node;                 /* NUMA node of its lcore */
	struct rte_mempool *pool; /* for what it makes itself; on its node */

	/* Packets to send, by port; dirty lists the ports that have some. */
	struct msh_txq *txq;
	uint16_t dirty_count;
	uint16_t dirty[MSH_PORTS_MAX];

	struct rte_ring *handoff[MSH_WORKERS_MAX]; /* by sending worker: packets for queues that
						      this worker serves */
	bool handed;                               /* in hand: what others handed over */
	struct rte_ring *inject;                   /* from control: packets of the switch itself */
	struct rte_ring *neighbors;                /* to control: struct msh_neighbor_seen */
	struct msh_bucket *storm, *rejects; /* by port: what it floods, and what it is told */

	struct msh_poller *poller;

	struct msh_burst burst; /* in hand */
	struct msh_burst copy;  /* one flooded copy in hand */

	/* This worker writes, control reads. Cycles of the TSC. */
	uint64_t busy_cycles, busy_packets, started;
	uint64_t flow_hits, flow_misses; /* packets */
	uint64_t stage_cycles[MSH_STAGES_MAX], stage_packets[MSH_STAGES_MAX];
} __rte_cache_aligned;

struct msh_datapath {
	const struct msh_config *config; /* control publishes (release), workers read (acquire) */
	uint32_t now;                    /* seconds since start; control writes */
	bool stop;                       /* control writes: workers return */
	bool spin;                       /* control writes: idle workers do not nap */
	unsigned int worker_count;
	uint64_t hz;          /* of the TSC */
	unsigned int buffers; /* packets in all pools */
	struct msh_fdb *fdb;
	struct msh_flow_table *flows;
	struct msh_conn_table *connections;
	struct msh_worker worker[MSH_WORKERS_MAX];
};

/* The loop of a worker lcore; argument: its struct msh_worker. Returns 0 when datapath->stop is
 * set. */
int msh_worker_run(void *worker);

/* Switch n packets that came by the port `source` (MSH_PORT_SELF: made by the switch). Takes them.
 */
void msh_pipeline_run(struct msh_worker *worker, const struct msh_config *config, uint16_t source,
	struct rte_mbuf **packets, uint16_t n);

/* Queue a packet for a port; takes it. */
void msh_tx_queue(struct msh_worker *worker, const struct msh_config *config, uint16_t out,
	uint16_t source, struct rte_mbuf *packet);
/* The same for the packets of a mask. */
void msh_tx_queue_mask(struct msh_worker *worker, const struct msh_config *config, uint16_t out,
	const struct msh_burst *burst, uint64_t mask);
/* Send all that is queued. */
void msh_tx_flush(struct msh_worker *worker, const struct msh_config *config);
/* Send what other workers handed over. Returns the number of packets. */
uint32_t msh_tx_handoff(struct msh_worker *worker, const struct msh_config *config);

/* Free a packet of a port, and count why. */
static inline void
msh_drop(struct msh_worker *worker, uint16_t source, enum msh_drop reason, struct rte_mbuf *packet)
{
	msh_count(&worker->counters[source].drop[reason], 1);
	rte_pktmbuf_free(packet);
}
