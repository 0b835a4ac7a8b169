/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Carrying out a redirect: addresses, TTL and checksums on the way in, and the reverse on the way
 * back. IPv4. */

#include "worker.h"

/* Rewrite packet p as r says, on behalf of the VM, and remember the flow for the way back. False,
 * with the packet untouched, when the flow cannot be remembered: the VM then handles it. */
bool msh_redirect_forward(struct msh_worker *worker, const struct msh_config *config,
	struct msh_packet *p, const struct msh_redirect *r, uint16_t vm);

/* If p answers a redirected flow, make it come from the address that the client knows. */
void msh_redirect_back(
	struct msh_worker *worker, const struct msh_config *config, struct msh_packet *p);
