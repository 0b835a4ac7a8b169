/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A port as workers see it. Ports are made and torn down by control/; here are the calls of the
 * loop. */

#include <rte_mbuf.h>
#include <stdbool.h>
#include <stdint.h>

#include "counter.h"
#include "drop.h"
#include "bounds.h"

struct msh_port;

struct msh_port_ops {
	const char *kind; /* "vhost", "dev" */
	/* Up to n packets from a queue; the caller owns them. */
	uint16_t (*rx)(
		struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n);
	/* Hand over packets; the port owns those it accepted, the first ones, and the caller the
	 * rest. */
	uint16_t (*tx)(
		struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n);
	/* For devices that take unfinished packets: make one ready, before tx. False: the device
	 * cannot finish it. */
	bool (*prepare)(struct msh_port *port, uint16_t queue, struct rte_mbuf *packet);
	/* Optional: the turn ends, nothing refers any more to memory behind packets that were
	 * received from the queue. */
	void (*release)(struct msh_port *port, uint16_t queue);
	bool takes_partial; /* tx reads the rest of packets from where it lies (partial.h) */
};

/* A guest's pair of rings, one to it and one from it. */
struct msh_port_queue {
	/* When this program serves them itself, NULL when librte_vhost does. vhost's thread
	 * publishes, and waits for a quiescent state to take them back. */
	struct msh_vrings *rings;
	struct msh_vrings *received; /* that have packets in hand; the polling worker's own */
	uint64_t notifications;      /* interrupts sent to the guest; the sending worker and vhost's
					thread: atomic */
	uint64_t packets; /* dev with VMDq: received; the polling worker writes, control reads */
} __rte_cache_aligned;

/* Set before the port is published and constant after, but for what says otherwise. */
struct msh_port {
	const struct msh_port_ops *ops;
	uint16_t index;     /* 1 to MSH_PORTS_MAX - 1 */
	uint16_t queues;    /* to receive from; vhost's thread writes, control reads: atomic */
	bool own_tx_queues; /* each worker has a tx queue of its own; else the worker that serves a
			       queue sends by it */
	bool learn;         /* learn MACs from its frames */
	uint32_t max_frame; /* bytes, with Ethernet header and tags; vhost's thread writes */
	bool up;            /* control and vhost's thread write, workers read: atomic */
	uint8_t takes;      /* MSH_TAKES_*; control or vhost's thread write, workers read: atomic */
	union {
		int vid; /* vhost: device id, -1 while no guest is there; vhost's thread writes */
		uint16_t ethdev; /* dev: DPDK's port id */
	};
	uint16_t lacp_queue; /* dev, a bond by LACP: tx queue for its own frames */
	bool broken;         /* the guest wrote nonsense into its rings; workers write: atomic */
	/* NUMA node of its guest's memory or its device, -1: not known; vhost's thread writes,
	 * control reads: atomic. */
	int node;
	/* For what is received. vhost's thread writes, while no worker can receive; control reads:
	 * atomic. */
	struct rte_mempool *pool;
	char name[MSH_NAME_MAX];
	struct msh_port_queue queue[MSH_QUEUES_MAX]; /* vhost, and counters of VMDq */
};

extern const struct msh_port_ops msh_port_dev_ops;
extern const struct msh_port_ops msh_port_lacp_ops; /* a bond by LACP */
extern const struct msh_port_ops msh_port_vmdq_ops; /* a queue for each VM */
extern const struct msh_port_ops msh_port_vhost_ops;

/* Counters of one port in one worker; that worker writes, control reads.
 * rx + copies = forwarded + the drops, for each port that packets come from;
 * the sum of forwarded = the sum of tx, over all ports. */
struct msh_port_counters {
	uint64_t rx_packets, rx_bytes;
	uint64_t copies;    /* made of this port's packets: to flood them, or segments of a long one
			     */
	uint64_t forwarded; /* of this port's packets and copies: sent by some port */
	uint64_t drop[MSH_DROP_COUNT]; /* of this port's packets and copies */
	uint64_t tx_packets, tx_bytes; /* sent by this port, from whichever port they came */
	uint64_t tx_refused; /* would have left by this port; counted among the drops of where they
				came from */
	uint64_t vm_packets, vm_dropped, vm_redirected; /* by the stages of this port's VM:
							   examined, ended, sent elsewhere */
} __rte_cache_aligned;

static inline bool
msh_port_is_up(const struct msh_port *port)
{
	return __atomic_load_n(&port->up, __ATOMIC_ACQUIRE);
}

static inline void
msh_port_set_up(struct msh_port *port, bool up)
{
	__atomic_store_n(&port->up, up, __ATOMIC_RELEASE);
}
