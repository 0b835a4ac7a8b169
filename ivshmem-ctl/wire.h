/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Layout of a VM's ivshmem region, as both sides see it. The switch and the
 * guest include this file, so it needs nothing but the C library.
 * All integers are little endian. docs/protocol.md explains it byte by byte.
 *
 *   0         text slot     "@command@" in, one answer out, NUL terminated
 *   4096      header        written by the switch when it attaches
 *   8192      ring indices  each on a cache line of its own
 *   size/4    command ring  size/4 bytes, guest to switch
 *   size/2    event ring    size/4 bytes, switch to guest
 */

#include <stdint.h>

#define MSH_WIRE_PCI_VENDOR 0x1af4
#define MSH_WIRE_PCI_DEVICE 0x1110
#define MSH_WIRE_PCI_BAR 2

#define MSH_WIRE_SIZE_MIN (64u << 10)
#define MSH_WIRE_SIZE_MAX (256u << 20)
#define MSH_WIRE_SIZE_DEFAULT (1u << 20)

#define MSH_WIRE_SLOT_OFFSET 0u
#define MSH_WIRE_SLOT_SIZE 4096u
#define MSH_WIRE_SLOT_MARK '@'
#define MSH_WIRE_HEADER_OFFSET 4096u
#define MSH_WIRE_INDEX_OFFSET 8192u

#define MSH_WIRE_MAGIC 0x3148534du /* "MSH1" in memory */
#define MSH_WIRE_ABI 1

/* Longest command text, without a terminator. */
#define MSH_WIRE_COMMAND_MAX 1024u
/* Longest answer text; what is longer ends in a line that says how much was cut. */
#define MSH_WIRE_ANSWER_MAX 3840u

/* Feature bits offered by the switch. */
#define MSH_WIRE_F_TEXT (1ull << 0)   /* the text slot is served */
#define MSH_WIRE_F_RING (1ull << 1)   /* the rings are served */
#define MSH_WIRE_F_EVENTS (1ull << 2) /* events arrive between the answers */

struct msh_wire_header {
	uint32_t magic; /* stored last: what else is here is valid once it reads MSH_WIRE_MAGIC */
	uint16_t abi;
	uint16_t header_size;
	uint64_t features;
	uint64_t session; /* differs at each attach: the guest then starts again at index 0 */
	uint32_t region_size;
	uint32_t command_offset, command_size; /* sizes are powers of two */
	uint32_t event_offset, event_size;
	uint32_t command_max, answer_max; /* bytes of text in one record */
};

/* Free-running byte counts, modulo 2^32; a position is the count modulo the ring's size.
 * The producer stores head after the record (release), the consumer tail after its copy. */
struct msh_wire_index {
	uint32_t command_head; /* guest writes */
	uint8_t pad0[60];
	uint32_t command_tail; /* switch writes */
	uint8_t pad1[60];
	uint32_t event_head; /* switch writes */
	uint8_t pad2[60];
	uint32_t event_tail; /* guest writes */
	uint8_t pad3[60];
};

/* A record: this head, then `length` bytes of text, padded with zeros to a multiple of 8.
 * Records go on at the ring's start when they reach its end. */
struct msh_wire_record {
	uint32_t length; /* bytes of text that follow */
	uint16_t kind;   /* enum msh_wire_kind */
	uint16_t status; /* of an answer: enum msh_status; else 0 */
	uint64_t cookie; /* chosen by the guest, returned in the answer; 0 in events */
};

enum msh_wire_kind {
	MSH_WIRE_COMMAND = 1, /* guest to switch */
	MSH_WIRE_ANSWER = 2,  /* switch to guest, one for each command, in order */
	MSH_WIRE_EVENT = 3,   /* switch to guest, unasked */
};

/* Status of an answer. The text form of an answer starts with the same word. */
#define MSH_STATUS_LIST(X)                                              \
	X(0, OK, "done")                                                \
	X(1, BAD, "the command is malformed")                           \
	X(2, DENIED, "the caller may not do this")                      \
	X(3, NOTFOUND, "what the command names is not there")           \
	X(4, EXISTS, "what the command adds is there already")          \
	X(5, FULL, "a table or quota is full")                          \
	X(6, UNSUPPORTED, "understood, but not offered by this switch") \
	X(7, THROTTLED, "too many commands, try again later")           \
	X(8, FAILED, "the system refused: device, file or memory")

enum msh_status {
#define X(number, name, text) MSH_##name = number,
	MSH_STATUS_LIST(X)
#undef X
};

static inline uint32_t
msh_wire_record_size(uint32_t length)
{
	return (uint32_t)sizeof(struct msh_wire_record) + ((length + 7u) & ~7u);
}

_Static_assert(sizeof(struct msh_wire_record) == 16, "record head is 16 bytes");
_Static_assert(sizeof(struct msh_wire_index) == 256, "index block is four cache lines");
_Static_assert(sizeof(struct msh_wire_header) == 56, "header is 56 bytes");
