/* SPDX-License-Identifier: BSD-3-Clause */

/* Ports of all kinds: add, del, show. */

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "log.h"
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
	if (strcmp(argv[argc - 1], "on") != 0 && strcmp(argv[argc - 1], "off") != 0)
		return msh_answer_set(
			answer, MSH_BAD, "learn is on or off, not '%s'", argv[argc - 1]);
	port->learn = strcmp(argv[argc - 1], "on") == 0;
	return argc - 2;
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
	port->pool = control->datapath.pool;
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
	if (rc != 0) {
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

void
msh_ports_check_links(struct msh_control *control)
{
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++)
		if (control->port[i].port != NULL && control->port[i].provider->check_link != NULL)
			control->port[i].provider->check_link(control->port[i].port);
}
