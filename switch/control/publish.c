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
	for (unsigned int i = 0; i < MSH_PORTS_MAX; i++) {
		free((void *)(uintptr_t)t->guard[i]);
		free((void *)(uintptr_t)t->rules[i]);
	}
	free((void *)(uintptr_t)t->claims);
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
			guard->mac[guard->mac_count++] = vm->address[i].mac;
	for (uint16_t i = 0; i < vm->ip_count; i++)
		guard->ip[guard->ip_count++] = vm->ip[i].ip;
	t->guard[port] = guard;
	t->vm[port] = vm->index;
	return 0;
}

static int
compare_claims(const void *a, const void *b)
{
	return msh_ip_compare(
		&((const struct msh_claim *)a)->ip, &((const struct msh_claim *)b)->ip);
}

/* The addresses of all VMs, each behind the port of its MAC. */
static int
add_claims(struct msh_topology *t, const struct msh_control *control)
{
	size_t n = 0;
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		n += control->vm[i].ip_count;
	struct msh_claims *claims = calloc(1, sizeof(*claims) + n * sizeof(claims->claim[0]));
	if (claims == NULL)
		return -ENOMEM;
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		for (uint16_t j = 0; j < control->vm[i].ip_count; j++) {
			const struct msh_vm *vm = &control->vm[i];
			const struct msh_vm_address *at = &vm->address[vm->ip[j].address];
			claims->claim[claims->count++] = (struct msh_claim){.ip = vm->ip[j].ip,
				.mac = at->mac,
				.vm = vm->index,
				.port = at->port};
		}
	qsort(claims->claim, claims->count, sizeof(claims->claim[0]), compare_claims);
	t->claims = claims;
	t->answers = !control->asks_all;
	return 0;
}

static int
add_rules(struct msh_topology *t, const struct msh_port_entry *entry)
{
	const struct msh_rules *r = &entry->rules;
	if (r->mode == MSH_VLAN_TRANSPARENT && !r->isolated && r->storm == 0 && r->macs == 0)
		return 0;
	struct msh_rules *rules = malloc(sizeof(*rules));
	if (rules == NULL)
		return -ENOMEM;
	*rules = entry->rules;
	t->rules[entry->port->index] = rules;
	t->has_rules = true;
	return 0;
}

static void
add_queues(struct msh_topology *t, const struct msh_port_entry *entry)
{
	const struct msh_service *service = &entry->service;
	t->service[entry->port->index] = *service;
	for (uint16_t q = 0; q < service->count && !entry->lost; q++) {
		uint16_t w = service->worker[q];
		if (service->moving && service->queue == q)
			t->holds[w] = true;
		else
			t->poll[w][t->poll_count[w]++] =
				(struct msh_poll){.port = entry->port, .queue = q};
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
		add_queues(t, &control->port[i]);
		const struct msh_vm *vm = msh_vm_of_port(control, i);
		if ((vm != NULL && add_guard(t, vm, i) != 0) ||
			add_rules(t, &control->port[i]) != 0)
			return -ENOMEM;
	}
	return add_claims(t, control);
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
		for (unsigned int s = 0; s < msh_slots(); s++)
			if (vm->instance[s] != NULL && msh_slot_stage(s)->neighbors != NULL)
				msh_slot_stage(s)->neighbors(vm->instance[s], note_backend, config);
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

void
msh_publish_stages(struct msh_control *control, struct msh_config *config)
{
	config->topology = control->datapath.config->topology;
	fill_config(config, control);
	swap_config(control, config);
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
	t->version = ++control->versions;
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
