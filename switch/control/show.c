/* SPDX-License-Identifier: BSD-3-Clause */

/* What VMs, workers, stages and the forwarding table look like. */

#include <rte_cycles.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

static double
per(uint64_t cycles, uint64_t packets)
{
	return packets == 0 ? 0 : (double)(cycles * 10 / packets) / 10;
}

static json_t *
addresses_text(const struct msh_control *control, const struct msh_vm *vm, bool ports)
{
	char text[MSH_VM_MACS_MAX * (MSH_NAME_MAX + 1)] = "", mac[MSH_MAC_TEXT];
	size_t used = 0;
	for (uint16_t i = 0; i < vm->address_count; i++) {
		const char *word = ports ? control->port[vm->address[i].port].port->name
					 : msh_mac_text(&vm->address[i].mac, mac);
		if (ports && i > 0 && vm->address[i].port == vm->address[i - 1].port)
			continue;
		used += (size_t)snprintf(
			text + used, sizeof(text) - used, "%s%s", used > 0 ? "," : "", word);
	}
	return json_string(text);
}

static json_t *
ips_text(const struct msh_vm *vm)
{
	char text[MSH_VM_IPS_MAX * (MSH_IP_TEXT + 1)] = "-", ip[MSH_IP_TEXT];
	size_t used = 0;
	for (uint16_t i = 0; i < vm->ip_count; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i > 0 ? "," : "",
			msh_ip_text(&vm->ip[i].ip, ip));
	return json_string(text);
}

/* What the stages kept from the VM, over all its ports. */
static void
put_offload(const struct msh_control *control, const struct msh_vm *vm, json_t *row)
{
	struct msh_port_counters c;
	uint64_t examined = 0, dropped = 0, redirected = 0;
	for (uint16_t i = 0; i < vm->address_count; i++) {
		if (i > 0 && vm->address[i].port == vm->address[i - 1].port)
			continue;
		msh_port_sum(control, vm->address[i].port, &c);
		examined += c.vm_packets;
		dropped += c.vm_dropped;
		redirected += c.vm_redirected;
	}
	msh_put(row, "examined", examined);
	msh_put(row, "dropped", dropped);
	msh_put(row, "redirected", redirected);
	msh_put(row, "connections", msh_conn_count(control->datapath.connections, vm->index));
}

static json_t *
vm_row(const struct msh_control *control, const struct msh_vm *vm)
{
	json_t *row = json_object();
	const char *region = vm->region != NULL ? "attached" : vm->region_lost;
	json_object_set_new(row, "vm", json_string(vm->name));
	json_object_set_new(row, "ports", addresses_text(control, vm, true));
	json_object_set_new(row, "macs", addresses_text(control, vm, false));
	json_object_set_new(row, "ips", ips_text(vm));
	json_object_set_new(
		row, "region", json_string(vm->region_path != NULL ? vm->region_path : "-"));
	json_object_set_new(row, "state", json_string(region != NULL ? region : "-"));
	msh_put(row, "commands", vm->commands);
	msh_put(row, "refused", vm->refused);
	put_offload(control, vm, row);
	return row;
}

static json_t *
region_details(const struct msh_vm *vm)
{
	const struct msh_region_counters *c = msh_region_counters(vm->region);
	json_t *row = json_object();
	msh_put(row, "size", msh_region_size(vm->region));
	msh_put(row, "slot_commands", c->slot_commands);
	msh_put(row, "ring_commands", c->ring_commands);
	msh_put(row, "answers", c->answers);
	msh_put(row, "events", c->events);
	msh_put(row, "events_lost", c->events_lost);
	msh_put(row, "errors", c->errors);
	return row;
}

int
msh_vm_show(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	if (argc == 1) {
		const struct msh_vm *vm = msh_vm_find(control, argv[0]);
		if (vm == NULL)
			return msh_answer_set(answer, MSH_NOTFOUND, "there is no VM %s", argv[0]);
		answer->data = vm_row(control, vm);
		if (vm->region != NULL)
			json_object_set_new(answer->data, "channel", region_details(vm));
		return 0;
	}
	answer->data = json_array();
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		if (control->vm[i].index != 0)
			json_array_append_new(answer->data, vm_row(control, &control->vm[i]));
	return 0;
}

/* All stages in short, over all VMs and workers. */
static json_t *
stage_summary(const struct msh_control *control)
{
	json_t *rows = json_array();
	for (unsigned int s = 0; s < msh_stage_count; s++) {
		uint64_t cycles = 0, packets = 0, vms = 0;
		for (unsigned int w = 0; w < control->datapath.worker_count; w++) {
			cycles += control->datapath.worker[w].stage_cycles[s];
			packets += control->datapath.worker[w].stage_packets[s];
		}
		for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
			vms += control->vm[i].instance[s] != NULL ||
			       control->vm[i].instance[msh_stage_count + s] != NULL;
		json_t *row = json_object();
		json_object_set_new(row, "stage", json_string(msh_stages[s]->name));
		msh_put(row, "vms", vms);
		msh_put(row, "packets", packets);
		json_object_set_new(row, "cycles_per_packet", json_real(per(cycles, packets)));
		json_object_set_new(row, "what", json_string(msh_stages[s]->help));
		json_array_append_new(rows, row);
	}
	return rows;
}

/* The operator's only where there are some. */
static void
put_slot(json_t *data, unsigned int slot, json_t *rows)
{
	char key[64];
	bool operators = msh_slot_is_operators(slot);
	snprintf(
		key, sizeof(key), "%s%s", operators ? "operator " : "", msh_slot_stage(slot)->name);
	if (operators && json_array_size(rows) == 0)
		json_decref(rows);
	else
		json_object_set_new(data, key, rows);
}

int
msh_stage_show(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	const struct msh_vm *only = argc == 1 ? msh_vm_find(control, argv[0]) : NULL;
	if (argc == 1 && only == NULL)
		return msh_answer_set(answer, MSH_NOTFOUND, "there is no VM %s", argv[0]);
	answer->data = json_object();
	if (only == NULL)
		json_object_set_new(answer->data, "stages", stage_summary(control));
	for (unsigned int s = 0; s < msh_slots(); s++) {
		json_t *rows = json_array();
		for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
			if (control->vm[i].instance[s] != NULL &&
				(only == NULL || only == &control->vm[i]))
				msh_slot_stage(s)->show(control->vm[i].instance[s], rows);
		put_slot(answer->data, s, rows);
	}
	return 0;
}

int
msh_worker_show(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	answer->data = json_array();
	for (unsigned int i = 0; i < control->datapath.worker_count; i++) {
		const struct msh_worker *w = &control->datapath.worker[i];
		uint64_t busy = __atomic_load_n(&w->busy_cycles, __ATOMIC_RELAXED);
		uint64_t packets = __atomic_load_n(&w->busy_packets, __ATOMIC_RELAXED);
		json_t *row = json_object();
		msh_put(row, "worker", i);
		msh_put(row, "lcore", w->lcore);
		msh_put_node(row, w->node);
		msh_put(row, "queues", control->datapath.config->topology->poll_count[i]);
		msh_put(row, "packets", packets);
		msh_put(row, "busy_cycles", busy);
		json_object_set_new(row, "cycles_per_packet", json_real(per(busy, packets)));
		json_object_set_new(row, "busy_percent",
			json_real((int)(control->sample[i].busy * 1000) / 10.0));
		msh_put(row, "packets_per_second", (uint64_t)control->sample[i].packets_per_second);
		json_object_set_new(
			row, "idle", json_string(control->datapath.spin ? "spins" : "sleeps"));
		msh_put(row, "flow_hits", msh_counted(&w->flow_hits));
		msh_put(row, "flow_misses", msh_counted(&w->flow_misses));
		msh_put(row, "redirected_flows",
			msh_back_count(w->back, control->datapath.now, control->datapath.config));
		json_array_append_new(answer->data, row);
	}
	return 0;
}

int
msh_flow_show(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	const struct msh_datapath *dp = &control->datapath;
	uint64_t hits = 0, misses = 0, connections = 0;
	for (unsigned int i = 0; i < dp->worker_count; i++) {
		hits += msh_counted(&dp->worker[i].flow_hits);
		misses += msh_counted(&dp->worker[i].flow_misses);
	}
	for (uint16_t i = 1; i < MSH_VMS_MAX; i++)
		connections += msh_conn_count(dp->connections, i);
	answer->data = json_object();
	msh_put(answer->data, "flows", msh_flow_count(dp->flows, dp->now));
	msh_put(answer->data, "flow_room", msh_flow_room(dp->flows));
	msh_put(answer->data, "hits", hits);
	msh_put(answer->data, "misses", misses);
	msh_put(answer->data, "connections", connections);
	msh_put(answer->data, "connection_room", msh_conn_room(dp->connections));
	return 0;
}

int
msh_worker_idle(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	bool spin = strcmp(argv[0], "spin") == 0;
	if (!spin && strcmp(argv[0], "sleep") != 0)
		return msh_answer_set(
			answer, MSH_BAD, "idle '%s' is neither sleep nor spin", argv[0]);
	__atomic_store_n(&control->datapath.spin, spin, __ATOMIC_RELAXED);
	return 0;
}

int
msh_fdb_show(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	const struct msh_port_entry *only = argc == 1 ? msh_port_find(control, argv[0]) : NULL;
	struct msh_fdb_entry e;
	uint32_t cursor = 0;
	if (argc == 1 && only == NULL)
		return msh_answer_set(answer, MSH_NOTFOUND, "there is no port %s", argv[0]);
	answer->data = json_array();
	while (msh_fdb_next(control->datapath.fdb, &cursor, control->datapath.now, &e)) {
		const struct msh_port *port = control->port[e.port].port;
		char mac[MSH_MAC_TEXT];
		if (port == NULL || (only != NULL && port != only->port))
			continue;
		json_t *row = json_object();
		json_object_set_new(row, "mac", json_string(msh_mac_text(&e.mac, mac)));
		msh_put(row, "vlan", e.vlan);
		json_object_set_new(row, "port", json_string(port->name));
		json_object_set_new(row, "type",
			json_string(!e.pinned                                 ? "learned"
				    : msh_vm_of_port(control, e.port) != NULL ? "vm"
									      : "static"));
		msh_put(row, "age", e.age);
		json_array_append_new(answer->data, row);
	}
	return 0;
}
