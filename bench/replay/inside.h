/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The switch as it sets itself up, its main aside, with guests in this process. For one file of a
 * program only. */

#include <rte_version.h>

int mshswitch_main(int argc, char **argv);
#define main mshswitch_main
#include "../../switch/main.c" /* NOLINT(bugprone-suspicious-include) */
#undef main

#include "guest.h"

#define PORT(g) ((g) + 1) /* index of a guest's port */
#define GUESTS_MAX 4

static struct guest guest[GUESTS_MAX];

static void __attribute__((format(printf, 1, 2))) command(const char *format, ...)
{
	const struct msh_caller boot = {.who = MSH_WHO_OPERATOR};
	struct msh_answer answer = {0};
	char line[256];
	va_list list;
	va_start(list, format);
	vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	msh_command_run(&control, &boot, line, strlen(line), &answer);
	if (answer.status != MSH_OK)
		rte_panic("%s: %s\n", line, answer.text);
	msh_answer_clear(&answer);
}

/* The guests' ports are a, b and so on. */
static int
open_switch(unsigned int guests, const char *directory)
{
	const struct options options = {0};
	int rc = make_datapath(&control.datapath, &options);
	if (rc != 0)
		return rc;
	__atomic_store_n(&control.datapath.now, 1, __ATOMIC_RELAXED);
	for (unsigned int g = 0; g < guests; g++) {
		command("port add %c vhost %s/%c", 'a' + g, directory, 'a' + g);
		struct msh_port *port = control.port[PORT(g)].port;
		if (guest_open(&guest[g]) != 0)
			rte_panic("no memory for guests\n");
		port->queue[0].rings = &guest[g].rings;
		msh_port_set_up(port, true);
	}
	return 0;
}

/* A worker looks at the guest's port by this. */
static void
look_by(unsigned int g, uint16_t (*rx)(struct msh_port *port, uint16_t queue,
				struct rte_mbuf **packets, uint16_t n))
{
	static struct msh_port_ops ops;
	ops = msh_port_vhost_ops;
	ops.rx = rx;
	control.port[PORT(g)].port->ops = &ops;
}

static void
close_switch(unsigned int guests)
{
	for (unsigned int g = 0; g < guests; g++) {
		control.port[PORT(g)].port->queue[0].rings = NULL;
		guest_close(&guest[g]);
	}
	msh_retire_drain();
	msh_ports_close(&control);
	msh_vms_close(&control);
	msh_publish_end(&control);
	rte_eal_cleanup();
}
