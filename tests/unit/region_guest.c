/* SPDX-License-Identifier: BSD-3-Clause */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "region_guest.h"

const struct msh_region_options region_plain = {.size = SIZE, .uid = (uid_t)-1, .gid = (gid_t)-1};
char region_directory[64];
struct host host;
struct guest guest;

/* Set-up */

int
region_make_directory(void)
{
	const char *const parents[] = {"/dev/shm", "/tmp"};

	for (size_t i = 0; i < sizeof(parents) / sizeof(*parents); i++) {
		snprintf(region_directory, sizeof(region_directory), "%s/test_region.XXXXXX",
			parents[i]);
		if (mkdtemp(region_directory))
			return 0;
	}
	return -1;
}

uint8_t *
map_file(const char *path, size_t size)
{
	int fd = open(path, O_RDWR);
	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(fd >= 0 && memory != MAP_FAILED);
	close(fd);
	return memory;
}

struct msh_region *
region_open_ok(const char *path, const struct msh_region_options *options)
{
	struct msh_region *region = NULL;
	struct msh_answer why = {0};
	int error = msh_region_open(&region, path, options, &why);

	if (error)
		print_message("%s\n", why.text);
	assert_int_equal(error, 0);
	return region;
}

int
region_set_up(void **state)
{
	memset(&host, 0, sizeof(host));
	memset(&guest, 0, sizeof(guest));
	snprintf(host.path, sizeof(host.path), "%s/region", region_directory);
	host.region = region_open_ok(host.path, &region_plain);
	guest.memory = map_file(host.path, SIZE);
	guest.index = (volatile struct msh_wire_index *)(guest.memory + MSH_WIRE_INDEX_OFFSET);
	return 0;
}

int
region_tear_down(void **state)
{
	msh_region_close(host.region, true);
	munmap(guest.memory, SIZE);
	assert_int_equal(access(host.path, F_OK), -1);
	return 0;
}

/* The switch */

const struct msh_region_counters *
host_counters(void)
{
	return msh_region_counters(host.region);
}

int
host_poll(void)
{
	host.now += 1000;
	return msh_region_poll(host.region, host.now, &host.command);
}

void
host_answer(enum msh_status status, const char *text)
{
	struct msh_answer it = {0};

	msh_answer_set(&it, status, "%s", text);
	msh_region_answer(host.region, &host.command, &it);
	msh_answer_clear(&it);
}

void
host_answer_long(size_t length)
{
	struct msh_answer it = {0};
	char *data = malloc(length + 1);

	memset(data, '@', length);
	for (size_t i = 63; i < length; i += 64)
		data[i] = '\n';
	data[length] = 0;
	it.data = json_string(data);
	msh_region_answer(host.region, &host.command, &it);
	msh_answer_clear(&it);
	free(data);
}

/* The naive guest */

void
guest_ring_bytes(uint32_t ring, uint32_t at, void *bytes, uint32_t length, bool write)
{
	for (uint32_t i = 0; i < length; i++) {
		uint8_t *shared = guest.memory + ring + ((at + i) & (QUARTER - 1));

		if (write)
			*shared = ((uint8_t *)bytes)[i];
		else
			((uint8_t *)bytes)[i] = *shared;
	}
}

bool
guest_write(uint64_t cookie, const void *text, uint32_t length)
{
	struct msh_wire_record record = {
		.length = length, .kind = MSH_WIRE_COMMAND, .cookie = cookie};
	uint32_t tail = __atomic_load_n(&guest.index->command_tail, __ATOMIC_ACQUIRE);

	if (QUARTER - (guest.head - tail) < msh_wire_record_size(length))
		return false;
	guest_ring_bytes(QUARTER, guest.head, &record, sizeof(record), true);
	guest_ring_bytes(
		QUARTER, guest.head + sizeof(record), (void *)(uintptr_t)text, length, true);
	guest.head += msh_wire_record_size(length);
	__atomic_store_n(&guest.index->command_head, guest.head, __ATOMIC_RELEASE);
	return true;
}

bool
guest_read(void)
{
	uint32_t head = __atomic_load_n(&guest.index->event_head, __ATOMIC_ACQUIRE);

	if (head == guest.tail)
		return false;
	guest_ring_bytes(2 * QUARTER, guest.tail, &guest.record, sizeof(guest.record), false);
	assert_true(guest.record.length <= MSH_WIRE_ANSWER_MAX);
	guest_ring_bytes(2 * QUARTER, guest.tail + sizeof(guest.record), guest.text,
		guest.record.length, false);
	guest.text[guest.record.length] = 0;
	guest.tail += msh_wire_record_size(guest.record.length);
	assert_true(head - guest.tail <= QUARTER);
	__atomic_store_n(&guest.index->event_tail, guest.tail, __ATOMIC_RELEASE);
	return true;
}

void
guest_slot_write(const void *text, size_t length)
{
	memcpy(guest.memory + 1, text, length);
	guest.memory[1 + length] = '@';
	__atomic_store_n(guest.memory, '@', __ATOMIC_RELEASE);
}

/* Both */

void
ring_command_works(uint64_t cookie)
{
	assert_true(guest_write(cookie, "hello", 5));
	assert_int_equal(host_poll(), 1);
	assert_true(host.command.from_ring && host.command.cookie == cookie);
	assert_string_equal(host.command.text, "hello");
	host_answer(MSH_OK, "fine");
	do {
		assert_true(guest_read());
	} while (guest.record.cookie != cookie);
	assert_int_equal(guest.record.status, MSH_OK);
	assert_int_equal(strncmp(guest.text, "OK", 2), 0);
	assert_non_null(strstr(guest.text, "fine"));
}
