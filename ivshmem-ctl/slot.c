/* SPDX-License-Identifier: BSD-3-Clause */

/* The text slot, for guests that know nothing but "@command@" (the seed's helper, or a shell with
 * dd).
 *
 * Such a guest copies its string with memcpy or write, whose stores may become visible in any
 * order: both marks can be there before what lies between them. So a command is taken only when two
 * looks in a row saw the same bytes. That makes a torn command unlikely, not impossible; a guest
 * that stores the first mark last, after the rest, is safe. */

#include <string.h>

#include "region_slot.h"

/* How long a text without a closing mark may stay as it is. */
#define UNTERMINATED_NS 1000000000ull

void
msh_slot_answer(struct msh_slot *slot, const struct msh_answer *answer)
{
	char text[MSH_WIRE_SLOT_SIZE] = "";
	size_t length = msh_answer_text(answer, text, MSH_WIRE_ANSWER_MAX + 1);

	/* An answer must not look like a command, nor end the next one, which is copied over it. */
	for (size_t i = 0; i < length; i++)
		if (text[i] == MSH_WIRE_SLOT_MARK)
			text[i] = '?';
	/* Up to the end of the slot: nothing of the command or of an older answer remains. */
	msh_map_copy_out(slot->map, MSH_WIRE_SLOT_OFFSET + 1, text + 1, sizeof(text) - 1);
	/* Last: whoever sees that the mark is gone sees the whole answer. */
	msh_map_store8(slot->map, MSH_WIRE_SLOT_OFFSET, (uint8_t)text[0]);
	slot->seen = false;
	slot->counters->answers++;
}

/* Answer what cannot be passed on. */
static bool
refuse(struct msh_slot *slot, struct msh_answer *why)
{
	slot->counters->errors++;
	msh_slot_answer(slot, why);
	msh_answer_clear(why);
	return false;
}

/* Copy the slot. True: it holds what it held at the last look, and that may be a command. */
static bool
is_stable(struct msh_slot *slot, uint64_t now_ns)
{
	uint8_t copy[MSH_WIRE_SLOT_SIZE];

	if (msh_map_load8(slot->map, MSH_WIRE_SLOT_OFFSET) != MSH_WIRE_SLOT_MARK) {
		slot->seen = false;
		return false;
	}
	msh_map_copy_in(slot->map, MSH_WIRE_SLOT_OFFSET, copy, sizeof(copy));
	if (slot->seen && !memcmp(copy, slot->copy, sizeof(copy)))
		return true;
	/* The guest may have taken the mark back since the load: the copy is what counts. */
	slot->seen = copy[0] == MSH_WIRE_SLOT_MARK;
	slot->since_ns = now_ns;
	memcpy(slot->copy, copy, sizeof(copy));
	return false;
}

bool
msh_slot_take(struct msh_slot *slot, uint64_t now_ns, struct msh_region_command *command)
{
	const uint8_t *text = slot->copy + 1, *end;
	struct msh_answer why = {0};

	if (!is_stable(slot, now_ns))
		return false;
	end = memchr(text, MSH_WIRE_SLOT_MARK, sizeof(slot->copy) - 1);
	if (!end) {
		/* Perhaps still on its way; but a guest that waits for an answer is not left
		 * waiting. */
		if (now_ns - slot->since_ns < UNTERMINATED_NS)
			return false;
		msh_answer_set(&why, MSH_BAD, "no closing %c within 1 s in the text slot",
			MSH_WIRE_SLOT_MARK);
		return refuse(slot, &why);
	}
	if ((size_t)(end - text) > MSH_WIRE_COMMAND_MAX) {
		msh_answer_set(&why, MSH_BAD,
			"a command of %u bytes in the text slot: the longest has %u",
			(unsigned int)(end - text), MSH_WIRE_COMMAND_MAX);
		return refuse(slot, &why);
	}
	command->from_ring = false;
	command->cookie = 0;
	command->length = (uint32_t)(end - text);
	memcpy(command->text, text, command->length);
	command->text[command->length] = 0;
	slot->counters->slot_commands++;
	return true;
}
