/* SPDX-License-Identifier: BSD-3-Clause */

/* Ports of all kinds: add, del, show. */

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "log.h"
#include "nodes.h"
#include "retire.h"
#include "words.h"

static const struct msh_port_provider *const providers[] = {
	&msh_port_vhost_provider, &msh_port_dev_provider};

struct msh_port_entry *
msh_port_find(struct msh_control *control, const char *name)
{
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++)
		if (control->port[i].port != NULL && strcmp(control->port[i].port->name, name) == 0)
			return &control->port[i];
	return NULL;
}

static const struct msh_port_provider *
find_provider(const char *kind)
{
	for (unsigned int i = 0; i < RTE_DIM(providers); i++)
		if (strcmp(providers[i]->kind, kind) == 0)
			return providers[i];
	return NULL;
}

static char *
join(int argc, char *const *argv)
{
	char text[MSH_LINE_MAX + 1] = "";
	msh_words_join(text, sizeof(text), argc, argv);
	return strdup(text);
}

/* Take `learn on|off` off the end of the arguments. Returns what is left of them, or the negative
 * status. */
static int
take_learn(struct msh_port *port, int argc, char *const *argv, struct msh_answer *answer)
{
	port->learn = true;
	if (argc < 2 || strcmp(argv[argc - 2], "learn") != 0)
		return argc;
	int rc = msh_parse_on_off("learn", argv[argc - 1], &port->learn, answer);
	return rc != 0 ? rc : argc - 2;
}

static uint16_t
free_index(const struct msh_control *control)
{
	for (uint16_t i = 1; i < MSH_PORTS_MAX; i++)
		if (control->port[i].port == NULL)
			return i;
	return 0;
}

static int
publish_port(struct msh_control *control, struct msh_port_entry *entry, struct msh_port *port,
	struct msh_answer *answer)
{
	msh_port_sum(control, port->index, &entry->base);
	entry->port = port;
	msh_queues_place(control, entry);
	if (entry->arguments != NULL && msh_publish_topology(control) == 0)
		return 0;
	entry->port = NULL;
	return msh_answer_set(answer, MSH_FAILED, "port %s: out of memory", port->name);
}

int
msh_port_add(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	const struct msh_port_provider *provider = find_provider(argv[1]);
	uint16_t index = free_index(control);
	if (!msh_is_name(argv[0]))
		return msh_answer_set(answer, MSH_BAD,
			"'%s' is no name: letters, digits, - _ . , at most %d of them", argv[0],
			MSH_NAME_MAX - 1);
	if (msh_port_find(control, argv[0]) != NULL)
		return msh_answer_set(answer, MSH_EXISTS, "port %s is there already", argv[0]);
	if (provider == NULL)
		return msh_answer_set(
			answer, MSH_BAD, "no kind of port is called '%s': vhost or dev", argv[1]);
	if (index == 0)
		return msh_answer_set(
			answer, MSH_FULL, "all %d ports are in use", MSH_PORTS_MAX - 1);

	struct msh_port *port =
		aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_ALIGN(sizeof(*port), RTE_CACHE_LINE_SIZE));
	if (port == NULL)
		return msh_answer_set(answer, MSH_FAILED, "port %s: out of memory", argv[0]);
	memset(port, 0, sizeof(*port));
	port->index = index;
	port->queues = 1;
	port->node = -1;
	port->pool = msh_node_pool(&control->datapath, port->node);
	snprintf(port->name, sizeof(port->name), "%s", argv[0]);
	msh_control_be_first(false);
	int left = take_learn(port, argc - 2, argv + 2, answer);
	int rc = left < 0 ? left : provider->open(control, port, left, argv + 2, answer);
	msh_control_be_first(true);
	if (rc != 0) {
		free(port);
		return rc;
	}
	struct msh_port_entry *entry = &control->port[index];
	*entry = (struct msh_port_entry){
		.provider = provider, .arguments = join(argc - 1, argv + 1)};
	rc = publish_port(control, entry, port, answer);
	if (rc == 0) {
		/* Once its queues have their workers. */
		struct msh_answer ignored = {0};
		msh_ports_take_addresses(control, &ignored);
	} else {
		provider->close(port);
		free(entry->arguments);
		free(port);
	}
	return rc;
}

/* Workers must not see the port any more. */
static void
close_port(struct msh_control *control, struct msh_port_entry *entry, struct msh_port *port)
{
	entry->provider->close(port);
	msh_fdb_flush(control->datapath.fdb, port->index);
	msh_static_macs_forget(control, port->index);
	free(entry->arguments);
	free(port);
	*entry = (struct msh_port_entry){0};
}

int
msh_port_del(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	struct msh_port_entry *entry = msh_port_find(control, argv[0]);
	if (entry == NULL)
		return msh_answer_set(answer, MSH_NOTFOUND, "there is no port %s", argv[0]);
	struct msh_port *port = entry->port;
	const struct msh_vm *vm = msh_vm_of_port(control, port->index);
	if (vm != NULL)
		return msh_answer_set(answer, MSH_DENIED, "port %s is of VM %s: `vm del %s` first",
			port->name, vm->name, vm->name);
	entry->port = NULL;
	if (msh_publish_topology(control) != 0) {
		entry->port = port;
		return msh_answer_set(answer, MSH_FAILED, "port %s: out of memory", port->name);
	}
	/* Twice: what a worker handed over to another in its last turn with the port is gone after
	 * one more. */
	msh_rcu_wait();
	msh_rcu_wait();
	close_port(control, entry, port);
	return 0;
}

void
msh_ports_close(struct msh_control *control)
{
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++)
		if (control->port[i].port != NULL)
			close_port(control, &control->port[i], control->port[i].port);
}

/* Workers let go of the port before its device is let go. It stays, and what is for it is dropped.
 */
static void
lose_device(struct msh_control *control, struct msh_port_entry *entry)
{
	entry->lost = true;
	if (msh_publish_topology(control) != 0) {
		entry->lost = false; /* next time */
		return;
	}
	msh_port_set_up(entry->port, false);
	msh_rcu_wait();
	if (!entry->provider->release(entry->port)) {
		MSH_LOG(WARNING, "port %s: its device is gone", entry->port->name);
		return;
	}
	entry->lost = false;
	if (msh_publish_topology(control) != 0)
		entry->lost = true;
	else
		entry->provider->check_link(entry->port);
	MSH_LOG(WARNING, "port %s: a device of it is gone", entry->port->name);
}

static void
check_link(struct msh_control *control, struct msh_port_entry *entry)
{
	const struct msh_port_provider *provider = entry->provider;
	if (entry->port == NULL || entry->lost)
		return;
	if (provider->is_leaving != NULL && provider->is_leaving(entry->port))
		lose_device(control, entry);
	else if (provider->check_link != NULL)
		provider->check_link(entry->port);
}

void
msh_ports_check_links(struct msh_control *control)
{
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++)
		check_link(control, &control->port[i]);
}

int
msh_ports_take_addresses(struct msh_control *control, struct msh_answer *answer)
{
	int rc = 0;
	for (unsigned int i = 1; rc == 0 && i < MSH_PORTS_MAX; i++) {
		const struct msh_port_entry *entry = &control->port[i];
		if (entry->port != NULL && entry->provider->addresses_changed != NULL)
			rc = entry->provider->addresses_changed(control, entry->port, answer);
	}
	return rc;
}
