/* SPDX-License-Identifier: BSD-3-Clause */

/* The text slot: one command at a time. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libmsh_private.h"

size_t
msh_guest_slot_read(const struct msh_guest *guest, char *text, size_t size)
{
	const char *slot = (const char *)guest->base + MSH_WIRE_SLOT_OFFSET;
	size_t length = 0;

	while (length + 1 < size && length < MSH_WIRE_SLOT_SIZE) {
		text[length] = __atomic_load_n(&slot[length], __ATOMIC_ACQUIRE);
		if (text[length] == '\0')
			break;
		length++;
	}
	text[length] = '\0';
	return length;
}

int
msh_guest_slot_write(struct msh_guest *guest, const char *text, struct msh_guest_why *why)
{
	char *slot = (char *)guest->base + MSH_WIRE_SLOT_OFFSET;
	size_t length = strlen(text);

	if (length >= MSH_WIRE_SLOT_SIZE)
		return msh_why_set(why, EMSGSIZE, "the text has %zu bytes, the slot takes %u",
			length, MSH_WIRE_SLOT_SIZE - 1);
	/* A command that stands here unanswered must not be seen half overwritten. */
	__atomic_store_n(slot, '\0', __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (length > 0)
		memcpy(slot + 1, text + 1, length);
	__atomic_store_n(slot, text[0], __ATOMIC_RELEASE);
	return 0;
}

static int
slot_status(struct msh_guest_message *answer, struct msh_guest_why *why)
{
	size_t length = strcspn(answer->text, " \n:");
	const char *word;

	for (unsigned int i = 0; (word = msh_guest_status_word(i)) != NULL; i++) {
		if (strlen(word) == length && memcmp(word, answer->text, length) == 0) {
			answer->status = (enum msh_status)i;
			return 0;
		}
	}
	return msh_why_set(why, EPROTO, "the slot's answer has no status: %.80s", answer->text);
}

static int
slot_exchange(struct msh_guest *guest, const char *marked, struct msh_guest_message *answer,
	struct msh_wait *wait, struct msh_guest_why *why)
{
	const char *slot = (const char *)guest->base + MSH_WIRE_SLOT_OFFSET;
	char first;
	int rc = msh_guest_slot_write(guest, marked, why);

	if (rc < 0)
		return rc;
	while ((first = __atomic_load_n(slot, __ATOMIC_ACQUIRE)) == MSH_WIRE_SLOT_MARK ||
		first == '\0') {
		if (!msh_wait_more(wait))
			return msh_why_set(
				why, ETIMEDOUT, "no answer in time: is the switch running?");
	}
	answer->length = (uint32_t)msh_guest_slot_read(guest, answer->text, sizeof(answer->text));
	answer->kind = MSH_WIRE_ANSWER;
	answer->cookie = 0;
	return slot_status(answer, why);
}

int
msh_guest_slot_call(struct msh_guest *guest, const char *text, struct msh_guest_message *answer,
	int timeout_ms, struct msh_guest_why *why)
{
	char marked[MSH_WIRE_COMMAND_MAX + 3];
	struct msh_wait wait = msh_wait_start(timeout_ms);
	struct msh_wire_header header;
	int rc;

	if (text[0] == '\0' || strchr(text, MSH_WIRE_SLOT_MARK) != NULL)
		return msh_why_set(why, EINVAL,
			"a command for the slot is not empty and has no '%c': %s",
			MSH_WIRE_SLOT_MARK, text);
	if (strlen(text) > MSH_WIRE_COMMAND_MAX)
		return msh_why_set(why, EMSGSIZE, "the command has %zu bytes, the switch takes %u",
			strlen(text), MSH_WIRE_COMMAND_MAX);
	rc = msh_guest_header(guest, &header, why);
	if (rc < 0)
		return rc;
	rc = msh_way_lock(guest, MSH_WAY_SLOT, &wait, why);
	if (rc < 0)
		return rc;
	snprintf(marked, sizeof(marked), "%c%s%c", MSH_WIRE_SLOT_MARK, text, MSH_WIRE_SLOT_MARK);
	rc = slot_exchange(guest, marked, answer, &wait, why);
	msh_way_unlock(guest, MSH_WAY_SLOT);
	return rc;
}
