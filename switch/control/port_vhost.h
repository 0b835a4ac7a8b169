/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What vhost's thread does with a port's rings. */

#include "port.h"

/* Let librte_vhost's thread see a socket that was just made. */
void msh_vhost_wake(void);

/* Serve the first pairs of this device's rings by our own code from now on, where it can. No worker
 * may be in them: the port's vid is -1. */
void msh_vrings_take(struct msh_port *port, int vid, uint16_t pairs);

/* Wait until no worker is in the device's rings, ours or librte_vhost's; the port's vid is -1
 * already. Afterwards librte_vhost knows where ours stood. */
void msh_vrings_give_back(struct msh_port *port, int vid);
