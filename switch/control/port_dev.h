/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* For port_dev_open.c: devices whose drivers do not tell all, or leave things behind. Ports on
 * other devices pass through untouched. */

#include <rte_ethdev.h>

#include "control.h"

/* port_dev_memif.c: 0, or the negative status of *answer when a memif's socket cannot be made. */
int msh_memif_check(
	const struct msh_control *control, const char *devargs, struct msh_answer *answer);

/* port_dev_xdp.c: net_af_xdp. */
/* Before the queues are set up: a pool of its own. 0 or -ENOMEM. */
int msh_xdp_prepare(struct msh_port *port, const struct rte_eth_dev_info *info);
/* After that, whether it worked or not. */
void msh_xdp_started(const struct msh_port *port);
/* Before the driver closes the device, and after. */
void msh_xdp_stop(const struct msh_port *port);
void msh_xdp_closed(const struct msh_port *port);

/* port_dev_link.c: net_af_packet, net_af_xdp, net_tap. */
/* After the start: note which interface it is, and how long frames it takes. */
void msh_link_started(struct msh_port *port, const struct rte_eth_dev_info *info);
/* Whether it can send and receive now; up: what the driver says. */
bool msh_link_is_up(const struct msh_port *port, bool up);

/* The first of this program's file descriptors that is_it, or -1. */
int msh_find_fd(bool (*is_it)(int fd, const void *context), const void *context);
