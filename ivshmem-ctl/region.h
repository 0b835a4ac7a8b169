/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A VM's region: the file behind its ivshmem device, and the commands that come through it.
 * What the guest wrote is copied out once; nothing outside ivshmem-ctl ever sees the mapping. */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "answer.h"

struct msh_region;

struct msh_region_options {
	uint64_t size; /* bytes, a power of two; 0: that of the file, or MSH_WIRE_SIZE_DEFAULT for a
			  new one */
	mode_t mode;   /* of a new file; 0: 0600 */
	uid_t uid;     /* owner of a new file; (uid_t)-1: unchanged */
	gid_t gid;
};

/* One command, in private memory. */
struct msh_region_command {
	bool from_ring;  /* else from the text slot */
	uint64_t cookie; /* of a ring's record */
	uint32_t length;
	char text[MSH_WIRE_COMMAND_MAX + 1]; /* terminated; may hold any byte */
};

struct msh_region_counters {
	uint64_t slot_commands, ring_commands, answers, events;
	uint64_t errors;      /* malformed indices, lengths, unterminated slots */
	uint64_t events_lost; /* the guest did not read its ring */
};

/* Map the file, making it when it is not there, and write the header of a new session.
 * 0, or the negative status of *why. */
int msh_region_open(struct msh_region **region, const char *path,
	const struct msh_region_options *options, struct msh_answer *why);

/* Unmap; `remove`: unlink the file if this region made it. */
void msh_region_close(struct msh_region *region, bool remove);

/* Take the next command. 1: *command is filled and must be answered; 0: none, or the last one is
 * not answered yet; -EIO: the file was
 * truncated under the mapping, the region is of no use any more. Bounded work; now_ns is any
 * monotonic clock. */
int msh_region_poll(struct msh_region *region, uint64_t now_ns, struct msh_region_command *command);

/* Answer the command that poll gave last. */
void msh_region_answer(struct msh_region *region, const struct msh_region_command *command,
	const struct msh_answer *answer);

/* Tell the guest something unasked: one line. Lost, and counted, when its ring is full. */
void msh_region_event(struct msh_region *region, const char *text);

const struct msh_region_counters *msh_region_counters(const struct msh_region *region);
uint64_t msh_region_size(const struct msh_region *region);
