/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Telling the sender of a packet that it was rejected. */

#include "worker.h"

/* Answers a second that a port gets at most from one worker; what is over is dropped in silence. */
#define MSH_REJECTS_MAX 1000

/* Send the answer to a packet, in the name of whom it was for, to the port that it came by: a TCP
 * reset (RFC 9293 3.10.7.1), else ICMP "administratively prohibited" (RFC 1812 5.2.7.1, RFC 4443
 * 3.1). None where RFC 1122 3.2.2 and RFC 4443 2.4 want none. The packet stays the caller's. */
void msh_reject(struct msh_worker *worker, const struct msh_config *config, uint16_t port,
	struct msh_packet *packet);
