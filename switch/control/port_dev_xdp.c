/* SPDX-License-Identifier: BSD-3-Clause */

/* net_af_xdp of DPDK 22.11 lends packets of a pool to the kernel, and forgets them when it is
 * closed, with the socket that lends them: the interface would stay taken. So each such port has a
 * pool of its own that goes with it, and the socket is closed here. */

#include <errno.h>
#include <rte_cycles.h>
#include <rte_mbuf_pool_ops.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "port_dev.h"

#define PAGE 4096
/* The kernel lets go of the interface some time after its socket is closed, and does not say when.
 * Until then it is busy for the next port. */
#define RELEASE_US 50000
#define PACKETS 8191 /* the driver's two rings of 2048, and what is on its way */
#define CACHE 256
#define LENT 2048 /* always with the kernel, to receive into */

/* By DPDK's port id. */
static struct xdp {
	struct rte_mempool *pool; /* NULL: another driver's */
	int fd;                   /* its socket, or -1 */
} devices[RTE_MAX_ETHPORTS];

static void
free_memory(struct rte_mempool_memhdr *chunk, void *memory)
{
	rte_memzone_free(memory);
}

/* The driver takes the memory of a pool to begin with a page and to be as long as its objects
 * together. In a pool of the usual kind there are gaps, as no object lies across pages: the last
 * ones would be out of the kernel's sight, and what is in them lost. So: objects of a page each. */
static int
fill_pool(struct rte_mempool *pool, const char *name)
{
	const struct rte_memzone *memory =
		rte_memzone_reserve_aligned(name, (size_t)PACKETS * PAGE, pool->socket_id, 0, PAGE);
	if (memory == NULL)
		return -ENOMEM;
	int n = rte_mempool_populate_virt(
		pool, memory->addr, memory->len, PAGE, free_memory, (void *)(uintptr_t)memory);
	if (n <= 0)
		rte_memzone_free(memory);
	return n == PACKETS ? 0 : -ENOMEM;
}

/* like: the pool that other ports have. */
static struct rte_mempool *
make_pool(struct rte_mempool *like)
{
	static unsigned int made;
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool_objsz size;
	const unsigned int flags = RTE_MEMPOOL_F_NO_SPREAD;
	const uint16_t private = rte_pktmbuf_priv_size(like);
	rte_mempool_calc_obj_size(PAGE / 2, flags, &size); /* what comes to an object */
	uint32_t element = PAGE - (size.total_size - PAGE / 2);
	struct rte_pktmbuf_pool_private about = {
		.mbuf_data_room_size = (uint16_t)(element - sizeof(struct rte_mbuf) - private),
		.mbuf_priv_size = private,
	};
	snprintf(name, sizeof(name), "xdp%u", made++);
	struct rte_mempool *pool = rte_mempool_create_empty(
		name, PACKETS, element, CACHE, sizeof(about), like->socket_id, flags);
	if (pool == NULL)
		return NULL;
	rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
	rte_pktmbuf_pool_init(pool, &about);
	if (fill_pool(pool, name) != 0) {
		rte_mempool_free(pool);
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

int
msh_xdp_prepare(struct msh_port *port, const struct rte_eth_dev_info *info)
{
	struct xdp *x = &devices[port->ethdev];
	*x = (struct xdp){.fd = -1};
	if (strcmp(info->driver_name, "net_af_xdp") != 0)
		return 0;
	x->pool = make_pool(port->pool);
	if (x->pool == NULL)
		return -ENOMEM;
	port->pool = x->pool;
	return 0;
}

/* An AF_XDP socket that no port is known to have. */
static bool
is_stray(int fd, const void *context)
{
	int domain = 0;
	socklen_t size = sizeof(domain);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0 || domain != AF_XDP)
		return false;
	for (unsigned int i = 0; i < RTE_MAX_ETHPORTS; i++)
		if (devices[i].pool != NULL && devices[i].fd == fd)
			return false;
	return true;
}

void
msh_xdp_started(const struct msh_port *port)
{
	struct xdp *x = &devices[port->ethdev];
	if (x->pool != NULL)
		x->fd = msh_find_fd(is_stray, NULL);
}

void
msh_xdp_stop(const struct msh_port *port)
{
	/* The driver takes sent packets back when it sends. */
	if (devices[port->ethdev].pool != NULL && devices[port->ethdev].fd >= 0)
		rte_eth_tx_burst(port->ethdev, 0, NULL, 0);
}

/* Devices that may still have packets that they were given to send: not those that copy them. */
static bool
any_device_holds(void)
{
	static const char *const copy[] = {
		"net_af_packet", "net_af_xdp", "net_tap", "net_memif", "net_null", "net_pcap"};
	struct rte_eth_dev_info info;
	uint16_t id;
	RTE_ETH_FOREACH_DEV (id) {
		bool copies = false;
		if (rte_eth_dev_info_get(id, &info) != 0)
			continue;
		for (unsigned int i = 0; i < RTE_DIM(copy); i++)
			copies |= strcmp(info.driver_name, copy[i]) == 0;
		if (!copies)
			return true;
	}
	return false;
}

void
msh_xdp_closed(const struct msh_port *port)
{
	struct xdp *x = &devices[port->ethdev];
	struct rte_mempool *pool = x->pool;
	if (pool == NULL)
		return;
	x->pool = NULL;
	for (int fd; (fd = msh_find_fd(is_stray, NULL)) >= 0;)
		close(fd);
	rte_delay_us_sleep(RELEASE_US);
	if (rte_mempool_in_use_count(pool) <= LENT || !any_device_holds())
		rte_mempool_free(pool);
	else
		MSH_LOG(WARNING,
			"port %s: its %u MB of packets stay reserved: others may have some of them",
			port->name, PACKETS / 256 + 1);
}
