/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What the control lcore publishes and workers read, by one pointer. Immutable once published; the
 * old one is retired (core/retire.h). A command to a stage copies struct msh_config only; ports
 * change struct msh_topology. */

#include "guard.h"
#include "packet.h"
#include "port.h"
#include "rules.h"
#include "stage.h"

struct msh_poll {
	struct msh_port *port;
	uint16_t queue;
};

/* Who serves a port's queues: polls them, and sends by them where workers have none of their own.
 */
struct msh_service {
	uint8_t count; /* of queues */
	uint8_t worker[MSH_QUEUES_MAX];
	/* A queue on its way from one worker to another is polled by nobody. `from` sends by it
	 * what it was handed before; its new worker holds all that it is handed until that is over.
	 */
	bool moving;
	uint8_t queue, from;
};

struct msh_topology {
	uint64_t version; /* from 1 */
	uint16_t flood_count;
	uint16_t flood[MSH_PORTS_MAX];                /* indices of ports that broadcast goes to */
	struct msh_port *port[MSH_PORTS_MAX];         /* by index; NULL: none */
	const struct msh_guard *guard[MSH_PORTS_MAX]; /* NULL: any source is welcome */
	const struct msh_rules *rules[MSH_PORTS_MAX]; /* NULL: none */
	const struct msh_claims *claims;              /* addresses of all VMs; never NULL */
	bool answers;                                 /* questions for them are answered */
	bool has_rules;                               /* any port */
	uint16_t vm[MSH_PORTS_MAX];                   /* VM behind the port, 0: none */
	struct msh_service service[MSH_PORTS_MAX];
	bool holds[MSH_WORKERS_MAX]; /* the worker sends nothing that it was handed, for now */
	uint16_t poll_count[MSH_WORKERS_MAX];
	struct msh_poll *poll[MSH_WORKERS_MAX]; /* what each worker receives from */
};

/* The stages that a VM's instances are of, in the order of the registry. */
struct msh_vm_stages {
	uint32_t generation; /* no VM's earlier stages had it */
	uint32_t epoch;      /* of its connections */
	bool tracks;         /* a stage looks at connections: both directions are followed */
	uint16_t mac_count;
	/* Remembered flows of a MAC count only if they carry its epoch. */
	struct {
		struct rte_ether_addr mac;
		uint32_t epoch;
	} mac[MSH_VM_MACS_MAX];
	struct msh_steps {
		uint16_t count;
		bool reads_flags, reads_state; /* any of them looks at TCP flags, connections */
		struct {
			uint16_t stage; /* index into msh_stages */
			const void *instance;
		} step[2 * MSH_STAGES_MAX]; /* the operator's and the VM's */
	} side[MSH_DIRECTIONS];
};

struct msh_config {
	const struct msh_topology *topology;
	const struct msh_vm_stages
		*stages[MSH_VMS_MAX]; /* by VM; NULL: none, packets pass at no cost */
	bool has_redirects;           /* any VM redirects: look at the way back, and at ARP */
	uint64_t backends[4]; /* bit filter of backends' IPv4 addresses, by msh_backend_bit */
};

/* The epoch of a VM's MAC, or 0: it has redirected nothing. */
static inline uint32_t
msh_epoch_of(const struct msh_config *config, uint16_t vm, const struct rte_ether_addr *mac)
{
	const struct msh_vm_stages *stages = config->stages[vm];
	for (uint16_t i = 0; stages != NULL && i < stages->mac_count; i++)
		if (rte_is_same_ether_addr(&stages->mac[i].mac, mac))
			return stages->mac[i].epoch;
	return 0;
}

/* Position of an IPv4 address in the 256-bit filter. */
static inline uint8_t
msh_backend_bit(rte_be32_t ip)
{
	return (uint8_t)((ip * 0x9e3779b1u) >> 24);
}

static inline bool
msh_maybe_backend(const struct msh_config *config, rte_be32_t ip)
{
	uint8_t bit = msh_backend_bit(ip);
	return config->backends[bit / 64] >> (bit % 64) & 1;
}
