/* SPDX-License-Identifier: BSD-3-Clause */

/* VMDq: the NIC sorts frames by MAC into pools, a queue each. A VM has a pool to itself while there
 * are enough; the first pool takes all that is for nobody else, and groups. */

#include <string.h>

#include "port_dev.h"

static void
release(const struct msh_port *port, struct msh_dev_pool *pool)
{
	while (pool->mac_count > 0)
		rte_eth_dev_mac_addr_remove(port->ethdev, &pool->mac[--pool->mac_count]);
	pool->vm = 0;
}

static bool
has_pool(const struct msh_dev *dev, uint16_t vm)
{
	for (uint16_t p = 1; p < dev->pool_count; p++)
		if (dev->pool[p].vm == vm)
			return true;
	return false;
}

/* A free pool, if possible one that the worker of the VM's port polls: its frames then need not
 * change hands. 0: none is free. */
static uint16_t
choose(const struct msh_control *control, const struct msh_port *port, const struct msh_dev *dev,
	const struct msh_vm *vm)
{
	const uint8_t *workers = control->port[port->index].service.worker;
	uint16_t found = 0, worker = control->port[vm->address[0].port].service.worker[0];
	for (uint16_t p = 1; p < dev->pool_count; p++) {
		if (dev->pool[p].vm != 0)
			continue;
		if (workers[p] == worker)
			return p;
		if (found == 0)
			found = p;
	}
	return found;
}

/* All MACs of the VM, or none: without a filter left the first pool serves it. */
static void
give(const struct msh_control *control, const struct msh_port *port, struct msh_dev *dev,
	const struct msh_vm *vm)
{
	uint16_t p = choose(control, port, dev, vm);
	struct msh_dev_pool *pool = &dev->pool[p];
	if (p == 0)
		return;
	for (uint16_t i = 0; i < vm->address_count; i++) {
		struct rte_ether_addr mac = vm->address[i].mac;
		if (vm->address[i].port == port->index)
			continue;
		if (rte_eth_dev_mac_addr_add(port->ethdev, &mac, p) != 0) {
			release(port, pool);
			return;
		}
		pool->mac[pool->mac_count++] = mac;
	}
	if (pool->mac_count > 0)
		pool->vm = vm->index;
}

void
msh_pools_assign(
	const struct msh_control *control, const struct msh_port *port, struct msh_dev *dev)
{
	if (dev->gone)
		return;
	for (uint16_t p = 1; p < dev->pool_count; p++)
		if (dev->pool[p].vm != 0 && control->vm[dev->pool[p].vm].index == 0)
			release(port, &dev->pool[p]);
	for (unsigned int v = 1; dev->pool_count > 0 && v < MSH_VMS_MAX; v++)
		if (control->vm[v].index != 0 && !has_pool(dev, (uint16_t)v))
			give(control, port, dev, &control->vm[v]);
}

json_t *
msh_pools_show(
	const struct msh_control *control, const struct msh_port *port, const struct msh_dev *dev)
{
	json_t *rows = json_array();
	for (uint16_t p = 0; p < dev->pool_count; p++) {
		json_t *row = json_object();
		msh_put(row, "pool", p);
		json_object_set_new(row, "vm",
			json_string(
				dev->pool[p].vm != 0 ? control->vm[dev->pool[p].vm].name : "-"));
		msh_put(row, "worker", control->port[port->index].service.worker[p]);
		msh_put(row, "rx_packets",
			__atomic_load_n(&port->queue[p].packets, __ATOMIC_RELAXED));
		json_array_append_new(rows, row);
	}
	return rows;
}
