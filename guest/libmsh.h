/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A guest's side of its region (wire.h, docs/protocol.md). libc only: copy libmsh.h, libmsh.c and
 * wire.h.
 *
 * Two ways to the switch: the text slot, one command at a time, and the rings, many in flight with
 * events between the answers. Processes of one guest share a region: each way is locked for the one
 * that uses it. A handle belongs to one thread.
 *
 * Every int function returns 0 or more, or -errno with one sentence for a person in *why. The
 * switch is not trusted with more than words: whatever it writes, nothing outside the mapping is
 * touched. Timeouts are in milliseconds; 0: do not wait, negative: for ever. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct msh_guest;

struct msh_guest_why {
	char text[256];
};

/* What the switch sent: an answer or an event. */
struct msh_guest_message {
	enum msh_wire_kind kind;
	enum msh_status status; /* of an answer */
	uint64_t cookie;        /* of an answer: that of its command */
	uint32_t length;
	char text[MSH_WIRE_ANSWER_MAX + 1]; /* terminated */
};

/* Map the region: of the first ivshmem device of this guest (path NULL), or the file `path`: a
 * device's resource2, or on a host the file behind it. Says nothing of whether a switch serves it.
 * -ENODEV no device, -EINVAL not of a region's size, else as open(2) and mmap(2). */
int msh_guest_open(struct msh_guest **guest, const char *path, struct msh_guest_why *why);

void msh_guest_close(struct msh_guest *guest);

/* Path of what is mapped, and its bytes. */
const char *msh_guest_path(const struct msh_guest *guest);
uint64_t msh_guest_size(const struct msh_guest *guest);

/* Copy the header, in host byte order, once it is whole and plausible.
 * -ENOTCONN no switch serves the region, -EPROTO the header is broken or of another ABI. */
int msh_guest_header(
	const struct msh_guest *guest, struct msh_wire_header *header, struct msh_guest_why *why);

/* Text slot, raw, as the seed's helper does it: no lock, no wait, no header needed. Read copies up
 * to size - 1 bytes and terminates; it returns the length. Write: -EMSGSIZE. */
size_t msh_guest_slot_read(const struct msh_guest *guest, char *text, size_t size);
int msh_guest_slot_write(struct msh_guest *guest, const char *text, struct msh_guest_why *why);

/* Send one command (without the marks) through the slot and wait for its answer. The status is that
 * of the text's first word. -EINVAL the text is no command, -EMSGSIZE, -EBUSY another process uses
 * the slot, -ETIMEDOUT, -EPROTO the answer has no status; and what msh_guest_header returns. */
int msh_guest_slot_call(struct msh_guest *guest, const char *text, struct msh_guest_message *answer,
	int timeout_ms, struct msh_guest_why *why);

/* Take the rings, for this process alone, until close; again after -ESTALE. Waits for another
 * process and for the switch. -EBUSY another process has them, -ENOTSUP the switch offers no rings;
 * and what msh_guest_header returns. */
int msh_guest_attach(struct msh_guest *guest, int timeout_ms, struct msh_guest_why *why);

/* Put one command into the ring. -EAGAIN no room now (receive, then try again), -EMSGSIZE, -EPROTO
 * the ring is broken, -ESTALE the switch went or restarted: what was in flight is lost, attach
 * again. */
int msh_guest_submit(struct msh_guest *guest, uint64_t cookie, const char *text, uint32_t length,
	struct msh_guest_why *why);

/* Take the next message, in the order sent. 1: *message is filled; 0: none in time; -EPROTO,
 * -ESTALE as for submit. A text longer than the buffer is cut. */
int msh_guest_receive(struct msh_guest *guest, struct msh_guest_message *message, int timeout_ms,
	struct msh_guest_why *why);

/* Submit one command and wait for its answer, dropping events and stale answers on the way.
 * -ETIMEDOUT; and what submit and receive return. */
int msh_guest_call(struct msh_guest *guest, const char *text, struct msh_guest_message *answer,
	int timeout_ms, struct msh_guest_why *why);

/* A cookie that no other process of this guest is using: count up from it. */
uint64_t msh_guest_cookie(void);

/* Word of a status ("OK", "BAD", ...), or NULL. */
const char *msh_guest_status_word(unsigned int status);
