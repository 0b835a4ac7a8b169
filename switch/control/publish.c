/* SPDX-License-Identifier: BSD-3-Clause */

/* Building what workers read, swapping the pointer, retiring the old one. */

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "retire.h"

static void
free_topology(void *thing)
{
	struct msh_topology *t = thing;
	if (t == NULL)
		return;
	for (unsigned int i = 0; i < MSH_PORTS_MAX; i++)
		free((void *)(uintptr_t)t->guard[i]);
	for (unsigned int i = 0; i < MSH_WORKERS_MAX; i++)
		free(t->poll[i]);
	free(t);
}

static int
add_guard(struct msh_topology *t, const struct msh_vm *vm, uint16_t port)
{
	struct msh_guard *guard = calloc(1, sizeof(*guard));
	if (guard == NULL)
		return -ENOMEM;
	for (uint16_t i = 0; i < vm->address_count; i++)
		if (vm->address[i].port == port)
			guard->mac[guard->count++] = vm->address[i].mac;
	t->guard[port] = guard;
	t->vm[port] = vm->index;
	return 0;
}

static void
add_queues(struct msh_topology *t, struct msh_port *port, const struct msh_service *service)
{
	t->service[port->index] = *service;
	for (uint16_t q = 0; q < service->count; q++) {
		uint16_t w = service->worker[q];
		if (service->moving && service->queue == q)
			t->holds[w] = true;
		else
			t->poll[w][t->poll_count[w]++] =
				(struct msh_poll){.port = port, .queue = q};
	}
}

static int
add_ports(struct msh_topology *t, const struct msh_control *control)
{
	size_t queues = 1;
	for (uint16_t i = 1; i < MSH_PORTS_MAX; i++)
		queues += control->port[i].port != NULL ? control->port[i].service.count : 0;
	for (unsigned int w = 0; w < control->datapath.worker_count; w++) {
		t->poll[w] = calloc(queues, sizeof(*t->poll[w]));
		if (t->poll[w] == NULL)
			return -ENOMEM;
	}
	for (uint16_t i = 1; i < MSH_PORTS_MAX; i++) {
		struct msh_port *port = control->port[i].port;
		if (port == NULL)
			continue;
		t->port[i] = port;
		t->flood[t->flood_count++] = i;
		add_queues(t, port, &control->port[i].service);
		const struct msh_vm *vm = msh_vm_of_port(control, i);
		if (vm != NULL && add_guard(t, vm, i) != 0)
			return -ENOMEM;
	}
	return 0;
}

/* Which addresses are backends of any VM. */
static void
note_backend(void *context, rte_be32_t wanted, rte_be32_t asker, const struct rte_ether_addr *mac,
	bool known)
{
	struct msh_config *config = context;
	uint8_t bit = msh_backend_bit(wanted);
	config->backends[bit / 64] |= UINT64_C(1) << (bit % 64);
	config->has_redirects = true;
}

static void
fill_config(struct msh_config *config, const struct msh_control *control)
{
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++) {
		const struct msh_vm *vm = &control->vm[i];
		if (vm->index == 0)
			continue;
		config->stages[i] = vm->stages;
		for (unsigned int s = 0; s < msh_stage_count; s++)
			if (vm->instance[s] != NULL && msh_stages[s]->neighbors != NULL)
				msh_stages[s]->neighbors(vm->instance[s], note_backend, config);
	}
}

/* Returns the version that was in force. */
static const struct msh_config *
swap_config(struct msh_control *control, const struct msh_config *config)
{
	const struct msh_config *old = control->datapath.config;
	__atomic_store_n(&control->datapath.config, config, __ATOMIC_RELEASE);
	if (old != NULL)
		msh_retire(free, (void *)(uintptr_t)old);
	return old;
}

int
msh_publish_stages(struct msh_control *control)
{
	struct msh_config *config = calloc(1, sizeof(*config));
	if (config == NULL)
		return -ENOMEM;
	config->topology = control->datapath.config->topology;
	fill_config(config, control);
	swap_config(control, config);
	return 0;
}

int
msh_publish_topology(struct msh_control *control)
{
	struct msh_config *config = calloc(1, sizeof(*config));
	struct msh_topology *t = calloc(1, sizeof(*t));
	if (config == NULL || t == NULL || add_ports(t, control) != 0) {
		free(config);
		free_topology(t);
		return -ENOMEM;
	}
	config->topology = t;
	fill_config(config, control);
	const struct msh_config *old = swap_config(control, config);
	if (old != NULL)
		msh_retire(free_topology, (void *)(uintptr_t)old->topology);
	return 0;
}

void
msh_publish_end(struct msh_control *control)
{
	const struct msh_config *config = control->datapath.config;
	if (config == NULL)
		return;
	free_topology((void *)(uintptr_t)config->topology);
	free((void *)(uintptr_t)config);
	control->datapath.config = NULL;
}
