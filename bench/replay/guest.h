/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A guest with split rings in this process: its driver puts each packet into one descriptor, and
 * its buffers stay where they are. */

#include "vring.h"

#define GUEST_RING 256

struct guest_queue {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t offered, seen; /* the driver's indices into avail and used */
};

struct guest {
	uint8_t *memory;
	struct guest_queue tx, rx;
	struct msh_vrings rings; /* as the switch sees them */
	uint64_t received;
};

/* 0 or -ENOMEM. */
int guest_open(struct guest *guest);
void guest_close(struct guest *guest);

/* Where the frame of the next packet to send goes, of up to 2000 bytes; there is room for
 * GUEST_RING in a turn. */
uint8_t *guest_frame(struct guest *guest);
/* Send what was written there; unfinished: UDP over IPv4 without its checksum
 * (virtio 1.2, 5.1.6.2). */
void guest_send(struct guest *guest, uint32_t length, bool unfinished);

/* Take what came, and what was sent off. */
void guest_turn(struct guest *guest);
