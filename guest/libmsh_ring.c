/* SPDX-License-Identifier: BSD-3-Clause */

/* The rings: many commands in flight, events between the answers. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libmsh_private.h"

static struct msh_wire_index *
ring_index(struct msh_guest *guest)
{
	return (struct msh_wire_index *)(guest->base + MSH_WIRE_INDEX_OFFSET);
}

/* Go on where the process before us stopped; if what it left cannot be true, with empty rings. */
static void
ring_resume(struct msh_guest *guest, const struct msh_wire_header *header)
{
	struct msh_wire_index *index = ring_index(guest);
	uint32_t command_tail = msh_load32(&index->command_tail);
	uint32_t event_head = msh_load32(&index->event_head);

	guest->command_head = msh_load32(&index->command_head);
	if (guest->command_head - command_tail > header->command_size ||
		guest->command_head % 8 != 0)
		guest->command_head = command_tail;
	guest->event_tail = msh_load32(&index->event_tail);
	if (event_head - guest->event_tail > header->event_size || guest->event_tail % 8 != 0)
		guest->event_tail = event_head;
	msh_store32(&index->command_head, guest->command_head);
	msh_store32(&index->event_tail, guest->event_tail);
}

int
msh_guest_attach(struct msh_guest *guest, int timeout_ms, struct msh_guest_why *why)
{
	struct msh_wait wait = msh_wait_start(timeout_ms);
	struct msh_wire_header header;
	int rc = msh_way_lock(guest, MSH_WAY_RING, &wait, why);

	if (rc < 0)
		return rc;
	while ((rc = msh_guest_header(guest, &header, why)) == -ENOTCONN && msh_wait_more(&wait))
		;
	if (rc < 0)
		return rc;
	if ((header.features & MSH_WIRE_F_RING) == 0)
		return msh_why_set(why, ENOTSUP, "the switch offers no rings in this region");
	if (guest->attached && guest->header.session != header.session) {
		/* The switch has zeroed all four indices; our own stores may have come after that.
		 */
		guest->command_head = 0;
		guest->event_tail = 0;
		msh_store32(&ring_index(guest)->command_head, 0);
		msh_store32(&ring_index(guest)->event_tail, 0);
	} else if (!guest->attached) {
		ring_resume(guest, &header);
	}
	guest->header = header;
	guest->attached = true;
	return 0;
}

static int
session_check(const struct msh_guest *guest, struct msh_guest_why *why)
{
	const struct msh_wire_header *raw = msh_header_raw(guest);

	if (!guest->attached)
		return msh_why_set(why, ESTALE, "the rings are not attached");
	if (msh_load32(&raw->magic) != MSH_WIRE_MAGIC)
		return msh_why_set(why, ESTALE, "the switch went away");
	if (le64toh(__atomic_load_n(&raw->session, __ATOMIC_ACQUIRE)) != guest->header.session)
		return msh_why_set(
			why, ESTALE, "the switch restarted: commands in flight are lost");
	return 0;
}

static void
ring_write(uint8_t *ring, uint32_t size, uint32_t position, const void *bytes, uint32_t length)
{
	uint32_t at = position & (size - 1);
	uint32_t first = length < size - at ? length : size - at;

	memcpy(ring + at, bytes, first);
	memcpy(ring, (const uint8_t *)bytes + first, length - first);
}

static void
ring_read(const uint8_t *ring, uint32_t size, uint32_t position, void *bytes, uint32_t length)
{
	uint32_t at = position & (size - 1);
	uint32_t first = length < size - at ? length : size - at;

	memcpy(bytes, ring + at, first);
	memcpy((uint8_t *)bytes + first, ring, length - first);
}

int
msh_guest_submit(struct msh_guest *guest, uint64_t cookie, const char *text, uint32_t length,
	struct msh_guest_why *why)
{
	static const char zeros[8];
	uint8_t *ring = guest->base + guest->header.command_offset;
	uint32_t size = guest->header.command_size, head = guest->command_head;
	uint32_t need, used, padding = -length & 7u;
	struct msh_wire_record record = {
		htole32(length), htole16(MSH_WIRE_COMMAND), 0, htole64(cookie)};
	int rc = session_check(guest, why);

	if (rc < 0)
		return rc;
	if (length > guest->header.command_max)
		return msh_why_set(why, EMSGSIZE, "the command has %u bytes, the switch takes %u",
			length, guest->header.command_max);
	need = msh_wire_record_size(length);
	used = head - msh_load32(&ring_index(guest)->command_tail);
	if (used > size)
		return msh_why_set(why, EPROTO, "the command ring is broken: %u of %u bytes in use",
			used, size);
	if (need > size - used)
		return msh_why_set(why, EAGAIN,
			"the command ring is full: the switch reads slower than we write");
	ring_write(ring, size, head, &record, sizeof(record));
	ring_write(ring, size, head + (uint32_t)sizeof(record), text, length);
	ring_write(ring, size, head + (uint32_t)sizeof(record) + length, zeros, padding);
	rc = session_check(guest, why);
	if (rc < 0)
		return rc;
	guest->command_head = head + need;
	msh_store32(&ring_index(guest)->command_head, guest->command_head);
	return 0;
}

/* The ring cannot be read: skip all it holds, so that what comes later can be. */
static int
event_discard(struct msh_guest *guest, uint32_t used, struct msh_guest_why *why)
{
	guest->event_tail += used;
	msh_store32(&ring_index(guest)->event_tail, guest->event_tail);
	return msh_why_set(
		why, EPROTO, "the event ring is broken: its %u bytes were discarded", used);
}

/* One record off the event ring, of any kind. 1, 0 when it is empty, -EPROTO. */
static int
event_take(struct msh_guest *guest, struct msh_guest_message *message, struct msh_guest_why *why)
{
	const uint8_t *ring = guest->base + guest->header.event_offset;
	uint32_t size = guest->header.event_size, tail = guest->event_tail, length;
	uint32_t used = msh_load32(&ring_index(guest)->event_head) - tail;
	struct msh_wire_record record;

	if (used == 0)
		return 0;
	if (used > size || used % 8 != 0 || used < sizeof(record))
		return event_discard(guest, used, why);
	ring_read(ring, size, tail, &record, sizeof(record));
	length = le32toh(record.length);
	if (length > size || msh_wire_record_size(length) > used)
		return event_discard(guest, used, why);
	message->kind = (enum msh_wire_kind)le16toh(record.kind);
	message->status = (enum msh_status)le16toh(record.status);
	message->cookie = le64toh(record.cookie);
	message->length = length < MSH_WIRE_ANSWER_MAX ? length : MSH_WIRE_ANSWER_MAX;
	ring_read(ring, size, tail + (uint32_t)sizeof(record), message->text, message->length);
	message->text[message->length] = '\0';
	guest->event_tail = tail + msh_wire_record_size(length);
	msh_store32(&ring_index(guest)->event_tail, guest->event_tail);
	return 1;
}

int
msh_guest_receive(struct msh_guest *guest, struct msh_guest_message *message, int timeout_ms,
	struct msh_guest_why *why)
{
	struct msh_wait wait = msh_wait_start(timeout_ms);
	int rc;

	do {
		rc = session_check(guest, why);
		if (rc < 0)
			return rc;
		while ((rc = event_take(guest, message, why)) > 0) {
			/* Kinds that we do not know are for newer guests. */
			if (message->kind == MSH_WIRE_ANSWER || message->kind == MSH_WIRE_EVENT)
				return 1;
		}
		if (rc < 0)
			return rc;
	} while (msh_wait_more(&wait));
	return 0;
}

static int
answer_await(struct msh_guest *guest, uint64_t cookie, struct msh_guest_message *answer,
	struct msh_wait *wait, struct msh_guest_why *why)
{
	struct msh_guest_why complaint = {"is the switch running?"};
	int rc;

	do {
		rc = msh_guest_receive(guest, answer, 0, why);
		if (rc < 0)
			return rc;
		if (rc == 1 && answer->kind == MSH_WIRE_ANSWER && answer->cookie == cookie)
			return 0;
		/* The switch speaks of the ring itself. */
		if (rc == 1 && answer->kind == MSH_WIRE_ANSWER && answer->cookie == 0)
			snprintf(complaint.text, sizeof(complaint.text), "%.200s", answer->text);
	} while (rc == 1 || msh_wait_more(wait));
	return msh_why_set(why, ETIMEDOUT, "no answer in time: %.200s", complaint.text);
}

int
msh_guest_call(struct msh_guest *guest, const char *text, struct msh_guest_message *answer,
	int timeout_ms, struct msh_guest_why *why)
{
	struct msh_wait wait = msh_wait_start(timeout_ms);
	uint64_t cookie = msh_guest_cookie();
	int rc;

	while ((rc = msh_guest_submit(guest, cookie, text, (uint32_t)strlen(text), why)) ==
		-EAGAIN) {
		/* The switch does not go on while its answers find no room. */
		int received = msh_guest_receive(guest, answer, 0, why);

		if (received < 0)
			return received;
		if (received == 0 && !msh_wait_more(&wait))
			return rc;
	}
	if (rc < 0)
		return rc;
	return answer_await(guest, cookie, answer, &wait, why);
}
