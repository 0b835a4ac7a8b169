/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What the files of libmsh share. */

#include <endian.h>
#include <limits.h>
#include <sys/types.h>

#include "libmsh.h"

struct msh_guest {
	int fd;
	uint8_t *base;
	uint64_t size;
	char path[PATH_MAX];
	bool attached;
	struct msh_wire_header header; /* of the session attached to */
	uint32_t command_head;         /* ours: never read back from the region */
	uint32_t event_tail;
};

/* A wait for the switch, or for another process of this guest. */
struct msh_wait {
	int64_t deadline; /* ms; negative: none */
	unsigned int rounds;
};

/* What the lock of a way covers: the start of the bytes of the region that it uses. */
enum msh_way { MSH_WAY_SLOT = MSH_WIRE_SLOT_OFFSET, MSH_WAY_RING = MSH_WIRE_INDEX_OFFSET };

/* Set the sentence; returns -error. */
int msh_why_set(struct msh_guest_why *why, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

struct msh_wait msh_wait_start(int timeout_ms);

/* Pause a little. False once the time is over. */
bool msh_wait_more(struct msh_wait *wait);

/* Have a way for this handle alone. -EBUSY: not in time. Locks are those of the open file: released
 * by close, also of a process that was killed. */
int msh_way_lock(struct msh_guest *guest, enum msh_way way, struct msh_wait *wait,
	struct msh_guest_why *why);
void msh_way_unlock(struct msh_guest *guest, enum msh_way way);

static inline const struct msh_wire_header *
msh_header_raw(const struct msh_guest *guest)
{
	return (const struct msh_wire_header *)(guest->base + MSH_WIRE_HEADER_OFFSET);
}

static inline uint32_t
msh_load32(const void *word)
{
	return le32toh(__atomic_load_n((const uint32_t *)word, __ATOMIC_ACQUIRE));
}

static inline void
msh_store32(void *word, uint32_t value)
{
	__atomic_store_n((uint32_t *)word, htole32(value), __ATOMIC_RELEASE);
}
