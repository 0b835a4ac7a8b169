/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* NUMA nodes: packets are kept, and ports served, where the memory of their guest or device lies.
 * Numbered as the kernel does; -1: not known. For the control lcore, but where it is said. */

#include "worker.h"

/* Note a worker's node, and give it the packet pool of that node, which is made for its first
 * worker: as large as memory allows. Called for one after the other at the start. 0 or -ENOMEM. */
int msh_node_join(struct msh_datapath *datapath, struct msh_worker *worker);

/* Of the workers on a node, or of all where it has none, the one with the least load; load: by
 * worker, of whatever kind. */
uint16_t msh_node_pick(const struct msh_datapath *datapath, int node, const double *load);

/* The pool of a node, or the first worker's where it has none. Any thread. */
struct rte_mempool *msh_node_pool(const struct msh_datapath *datapath, int node);

/* Where the page at an address lies; it is allocated if need be. -1 also when the kernel does not
 * say, or nothing is mapped there. Any thread. */
int msh_node_of(void *address);
