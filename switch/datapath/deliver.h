/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Flow table or stages of the VM that packets come from, and of the one that they are bound for;
 * and what the verdicts ask for. */

#include "worker.h"

/* Those of the packets of `mask`, all of which came by the burst's port, that the VM behind it lets
 * go; the others are dropped. */
uint64_t msh_leave(struct msh_worker *worker, const struct msh_config *config,
	struct msh_burst *burst, uint64_t mask);

/* Deliver the packets of `mask`, all bound for one port. Returns the mask of those that were
 * redirected: rewritten, and without a way yet. */
uint64_t msh_deliver(struct msh_worker *worker, const struct msh_config *config,
	struct msh_burst *burst, uint64_t mask);

/* Deliver one copy of a flooded frame. It passes the stages like any packet, but is not sent on
 * from there: a redirect is for one host. */
void msh_deliver_copy(struct msh_worker *worker, const struct msh_config *config, uint16_t source,
	uint16_t out, struct rte_mbuf *copy);
