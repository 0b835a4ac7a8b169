/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "control.h"

#define MSH_DEV_MACS_MAX 16 /* `mac` words of one port */

/* What follows the device in `port add NAME dev`. */
struct msh_dev_options {
	uint16_t queues; /* that packets come in by */
	uint16_t mtu;    /* 0: as the device has it */
	bool filtered;   /* promiscuous off */
	bool finished;   /* offloads off: packets are finished before they come to the device */
	bool vmdq;
	uint16_t mac_count;
	struct rte_ether_addr mac[MSH_DEV_MACS_MAX];
};

/* Words like `queues 2 mtu 9000`, in any order. 0 or the negative status of *answer. */
int msh_dev_parse(
	struct msh_dev_options *options, int argc, char *const *argv, struct msh_answer *answer);
