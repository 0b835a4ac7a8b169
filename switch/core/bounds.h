/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Sizes that more than one layer must agree on. */

#define MSH_PORTS_MAX 512  /* ports of all kinds; index 0 is the switch itself */
#define MSH_VMS_MAX 512    /* index 0 means "no VM" */
#define MSH_WORKERS_MAX 16 /* worker lcores */
#define MSH_QUEUES_MAX 16  /* rx queues, or queue pairs of a guest, of one port */
#define MSH_BURST_MAX 32   /* packets handled in one turn; at most 64, for the bit masks */
#define MSH_FRAME_MAX (65535 + 14 + 2 * 4) /* the longest IP packet behind two tags */
#define MSH_NAME_MAX 32                    /* bytes of a port or VM name, with its terminator */
#define MSH_VM_MACS_MAX 16                 /* MACs, and ports, of one VM */
#define MSH_VM_IPS_MAX 16                  /* IP addresses of one VM */
#define MSH_LINE_MAX 1024                  /* bytes of one command, without its terminator */
#define MSH_WORDS_MAX 64                   /* words of one command */

/* Port index of the switch itself: source of packets that the control lcore makes (ARP). */
#define MSH_PORT_SELF 0
