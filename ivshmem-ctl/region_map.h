/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A mapped region, and the only code that dereferences it. The guest may change any byte at any
 * moment, so:
 *  - every access is checked against the mapping's bounds;
 *  - every access is volatile or atomic, so that the compiler cannot read a byte twice where the
 * code reads it once (a check and a use would then see different values);
 *  - the base is a number: using it elsewhere takes a cast that a reviewer sees.
 * Control lcore only. An access never fails: when the file was truncated, SIGBUS puts zero pages in
 * its place and sets `broken` (region.c), which callers look at once, at the end. An access out of
 * bounds would be a bug of ours: it is refused and breaks the region too, so that it costs one VM
 * its offloads and not all VMs their switch. */

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"the region is little endian, and so must we be");

struct msh_map {
	uintptr_t base; /* page aligned; 0: this entry is free. Stored last, atomically: SIGBUS
			   reads it */
	size_t size;
	dev_t dev; /* which file: two regions must not share one */
	ino_t ino;
	volatile sig_atomic_t broken; /* set by SIGBUS, never cleared while mapped */
};

/* The switch's types must not make the compiler assume anything about memory that others write too.
 */
typedef uint64_t __attribute__((may_alias)) msh_map_u64;
typedef uint32_t __attribute__((may_alias)) msh_map_u32;

static inline bool
msh_map_inside(struct msh_map *map, size_t offset, size_t length, size_t align)
{
	if (length <= map->size && offset <= map->size - length && offset % align == 0)
		return true;
	map->broken = 1;
	return false;
}

/* Acquire: what the guest stored before this value is seen by the copies that follow. */
static inline uint8_t
msh_map_load8(struct msh_map *map, size_t offset)
{
	if (!msh_map_inside(map, offset, 1, 1))
		return 0;
	return __atomic_load_n((const volatile uint8_t *)(map->base + offset), __ATOMIC_ACQUIRE);
}

static inline uint32_t
msh_map_load32(struct msh_map *map, size_t offset)
{
	if (!msh_map_inside(map, offset, 4, 4))
		return 0;
	return __atomic_load_n(
		(const volatile msh_map_u32 *)(map->base + offset), __ATOMIC_ACQUIRE);
}

/* Release: a guest that sees this value sees everything stored before it. */
static inline void
msh_map_store8(struct msh_map *map, size_t offset, uint8_t value)
{
	if (msh_map_inside(map, offset, 1, 1))
		__atomic_store_n((volatile uint8_t *)(map->base + offset), value, __ATOMIC_RELEASE);
}

static inline void
msh_map_store32(struct msh_map *map, size_t offset, uint32_t value)
{
	if (msh_map_inside(map, offset, 4, 4))
		__atomic_store_n(
			(volatile msh_map_u32 *)(map->base + offset), value, __ATOMIC_RELEASE);
}

/* Copy to private memory, each byte read once. */
static inline void
msh_map_copy_in(struct msh_map *map, size_t offset, void *private, size_t length)
{
	uint8_t *to = private;
	uintptr_t from = map->base + offset;

	if (!msh_map_inside(map, offset, length, 1)) {
		memset(private, 0, length);
		return;
	}
	while (length) {
		if (from % 8 == 0 && length >= 8) {
			uint64_t word = *(const volatile msh_map_u64 *)from;

			memcpy(to, &word, 8);
			from += 8, to += 8, length -= 8;
		} else {
			*to = *(const volatile uint8_t *)from;
			from++, to++, length--;
		}
	}
}

/* Copy from private memory. Publish with one of the stores above afterwards. */
static inline void
msh_map_copy_out(struct msh_map *map, size_t offset, const void *private, size_t length)
{
	const uint8_t *from = private;
	uintptr_t to = map->base + offset;

	if (!msh_map_inside(map, offset, length, 1))
		return;
	while (length) {
		if (to % 8 == 0 && length >= 8) {
			uint64_t word;

			memcpy(&word, from, 8);
			*(volatile msh_map_u64 *)to = word;
			from += 8, to += 8, length -= 8;
		} else {
			*(volatile uint8_t *)to = *from;
			from++, to++, length--;
		}
	}
}
