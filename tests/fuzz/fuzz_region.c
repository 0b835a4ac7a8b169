/* SPDX-License-Identifier: BSD-3-Clause */

/* A guest that does what the input says, between polls. The input is a list of operations, a letter
 * each with its arguments in the bytes that follow (see operate); other bytes do nothing. Checked:
 * what poll gives is what lies in the region, whole and terminated; the switch writes nothing but
 * its own parts; poll never gives up on a region that is there. */

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "region.h"

#define SIZE MSH_WIRE_SIZE_MIN
#define QUARTER (SIZE / 4)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input, *input_end;
static struct msh_region *region;
static struct msh_region_command command;
static uint64_t now;
static uint8_t *memory;
static struct msh_wire_index *indices;
static uint8_t shadow[SIZE]; /* what the guest wrote to the parts that the switch only reads */

static void
check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

/* The input's next bytes as a number. */
static uint32_t
take(int bytes)
{
	uint32_t value = 0;

	for (int i = 0; i < bytes && input < input_end; i++)
		value |= (uint32_t)*input++ << 8 * i;
	return value;
}

static void
guest_write(uint32_t offset, const void *bytes, uint32_t length)
{
	memcpy(memory + offset, bytes, length);
	memcpy(shadow + offset, bytes, length);
}

static void
ring_write(uint32_t at, const void *bytes, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		guest_write(QUARTER + ((at + i) & (QUARTER - 1)), (const uint8_t *)bytes + i, 1);
}

static void
check_slot_answer(void)
{
	check(memory[0] != '@', "an answer takes the mark away");
	check(!memchr(memory, '@', MSH_WIRE_SLOT_SIZE), "no mark in an answer");
	check(memory[MSH_WIRE_SLOT_SIZE - 1] == 0, "an answer ends in the slot");
}

static void
answer(uint32_t length)
{
	static char text[2 * 4096];
	struct msh_answer it = {0};
	uint32_t head = indices->event_head;

	memset(text, '@', length);
	text[length] = 0;
	msh_answer_set(&it, MSH_OK, "%s", "done");
	it.data = json_string(text);
	msh_region_answer(region, &command, &it);
	msh_answer_clear(&it);
	if (!command.from_ring)
		check_slot_answer();
	else
		check(indices->event_head != head, "a ring's command has its answer");
}

static void
poll_once(uint32_t answer_length)
{
	int result;

	memset(&command, 0xff, sizeof(command));
	result = msh_region_poll(region, now += 1000000, &command);
	check(result == 0 || result == 1, "0 or 1");
	if (!result)
		return;
	check(command.length <= MSH_WIRE_COMMAND_MAX, "length");
	check(command.text[command.length] == 0, "terminated");
	if (command.from_ring) {
		uint32_t at = indices->command_tail - msh_wire_record_size(command.length);
		struct msh_wire_record record;

		for (uint32_t i = 0; i < sizeof(record) + command.length; i++) {
			uint8_t byte = memory[QUARTER + ((at + i) & (QUARTER - 1))];

			if (i < sizeof(record))
				((uint8_t *)&record)[i] = byte;
			else
				check(byte == (uint8_t)command.text[i - sizeof(record)],
					"text of the ring");
		}
		check(record.kind == MSH_WIRE_COMMAND && record.length == command.length &&
				record.cookie == command.cookie,
			"head of the record");
	} else {
		check(memory[0] == '@' && memory[command.length + 1] == '@', "marks");
		check(!memcmp(memory + 1, command.text, command.length), "text of the slot");
	}
	answer(answer_length);
}

/* A record that is as good as its arguments. */
static void
record_write(uint32_t length, uint16_t kind)
{
	struct msh_wire_record record = {.length = length, .kind = kind, .cookie = now};
	uint32_t head = indices->command_head;

	ring_write(head, &record, sizeof(record));
	for (uint32_t i = 0; i < length && input < input_end && i < 64; i++)
		ring_write(head + (uint32_t)sizeof(record) + i, input++, 1);
	indices->command_head = head + msh_wire_record_size(length);
}

static void
operate(uint8_t what)
{
	static char event[256];
	uint32_t offset;

	switch (what) {
	case 'p': /* poll, and answer with so many times 32 bytes */
		poll_once(take(1) * 32);
		break;
	case 'w': /* wait a second */
		now += 1000000000;
		break;
	case 's': /* slot: offset, then bytes up to a zero or the end */
		for (offset = take(2); input < input_end && *input; offset++)
			memory[offset % MSH_WIRE_SLOT_SIZE] = *input++;
		break;
	case 'S': /* slot: offset, number of bytes, which byte */
		offset = take(2) % MSH_WIRE_SLOT_SIZE;
		for (uint32_t i = take(2), byte = take(1); i && offset < MSH_WIRE_SLOT_SIZE; i--)
			memory[offset++] = (uint8_t)byte;
		break;
	case 'r': /* record: length, text */
		record_write(take(2), MSH_WIRE_COMMAND);
		break;
	case 'R': /* record: length, kind, text */
		offset = take(4);
		record_write(offset, (uint16_t)take(2));
		break;
	case 'b': /* a byte of the command ring: offset, value */
		offset = QUARTER + take(2) % QUARTER;
		guest_write(offset, &(uint8_t){(uint8_t)take(1)}, 1);
		break;
	case 'h': /* command_head, by so much */
		indices->command_head += take(2);
		break;
	case 'H':
		indices->command_head = take(4);
		break;
	case 't': /* event_tail: all is read */
		indices->event_tail = indices->event_head;
		break;
	case 'T':
		indices->event_tail += take(4);
		break;
	case 'o': /* the switch's own indices */
		indices->command_tail = indices->event_head = take(4);
		break;
	case 'e': /* an event of so many bytes */
		offset = take(1);
		memset(event, 'e', offset);
		event[offset] = 0;
		msh_region_event(region, event);
		break;
	case 'x': /* the header */
		memset(memory + MSH_WIRE_HEADER_OFFSET, (int)take(1),
			sizeof(struct msh_wire_header));
		memcpy(shadow + MSH_WIRE_HEADER_OFFSET, memory + MSH_WIRE_HEADER_OFFSET,
			sizeof(struct msh_wire_header));
		break;
	}
}

static void
attach(void)
{
	const struct msh_region_options options = {
		.size = SIZE, .uid = (uid_t)-1, .gid = (gid_t)-1};
	struct msh_answer why = {0};
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/shm/fuzz_region.%d", (int)getpid());
	check(!msh_region_open(&region, path, &options, &why), why.text);
	fd = open(path, O_RDWR);
	memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(memory != MAP_FAILED, "mapping");
	close(fd);
	unlink(path); /* whatever happens, no file stays */
	indices = (struct msh_wire_index *)(memory + MSH_WIRE_INDEX_OFFSET);
	memcpy(shadow, memory, SIZE);
	now = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint32_t behind = MSH_WIRE_INDEX_OFFSET + sizeof(struct msh_wire_index);

	attach();
	input = data;
	input_end = data + size;
	while (input < input_end)
		operate(*input++);
	for (int i = 0; i < 4; i++)
		poll_once(4096);
	/* From the header to the indices, behind them up to the event ring, and behind that one. */
	check(!memcmp(memory + MSH_WIRE_HEADER_OFFSET, shadow + MSH_WIRE_HEADER_OFFSET,
		      MSH_WIRE_INDEX_OFFSET - MSH_WIRE_HEADER_OFFSET),
		"header untouched");
	check(!memcmp(memory + behind, shadow + behind, 2 * QUARTER - behind),
		"command ring untouched");
	check(!memcmp(memory + 3 * QUARTER, shadow + 3 * QUARTER, QUARTER),
		"last quarter untouched");
	msh_region_close(region, true);
	munmap(memory, SIZE);
	return 0;
}
