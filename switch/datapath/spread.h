/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <rte_mbuf.h>

/* A number that is the same for all packets of a connection, in both directions; not keyed, as what
 * a guest gains by collisions is that its own packets go by one of its own queues. */
uint32_t msh_spread_hash(const struct rte_mbuf *m);
