/* SPDX-License-Identifier: BSD-3-Clause */

/* The rings. Our two indices are private and only ever stored to the region; the guest's two are
 * loaded once a call and believed only as far as they can be true.
 *
 * A command ring that cannot be true (an index or a record) is emptied: tail = head. The guest's
 * own head stays as it is and whatever it adds from there on is served, so that it recovers without
 * a handshake. An event tail that cannot be true is ignored and the last good one stays in force:
 * the ring fills up, this guest's ring commands then wait, and nobody else's do. Storing event_head
 * to event_tail ("I have read everything") always recovers. */

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "region_ring.h"

#define INDEX(member) (MSH_WIRE_INDEX_OFFSET + offsetof(struct msh_wire_index, member))

void
msh_ring_init(struct msh_ring *ring, struct msh_map *map, struct msh_region_counters *counters)
{
	uint32_t quarter = (uint32_t)map->size / 4;

	*ring = (struct msh_ring){.map = map,
		.counters = counters,
		.command_offset = quarter,
		.command_size = quarter,
		.event_offset = 2 * quarter,
		.event_size = quarter};
	msh_map_store32(map, INDEX(command_head), 0);
	msh_map_store32(map, INDEX(command_tail), 0);
	msh_map_store32(map, INDEX(event_head), 0);
	msh_map_store32(map, INDEX(event_tail), 0);
}

static void
commands_copy(struct msh_ring *ring, uint32_t count, void *to, uint32_t length)
{
	uint32_t at = count & (ring->command_size - 1);
	uint32_t first = ring->command_size - at;

	if (first > length)
		first = length;
	msh_map_copy_in(ring->map, ring->command_offset + at, to, first);
	msh_map_copy_in(ring->map, ring->command_offset, (uint8_t *)to + first, length - first);
}

static void
events_copy(struct msh_ring *ring, uint32_t count, const void *from, uint32_t length)
{
	uint32_t at = count & (ring->event_size - 1);
	uint32_t first = ring->event_size - at;

	if (first > length)
		first = length;
	msh_map_copy_out(ring->map, ring->event_offset + at, from, first);
	msh_map_copy_out(
		ring->map, ring->event_offset, (const uint8_t *)from + first, length - first);
}

static uint32_t
room(const struct msh_ring *ring)
{
	return ring->event_size - (ring->event_head - ring->event_tail);
}

/* Append a record. False: no room. */
static bool
push(struct msh_ring *ring, struct msh_wire_record record, const char *text)
{
	static const uint8_t zeros[8];
	uint32_t size = msh_wire_record_size(record.length);
	uint32_t used = (uint32_t)sizeof(record) + record.length;

	if (size > room(ring))
		return false;
	events_copy(ring, ring->event_head, &record, sizeof(record));
	events_copy(ring, ring->event_head + (uint32_t)sizeof(record), text, record.length);
	events_copy(ring, ring->event_head + used, zeros, size - used);
	ring->event_head += size;
	msh_map_store32(ring->map, INDEX(event_head), ring->event_head);
	return true;
}

static void
push_answer(struct msh_ring *ring, uint64_t cookie, const struct msh_answer *answer)
{
	char text[MSH_WIRE_ANSWER_MAX + 1];
	struct msh_wire_record record = {
		.kind = MSH_WIRE_ANSWER, .status = (uint16_t)answer->status, .cookie = cookie};

	record.length = (uint32_t)msh_answer_text(answer, text, sizeof(text));
	if (push(ring, record, text))
		ring->counters->answers++;
}

/* Append an event, if there is room beyond that of an answer that is due. */
static void
push_event(struct msh_ring *ring, const char *text)
{
	struct msh_wire_record record = {.kind = MSH_WIRE_EVENT};
	uint32_t kept = ring->answer_due ? msh_wire_record_size(MSH_WIRE_ANSWER_MAX) : 0;
	size_t length = strlen(text);
	bool fits;

	record.length = length < MSH_WIRE_ANSWER_MAX ? (uint32_t)length : MSH_WIRE_ANSWER_MAX;
	fits = room(ring) >= kept + msh_wire_record_size(record.length) && push(ring, record, text);
	*(fits ? &ring->counters->events : &ring->counters->events_lost) += 1;
}

/* Believe the guest's event tail if it lies between its predecessor and our head. A bad one is
 * counted, and told, when it appears, not at each look. Told by an event: no command was lost. */
static void
event_tail_load(struct msh_ring *ring)
{
	uint32_t tail = msh_map_load32(ring->map, INDEX(event_tail));
	char why[160];

	if (tail % 8 == 0 && tail - ring->event_tail <= ring->event_head - ring->event_tail) {
		ring->event_tail = tail;
		ring->tail_is_bad = false;
		return;
	}
	if (ring->tail_is_bad && tail == ring->bad_tail)
		return;
	ring->tail_is_bad = true;
	ring->bad_tail = tail;
	ring->counters->errors++;
	snprintf(why, sizeof(why),
		"event_tail %" PRIu32 " is not a multiple of 8 from %" PRIu32
		" to event_head %" PRIu32 ": ignored, store event_head there to go on",
		tail, ring->event_tail, ring->event_head);
	push_event(ring, why);
}

/* Empty the command ring, and say why. */
static bool
discard(struct msh_ring *ring, uint32_t head, uint64_t cookie, const char *what)
{
	uint32_t pending = head - ring->command_tail;
	struct msh_answer why = {0};

	ring->counters->errors++;
	ring->command_tail = head;
	msh_map_store32(ring->map, INDEX(command_tail), head);
	msh_answer_set(&why, MSH_BAD,
		"%s: all %" PRIu32 " pending bytes of the command ring were discarded", what,
		pending);
	push_answer(ring, cookie, &why);
	msh_answer_clear(&why);
	return false;
}

/* True: the record can be what its head says. */
static bool
record_check(const struct msh_wire_record *record, uint32_t pending, char *why, size_t size)
{
	if (record->kind != MSH_WIRE_COMMAND)
		snprintf(why, size, "a record of kind %u in the command ring, not %u", record->kind,
			MSH_WIRE_COMMAND);
	else if (record->length > MSH_WIRE_COMMAND_MAX)
		snprintf(why, size,
			"a command of %" PRIu32 " bytes in the ring, the longest has %u",
			record->length, MSH_WIRE_COMMAND_MAX);
	else if (msh_wire_record_size(record->length) > pending)
		snprintf(why, size,
			"a record of %" PRIu32 " bytes where command_head leaves %" PRIu32,
			msh_wire_record_size(record->length), pending);
	else
		return true;
	return false;
}

bool
msh_ring_take(struct msh_ring *ring, struct msh_region_command *command)
{
	struct msh_wire_record record;
	uint32_t head, pending;
	char why[128];

	event_tail_load(ring);
	/* Backpressure: what could not be answered stays in the ring. The answer to a bad record
	 * has room, too. */
	if (room(ring) < msh_wire_record_size(MSH_WIRE_ANSWER_MAX))
		return false;
	head = msh_map_load32(ring->map, INDEX(command_head));
	pending = head - ring->command_tail;
	if (!pending)
		return false;
	if (pending > ring->command_size || pending % 8 || pending < sizeof(record)) {
		snprintf(why, sizeof(why),
			"command_head %" PRIu32 " cannot follow command_tail %" PRIu32, head,
			ring->command_tail);
		return discard(ring, head, 0, why);
	}
	commands_copy(ring, ring->command_tail, &record, sizeof(record));
	if (!record_check(&record, pending, why, sizeof(why)))
		return discard(ring, head, record.cookie, why);

	command->from_ring = true;
	command->cookie = record.cookie;
	command->length = record.length;
	commands_copy(
		ring, ring->command_tail + (uint32_t)sizeof(record), command->text, record.length);
	command->text[record.length] = 0;
	ring->command_tail += msh_wire_record_size(record.length);
	msh_map_store32(ring->map, INDEX(command_tail), ring->command_tail);
	ring->answer_due = true;
	ring->counters->ring_commands++;
	return true;
}

void
msh_ring_answer(struct msh_ring *ring, uint64_t cookie, const struct msh_answer *answer)
{
	push_answer(ring, cookie, answer);
	ring->answer_due = false;
}

void
msh_ring_event(struct msh_ring *ring, const char *text)
{
	event_tail_load(ring);
	push_event(ring, text);
}
