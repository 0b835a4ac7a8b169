/* SPDX-License-Identifier: BSD-3-Clause */
#include "nodes.h"

#include <errno.h>
#include <numaif.h>
#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include "log.h"
#include "partial.h"

/* The largest pool that memory allows, from 65536 down. A VM's rings hold 256 to 1024 packets. */
static struct rte_mempool *
make_pool(int node)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool *pool = NULL;
	snprintf(name, sizeof(name), "mbufs%d", node);
	for (unsigned int n = 65536; pool == NULL && n >= 4096; n /= 2) {
		/* Leave a quarter of it free for tables. */
		size_t size = (size_t)n * (sizeof(struct rte_mbuf) + sizeof(struct msh_rest) +
						  RTE_MBUF_DEFAULT_BUF_SIZE + 64);
		void *room = rte_malloc_socket(NULL, size / 4, 0, node);
		pool = room == NULL
			       ? NULL
			       : rte_pktmbuf_pool_create(name, n - 1, 256, sizeof(struct msh_rest),
					 RTE_MBUF_DEFAULT_BUF_SIZE, node);
		rte_free(room);
	}
	return pool;
}

int
msh_node_join(struct msh_datapath *dp, struct msh_worker *w)
{
	w->node = (int)rte_lcore_to_socket_id(w->lcore);
	for (const struct msh_worker *other = dp->worker; other < w; other++)
		/* Without hugepages EAL's memory lies anywhere. */
		if (other->node == w->node || !rte_eal_has_hugepages()) {
			w->pool = other->pool;
			return 0;
		}
	w->pool = make_pool(w->node);
	if (w->pool == NULL && w->index > 0) {
		MSH_LOG(WARNING,
			"node %d has no memory for packets, worker %u takes them from elsewhere: "
			"give EAL --socket-mem",
			w->node, w->index);
		w->pool = dp->worker[0].pool;
		return 0;
	}
	if (w->pool == NULL)
		w->pool = make_pool(SOCKET_ID_ANY);
	if (w->pool == NULL)
		return -ENOMEM;
	dp->buffers += w->pool->size;
	return 0;
}

uint16_t
msh_node_pick(const struct msh_datapath *dp, int node, const double *load)
{
	uint16_t best = 0;
	bool at_home = false;
	for (uint16_t w = 0; w < dp->worker_count; w++) {
		bool here = dp->worker[w].node == node;
		if ((here && !at_home) || (here == at_home && load[w] < load[best]))
			best = w;
		at_home |= here;
	}
	return best;
}

struct rte_mempool *
msh_node_pool(const struct msh_datapath *dp, int node)
{
	static const double even[MSH_WORKERS_MAX];
	return dp->worker[msh_node_pick(dp, node, even)].pool;
}

int
msh_node_of(void *address)
{
	int node = -1;
	return get_mempolicy(&node, NULL, 0, address, MPOL_F_NODE | MPOL_F_ADDR) == 0 ? node : -1;
}
