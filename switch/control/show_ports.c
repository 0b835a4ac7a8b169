/* SPDX-License-Identifier: BSD-3-Clause */

/* What ports and drops look like: every packet accounted for. */

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "unfinished.h"

/* Counters are a run of uint64_t: *sum op= *one, for all of them. */
static void
add_counters(struct msh_port_counters *sum, const struct msh_port_counters *one, bool subtract)
{
	uint64_t *to = (uint64_t *)sum;
	const uint64_t *from = (const uint64_t *)one;
	for (size_t i = 0; i < sizeof(*sum) / sizeof(*to); i++) {
		uint64_t value = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
		to[i] += subtract ? -value : value;
	}
}

void
msh_port_sum(const struct msh_control *control, uint16_t index, struct msh_port_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int w = 0; w < control->datapath.worker_count; w++)
		add_counters(sum, &control->datapath.worker[w].counters[index], false);
	if (control->port[index].port != NULL)
		add_counters(sum, &control->port[index].base, true);
}

static uint64_t
sum_drops(const struct msh_port_counters *c)
{
	uint64_t sum = 0;
	for (unsigned int i = 0; i < MSH_DROP_COUNT; i++)
		sum += c->drop[i];
	return sum;
}

/* Of each queue, who serves it: "0,1". */
static json_t *
workers_text(const struct msh_service *service)
{
	char text[4 * MSH_QUEUES_MAX] = "";
	size_t used = 0;
	for (uint16_t q = 0; q < service->count; q++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%u", q > 0 ? "," : "",
			service->worker[q]);
	return json_string(text);
}

/* What it takes unfinished: "csum,tso4,tso6". */
static json_t *
takes_text(const struct msh_port *port)
{
	uint8_t takes = __atomic_load_n(&port->takes, __ATOMIC_RELAXED);
	return takes == 0 ? json_string("-")
			  : json_sprintf("%s%s%s", takes & MSH_TAKES_CSUM ? "csum" : "",
				    takes & MSH_TAKES_TSO4 ? ",tso4" : "",
				    takes & MSH_TAKES_TSO6 ? ",tso6" : "");
}

static json_t *
port_row(const struct msh_control *control, const struct msh_port_entry *entry)
{
	const struct msh_port *port = entry->port;
	const struct msh_vm *vm = msh_vm_of_port(control, port->index);
	struct msh_port_counters c;
	json_t *row = json_object();
	msh_port_sum(control, port->index, &c);
	json_object_set_new(row, "port", json_string(port->name));
	json_object_set_new(row, "kind", json_string(port->ops->kind));
	json_object_set_new(row, "state", json_string(msh_port_is_up(port) ? "up" : "down"));
	json_object_set_new(row, "vm", json_string(vm != NULL ? vm->name : "-"));
	json_object_set_new(row, "workers", workers_text(&entry->service));
	msh_put(row, "rx_packets", c.rx_packets);
	msh_put(row, "rx_bytes", c.rx_bytes);
	msh_put(row, "tx_packets", c.tx_packets);
	msh_put(row, "tx_bytes", c.tx_bytes);
	msh_put(row, "copies", c.copies);
	msh_put(row, "forwarded", c.forwarded);
	msh_put(row, "dropped", sum_drops(&c));
	msh_put(row, "tx_refused", c.tx_refused);
	json_object_set_new(row, "takes", takes_text(port));
	entry->provider->show(port, row);
	return row;
}

/* One port in full: with its drops by name, and what the stages of its VM did. */
static json_t *
port_details(const struct msh_control *control, const struct msh_port_entry *entry)
{
	json_t *row = port_row(control, entry), *drops = json_object();
	struct msh_port_counters c;
	msh_port_sum(control, entry->port->index, &c);
	for (unsigned int i = 0; i < MSH_DROP_COUNT; i++)
		msh_put(drops, msh_drop_word(i), c.drop[i]);
	char *rules = msh_rules_text(&entry->rules);
	json_object_set_new(
		row, "rules", json_string(rules != NULL && rules[0] != '\0' ? rules + 1 : "-"));
	free(rules);
	msh_put(row, "learned", msh_fdb_count(control->datapath.fdb, entry->port->index));
	json_object_set_new(row, "learn", json_boolean(entry->port->learn));
	msh_put(row, "max_frame", entry->port->max_frame);
	msh_put_node(row, __atomic_load_n(&entry->port->node, __ATOMIC_RELAXED));
	const struct rte_mempool *pool = __atomic_load_n(&entry->port->pool, __ATOMIC_RELAXED);
	json_object_set_new(row, "pool", json_string(pool->name));
	msh_put(row, "vm_packets", c.vm_packets);
	msh_put(row, "vm_dropped", c.vm_dropped);
	msh_put(row, "vm_redirected", c.vm_redirected);
	if (entry->provider->show_details != NULL)
		entry->provider->show_details(control, entry->port, row);
	json_object_set_new(row, "drops", drops);
	return row;
}

int
msh_port_show(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	if (argc == 1) {
		const struct msh_port_entry *entry = msh_port_find(control, argv[0]);
		if (entry == NULL)
			return msh_answer_set(answer, MSH_NOTFOUND, "there is no port %s", argv[0]);
		answer->data = port_details(control, entry);
		return 0;
	}
	answer->data = json_array();
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++)
		if (control->port[i].port != NULL)
			json_array_append_new(answer->data, port_row(control, &control->port[i]));
	return 0;
}

/* All that ever was: the sum over all indices and lives, the switch's own packets with it. */
static void
sum_all(const struct msh_control *control, struct msh_port_counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int w = 0; w < control->datapath.worker_count; w++)
		for (unsigned int i = 0; i < MSH_PORTS_MAX; i++)
			add_counters(sum, &control->datapath.worker[w].counters[i], false);
}

int
msh_drop_show(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	struct msh_port_counters c;
	sum_all(control, &c);
	if (argc == 1) {
		const struct msh_port_entry *entry = msh_port_find(control, argv[0]);
		if (entry == NULL)
			return msh_answer_set(answer, MSH_NOTFOUND, "there is no port %s", argv[0]);
		msh_port_sum(control, entry->port->index, &c);
		c.tx_packets = c.forwarded; /* of what came by this port, whichever sent it */
	}
	json_t *reasons = json_array();
	for (unsigned int i = 0; i < MSH_DROP_COUNT; i++) {
		json_t *row = json_object();
		json_object_set_new(row, "reason", json_string(msh_drop_word(i)));
		msh_put(row, "packets", c.drop[i]);
		json_object_set_new(row, "meaning", json_string(msh_drop_help(i)));
		json_array_append_new(reasons, row);
	}
	answer->data = json_object();
	msh_put(answer->data, "received", c.rx_packets);
	msh_put(answer->data, "copies", c.copies);
	msh_put(answer->data, "sent", c.tx_packets);
	msh_put(answer->data, "dropped", sum_drops(&c));
	/* received + copies - sent - dropped: 0 at rest, else what is on its way from one worker to
	 * another. */
	json_object_set_new(answer->data, "in_flight",
		json_integer((json_int_t)(c.rx_packets + c.copies - c.tx_packets - sum_drops(&c))));
	json_object_set_new(answer->data, "reasons", reasons);
	return 0;
}
