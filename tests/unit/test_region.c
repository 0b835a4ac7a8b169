/* SPDX-License-Identifier: BSD-3-Clause */

/* The region, from both sides: a naive guest maps the same file, does what guests should do, and
 * then what they should not. Nothing that a guest writes may cost more than its own answers. */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bounds.h"
#include "region.h"

#define SIZE MSH_WIRE_SIZE_MIN
#define QUARTER (SIZE / 4)

static const struct msh_region_options plain = {.size = SIZE, .uid = (uid_t)-1, .gid = (gid_t)-1};
static char directory[64];

/* What one test works with. */
static struct {
	char path[96];
	struct msh_region *region;
	uint64_t now; /* ns, the switch's clock */
	struct msh_region_command command;
	/* The guest. */
	uint8_t *memory;
	volatile struct msh_wire_index *index;
	uint32_t head, tail; /* command_head, event_tail */
	/* The record that guest_read gave last. */
	struct msh_wire_record record;
	char text[MSH_WIRE_ANSWER_MAX + 1];
} t;

/* Set-up */

static uint8_t *
map_file(const char *path, size_t size)
{
	int fd = open(path, O_RDWR);
	uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_true(fd >= 0 && memory != MAP_FAILED);
	close(fd);
	return memory;
}

static struct msh_region *
open_ok(const char *path, const struct msh_region_options *options)
{
	struct msh_region *region = NULL;
	struct msh_answer why = {0};
	int error = msh_region_open(&region, path, options, &why);

	if (error)
		print_message("%s\n", why.text);
	assert_int_equal(error, 0);
	return region;
}

static void
open_fails(const char *path, uint64_t size, enum msh_status status, const char *part)
{
	struct msh_region_options options = plain;
	struct msh_region *region;
	struct msh_answer why = {0};

	options.size = size;
	assert_int_equal(msh_region_open(&region, path, &options, &why), -(int)status);
	assert_int_equal(why.status, status);
	assert_non_null(strstr(why.text, path));
	if (!strstr(why.text, part))
		fail_msg("'%s' does not say '%s'", why.text, part);
}

static int
set_up(void **state)
{
	memset(&t, 0, sizeof(t));
	snprintf(t.path, sizeof(t.path), "%s/region", directory);
	t.region = open_ok(t.path, &plain);
	t.memory = map_file(t.path, SIZE);
	t.index = (volatile struct msh_wire_index *)(t.memory + MSH_WIRE_INDEX_OFFSET);
	return 0;
}

static int
tear_down(void **state)
{
	msh_region_close(t.region, true);
	munmap(t.memory, SIZE);
	assert_int_equal(access(t.path, F_OK), -1);
	return 0;
}

static const struct msh_region_counters *
counters(void)
{
	return msh_region_counters(t.region);
}

static int
poll_once(void)
{
	t.now += 1000;
	return msh_region_poll(t.region, t.now, &t.command);
}

static void
answer(enum msh_status status, const char *text)
{
	struct msh_answer it = {0};

	msh_answer_set(&it, status, "%s", text);
	msh_region_answer(t.region, &t.command, &it);
	msh_answer_clear(&it);
}

/* An answer with data of that many bytes, in lines of 64. */
static void
answer_long(size_t length)
{
	struct msh_answer it = {0};
	char *data = malloc(length + 1);

	memset(data, '@', length);
	for (size_t i = 63; i < length; i += 64)
		data[i] = '\n';
	data[length] = 0;
	it.data = json_string(data);
	msh_region_answer(t.region, &t.command, &it);
	msh_answer_clear(&it);
	free(data);
}

/* The naive guest */

static void
ring_bytes(uint32_t ring, uint32_t at, void *bytes, uint32_t length, bool write)
{
	for (uint32_t i = 0; i < length; i++) {
		uint8_t *shared = t.memory + ring + ((at + i) & (QUARTER - 1));

		if (write)
			*shared = ((uint8_t *)bytes)[i];
		else
			((uint8_t *)bytes)[i] = *shared;
	}
}

/* False: no room. */
static bool
guest_write(uint64_t cookie, const void *text, uint32_t length)
{
	struct msh_wire_record record = {
		.length = length, .kind = MSH_WIRE_COMMAND, .cookie = cookie};
	uint32_t tail = __atomic_load_n(&t.index->command_tail, __ATOMIC_ACQUIRE);

	if (QUARTER - (t.head - tail) < msh_wire_record_size(length))
		return false;
	ring_bytes(QUARTER, t.head, &record, sizeof(record), true);
	ring_bytes(QUARTER, t.head + sizeof(record), (void *)(uintptr_t)text, length, true);
	t.head += msh_wire_record_size(length);
	__atomic_store_n(&t.index->command_head, t.head, __ATOMIC_RELEASE);
	return true;
}

/* False: nothing there. */
static bool
guest_read(void)
{
	uint32_t head = __atomic_load_n(&t.index->event_head, __ATOMIC_ACQUIRE);

	if (head == t.tail)
		return false;
	ring_bytes(2 * QUARTER, t.tail, &t.record, sizeof(t.record), false);
	assert_true(t.record.length <= MSH_WIRE_ANSWER_MAX);
	ring_bytes(2 * QUARTER, t.tail + sizeof(t.record), t.text, t.record.length, false);
	t.text[t.record.length] = 0;
	t.tail += msh_wire_record_size(t.record.length);
	assert_true(head - t.tail <= QUARTER);
	__atomic_store_n(&t.index->event_tail, t.tail, __ATOMIC_RELEASE);
	return true;
}

static void
slot_write(const void *text, size_t length)
{
	memcpy(t.memory + 1, text, length);
	t.memory[1 + length] = '@';
	__atomic_store_n(t.memory, '@', __ATOMIC_RELEASE);
}

/* What the guest reads next is a BAD answer that says so. */
static void
guest_reads_bad(uint64_t cookie, const char *part)
{
	assert_true(guest_read());
	assert_int_equal(t.record.kind, MSH_WIRE_ANSWER);
	assert_int_equal(t.record.status, MSH_BAD);
	assert_true(t.record.cookie == cookie);
	assert_int_equal(strncmp(t.text, "BAD", 3), 0);
	if (!strstr(t.text, part))
		fail_msg("'%s' does not say '%s'", t.text, part);
}

static void
guest_reads_event(const char *part)
{
	assert_true(guest_read());
	assert_int_equal(t.record.kind, MSH_WIRE_EVENT);
	assert_int_equal(t.record.status, 0);
	assert_true(t.record.cookie == 0);
	if (!strstr(t.text, part))
		fail_msg("'%s' does not say '%s'", t.text, part);
}

static void
ring_command_works(uint64_t cookie)
{
	assert_true(guest_write(cookie, "hello", 5));
	assert_int_equal(poll_once(), 1);
	assert_true(t.command.from_ring && t.command.cookie == cookie);
	assert_string_equal(t.command.text, "hello");
	answer(MSH_OK, "fine");
	do {
		assert_true(guest_read());
	} while (t.record.cookie != cookie);
	assert_int_equal(t.record.status, MSH_OK);
	assert_int_equal(strncmp(t.text, "OK", 2), 0);
	assert_non_null(strstr(t.text, "fine"));
}

/* The file */

static void
test_file_is_made(void **state)
{
	char path[96];
	struct stat file;
	struct msh_region_options options = plain;
	struct msh_region *region;

	snprintf(path, sizeof(path), "%s/made", directory);
	umask(077);
	options.size = 0;
	options.mode = 0664;
	options.uid = getuid();
	options.gid = getuid() ? getgid() : 12345;
	region = open_ok(path, &options);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_size, MSH_WIRE_SIZE_DEFAULT);
	assert_true(msh_region_size(region) == MSH_WIRE_SIZE_DEFAULT);
	assert_int_equal(file.st_mode, S_IFREG | 0664);
	assert_int_equal(file.st_gid, options.gid);
	msh_region_close(region, false);

	/* It stays, and is not ours any more. */
	region = open_ok(path, &options);
	msh_region_close(region, true);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);

	options.mode = 0;
	region = open_ok(path, &options);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_mode, S_IFREG | 0600);
	/* Another file of that name is not ours to remove. */
	unlink(path);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	msh_region_close(region, true);
	assert_int_equal(unlink(path), 0);
}

static void
test_file_errors(void **state)
{
	char path[96], target[96];
	struct msh_region_options options = plain;

	snprintf(path, sizeof(path), "%s/odd", directory);
	snprintf(target, sizeof(target), "%s/target", directory);
	open_fails(path, 1, MSH_BAD, "size 1 ");
	open_fails(path, 65535, MSH_BAD, "65535");
	open_fails(path, SIZE / 2, MSH_BAD, "from 65536 to 268435456");
	open_fails(path, SIZE + 4096, MSH_BAD, "69632");
	open_fails(path, 2ull * MSH_WIRE_SIZE_MAX, MSH_BAD, "536870912");
	open_fails(path, (1ull << 32) + SIZE, MSH_BAD, "4295032832");
	assert_int_equal(access(path, F_OK), -1); /* no file is left of a refusal */
	open_fails("/nonexistent/region", SIZE, MSH_FAILED, "No such file or directory");

	assert_int_equal(symlink(target, path), 0);
	open_fails(path, SIZE, MSH_BAD, "symbolic link");
	assert_int_equal(access(target, F_OK), -1);
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	open_fails(path, SIZE, MSH_BAD, "not a regular file");
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	open_fails(path, SIZE, MSH_FAILED, "Is a directory");
	rmdir(path);

	close(open(path, O_CREAT | O_WRONLY, 0600));
	msh_region_close(open_ok(path, &plain), true); /* an empty one is grown */
	assert_int_equal(truncate(path, 2 * SIZE), 0);
	open_fails(path, SIZE, MSH_BAD, "131072 bytes, not the 65536");
	options.size = 0;
	msh_region_close(open_ok(path, &options), true);
	assert_int_equal(truncate(path, SIZE + 1), 0);
	open_fails(path, 0, MSH_BAD, "65537");
	unlink(path);
	if (!getuid()) {
		options.gid = (gid_t)-2; /* root may; a mode that cannot fail is not tested */
		msh_region_close(open_ok(path, &options), true);
	}
}

static void
test_file_of_another_region(void **state)
{
	char path[96];

	open_fails(t.path, SIZE, MSH_EXISTS, "in use");
	snprintf(path, sizeof(path), "%s/linked", directory);
	assert_int_equal(link(t.path, path), 0);
	open_fails(path, SIZE, MSH_EXISTS, "in use");
	unlink(path);
}

static void
test_too_many_regions(void **state)
{
	struct msh_region *regions[MSH_VMS_MAX];
	char path[96];
	int count = 0;

	for (; count < MSH_VMS_MAX - 1; count++) { /* one is the test's own */
		snprintf(path, sizeof(path), "%s/n%d", directory, count);
		regions[count] = open_ok(path, &plain);
	}
	snprintf(path, sizeof(path), "%s/many", directory);
	open_fails(path, SIZE, MSH_FULL, "512");
	assert_int_equal(access(path, F_OK), -1);
	while (count)
		msh_region_close(regions[--count], true);
}

static void
test_header_and_session(void **state)
{
	struct msh_wire_header *header = (void *)(t.memory + MSH_WIRE_HEADER_OFFSET);
	uint64_t session = header->session;

	assert_memory_equal(t.memory + MSH_WIRE_HEADER_OFFSET, "MSH1", 4);
	assert_int_equal(header->abi, 1);
	assert_int_equal(header->header_size, 56);
	assert_true(header->features == 7);
	assert_true(session);
	assert_int_equal(header->region_size, SIZE);
	assert_int_equal(header->command_offset, QUARTER);
	assert_int_equal(header->command_size, QUARTER);
	assert_int_equal(header->event_offset, 2 * QUARTER);
	assert_int_equal(header->event_size, QUARTER);
	assert_int_equal(header->command_max, MSH_WIRE_COMMAND_MAX);
	assert_int_equal(header->answer_max, MSH_WIRE_ANSWER_MAX);

	/* A new attachment: a command that waits in the slot is served, indices and header are new.
	 * The guest's scribbling over the header means nothing to the switch. */
	ring_command_works(1);
	slot_write("pending", 7);
	memset(header, 0xff, sizeof(*header));
	ring_command_works(2);
	msh_region_close(t.region, false);
	t.region = open_ok(t.path, &plain);
	assert_true(header->session != session && header->session && header->session != ~0ull);
	assert_int_equal(t.index->command_head | t.index->command_tail, 0);
	assert_int_equal(t.index->event_head | t.index->event_tail, 0);
	assert_int_equal(poll_once(), 0);
	assert_int_equal(poll_once(), 1);
	assert_string_equal(t.command.text, "pending");
	answer(MSH_OK, "");
	t.head = t.tail = 0;
	ring_command_works(3);
	unlink(t.path); /* not made by the second */
}

/* The slot */

static void
test_slot(void **state)
{
	const char seed[] = "@R F 52:34:56:00:12:22 10.129.26.115@";

	memset(t.memory, 'x', MSH_WIRE_SLOT_SIZE); /* an old answer of some kind */
	assert_int_equal(poll_once(), 0);
	memcpy(t.memory, seed, sizeof(seed) - 1);
	assert_int_equal(poll_once(), 0); /* the first look */
	assert_int_equal(poll_once(), 1);
	assert_false(t.command.from_ring);
	assert_string_equal(t.command.text, "R F 52:34:56:00:12:22 10.129.26.115");
	assert_int_equal(t.command.length, sizeof(seed) - 3);
	/* Taken once, and still there for the guest to see. */
	assert_int_equal(poll_once(), 0);
	assert_int_equal(poll_once(), 0);
	assert_int_equal(t.memory[0], '@');
	answer(MSH_OK, "see @1@");
	assert_int_equal(strncmp((char *)t.memory, "OK", 2), 0);
	assert_non_null(strstr((char *)t.memory, "see ?1?"));
	for (size_t i = strlen((char *)t.memory); i < MSH_WIRE_SLOT_SIZE; i++)
		assert_int_equal(t.memory[i], 0);
	answer(MSH_BAD, "nobody asked");
	assert_int_equal(strncmp((char *)t.memory, "OK", 2), 0);
	assert_int_equal(poll_once(), 0);
	assert_int_equal(counters()->slot_commands, 1);
	assert_int_equal(counters()->answers, 1);
	assert_int_equal(counters()->errors, 0);
}

static void
test_slot_is_taken_when_stable(void **state)
{
	slot_write("change", 6);
	for (int i = 0; i < 20; i++) {
		t.memory[3] = 'a' + i;
		assert_int_equal(poll_once(), 0);
	}
	t.memory[0] = 'x'; /* taken back: the next is a first look again */
	assert_int_equal(poll_once(), 0);
	t.memory[0] = '@';
	assert_int_equal(poll_once(), 0);
	assert_int_equal(poll_once(), 1);
	assert_string_equal(t.command.text, "chtnge");
	answer(MSH_OK, "");
	assert_int_equal(counters()->errors, 0);
}

static void
test_slot_unterminated(void **state)
{
	memcpy(t.memory, "@A 52", 5);
	for (int i = 0; i < 10; i++) {
		t.now += 99 * 1000 * 1000;
		assert_int_equal(poll_once(), 0);
		assert_int_equal(t.memory[0], '@');
	}
	t.now += 200 * 1000 * 1000;
	assert_int_equal(poll_once(), 0);
	assert_int_equal(strncmp((char *)t.memory, "BAD", 3), 0);
	assert_non_null(strstr((char *)t.memory, "no closing"));
	assert_int_equal(counters()->errors, 1);
	assert_int_equal(counters()->answers, 1);
	slot_write("next", 4);
	assert_int_equal(poll_once(), 0);
	assert_int_equal(poll_once(), 1);
	answer(MSH_OK, "");
	/* All of the slot without a mark, too. */
	memset(t.memory + 1, 'y', MSH_WIRE_SLOT_SIZE - 1);
	t.memory[0] = '@';
	assert_int_equal(poll_once(), 0);
	t.now += 1000000000;
	assert_int_equal(poll_once(), 0);
	assert_int_equal(counters()->errors, 2);
}

static void
test_slot_lengths(void **state)
{
	char text[MSH_WIRE_COMMAND_MAX + 1];
	uint64_t errors = 0;

	memset(text, 'z', sizeof(text));
	for (size_t length = 0; length <= sizeof(text); length++) {
		slot_write(text, length);
		assert_int_equal(poll_once(), 0);
		if (length > MSH_WIRE_COMMAND_MAX) {
			assert_int_equal(poll_once(), 0);
			assert_non_null(strstr((char *)t.memory, "1025"));
			errors++;
			continue;
		}
		assert_int_equal(poll_once(), 1);
		assert_int_equal(t.command.length, length);
		assert_int_equal(strlen(t.command.text), length);
		answer_long(length * 4); /* of marks */
		assert_true(strlen((char *)t.memory) <= MSH_WIRE_ANSWER_MAX);
		assert_null(memchr(t.memory, '@', MSH_WIRE_SLOT_SIZE));
	}
	assert_int_equal(counters()->errors, errors);
}

static void
test_slot_junk_is_passed_on(void **state)
{
	slot_write("a\0b\n\xff", 5);
	assert_int_equal(poll_once(), 0);
	assert_int_equal(poll_once(), 1);
	assert_int_equal(t.command.length, 5);
	assert_memory_equal(t.command.text, "a\0b\n\xff", 6);
	answer(MSH_BAD, "no");
}

/* The rings */

static void
test_ring(void **state)
{
	assert_int_equal(poll_once(), 0);
	ring_command_works(77);
	assert_int_equal(poll_once(), 0);
	/* One at a time. */
	assert_true(guest_write(78, "a", 1));
	assert_true(guest_write(79, "", 0));
	assert_int_equal(poll_once(), 1);
	assert_int_equal(poll_once(), 0);
	answer(MSH_DENIED, "no");
	assert_int_equal(poll_once(), 1);
	assert_int_equal(t.command.length, 0);
	answer(MSH_OK, "");
	assert_true(guest_read());
	assert_int_equal(t.record.status, MSH_DENIED);
	assert_true(guest_read());
	assert_int_equal(t.record.cookie, 79);
	assert_false(guest_read());
	msh_region_event(t.region, "backend 1 is down");
	assert_true(guest_read());
	assert_int_equal(t.record.kind, MSH_WIRE_EVENT);
	assert_true(t.record.cookie == 0);
	assert_string_equal(t.text, "backend 1 is down");
	assert_int_equal(counters()->ring_commands, 3);
	assert_int_equal(counters()->answers, 3);
	assert_int_equal(counters()->events, 1);
	assert_int_equal(counters()->events_lost + counters()->errors, 0);
}

/* Random sizes, everybody at a random pace, many times round both rings. */
static void
test_ring_wraps(void **state)
{
	const uint64_t records = 200000;
	uint64_t written = 0, taken = 0, answered = 0, events = 0;
	char text[MSH_WIRE_COMMAND_MAX];
	unsigned int seed = 1;

	while (answered < records) {
		unsigned int what = (unsigned int)rand_r(&seed) % 8;
		uint32_t length = (uint32_t)rand_r(&seed) % (what ? 64 : MSH_WIRE_COMMAND_MAX + 1);

		memset(text, 'a' + (int)(written % 26), length);
		if (what < 3 && written < records) {
			written += guest_write(written + 1, text, length);
		} else if (what < 6) {
			if (poll_once() != 1)
				continue;
			assert_true(t.command.cookie == ++taken);
			for (uint32_t i = 0; i < t.command.length; i++)
				assert_int_equal(t.command.text[i], 'a' + (int)((taken - 1) % 26));
			answer_long(t.command.length);
			if (taken % 16 == 0)
				msh_region_event(t.region, "tick");
		} else if (guest_read()) {
			if (t.record.kind == MSH_WIRE_ANSWER)
				assert_true(t.record.cookie == ++answered);
			else
				events++;
		}
	}
	while (guest_read())
		events++;
	assert_int_equal(counters()->errors, 0);
	assert_int_equal(counters()->answers, records);
	assert_int_equal(counters()->ring_commands, records);
	assert_int_equal(counters()->events, events);
	assert_int_equal(counters()->events + counters()->events_lost, records / 16);
}

static void
test_ring_long_answers(void **state)
{
	for (size_t length = MSH_WIRE_ANSWER_MAX - 100; length < MSH_WIRE_ANSWER_MAX + 100;
		length++) {
		assert_true(guest_write(length, "x", 1));
		assert_int_equal(poll_once(), 1);
		answer_long(length);
		assert_true(guest_read());
		/* What is cut goes by whole lines. */
		assert_true(t.record.length > MSH_WIRE_ANSWER_MAX - 200);
		assert_int_equal(strlen(t.text), t.record.length);
	}
	/* The last line says so, with a number. */
	assert_null(strchr(t.text + t.record.length - 8, '@'));
	assert_non_null(strpbrk(t.text, "0123456789"));
}

static void
test_events_are_lost_when_the_ring_is_full(void **state)
{
	char text[2 * MSH_WIRE_ANSWER_MAX];
	uint64_t seen = 0;

	memset(text, 'e', sizeof(text));
	text[sizeof(text) - 1] = 0;
	for (int i = 0; i < 10; i++)
		msh_region_event(t.region, text);
	assert_int_equal(counters()->events, 4);
	assert_int_equal(counters()->events_lost, 6);
	while (guest_read()) {
		assert_int_equal(t.record.length, MSH_WIRE_ANSWER_MAX);
		seen++;
	}
	assert_int_equal(seen, 4);
	/* The room of an answer that is due is not for events. */
	assert_true(guest_write(5, "x", 1));
	assert_int_equal(poll_once(), 1);
	for (int i = 0; i < 2000; i++)
		msh_region_event(t.region, "small");
	assert_true(counters()->events_lost > 100);
	answer_long(2 * MSH_WIRE_ANSWER_MAX);
	do {
		assert_true(guest_read());
	} while (t.record.kind == MSH_WIRE_EVENT);
	assert_int_equal(t.record.cookie, 5);
	assert_int_equal(counters()->errors, 0);
	ring_command_works(6);
}

static void
test_backpressure(void **state)
{
	uint64_t cookie = 0, taken = 0;

	while (guest_write(cookie + 1, "x", 1))
		cookie++;
	assert_int_equal(cookie, QUARTER / 24);
	while (poll_once() == 1) {
		taken++;
		answer_long(3000);
	}
	assert_int_equal(taken,
		5); /* what fits: 16 KiB in answers of 3 KiB, with room for the largest left */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(poll_once(), 0);
	/* The slot does not wait for the ring. */
	slot_write("slot", 4);
	assert_int_equal(poll_once(), 0);
	assert_int_equal(poll_once(), 1);
	answer(MSH_OK, "");
	for (uint64_t i = 1; i <= cookie; i++) {
		assert_true(guest_read());
		assert_true(t.record.cookie == i);
		if (poll_once() == 1)
			answer_long(3000);
	}
	assert_int_equal(counters()->errors, 0);
	assert_int_equal(counters()->ring_commands, cookie);
}

static void
test_slot_and_ring_alternate(void **state)
{
	int slot = 0, ring = 0;

	for (int i = 0; i < 3000; i++) {
		while (guest_write(1, "x", 1))
			;
		if (t.memory[0] != '@')
			slot_write("s", 1);
		assert_int_equal(poll_once(), 1);
		*(t.command.from_ring ? &ring : &slot) += 1;
		answer(MSH_OK, "");
		while (guest_read())
			;
	}
	/* The slot needs two looks for a command. */
	assert_true(slot >= 990 && ring >= 990);
}

/* Misuse of the rings */

static void
store_head(uint32_t head)
{
	__atomic_store_n(&t.index->command_head, head, __ATOMIC_RELEASE);
}

static void
test_bad_command_head(void **state)
{
	const uint32_t jumps[] = {
		QUARTER + 8, QUARTER + 1, 8, 4, 77, 0x80000000u, 0xfffffff8u, 0xffffffffu};

	for (size_t i = 0; i < sizeof(jumps) / sizeof(*jumps); i++) {
		ring_command_works(i + 1);
		t.head += jumps[i];
		store_head(t.head);
		assert_int_equal(poll_once(), 0);
		assert_int_equal(counters()->errors, i + 1);
		guest_reads_bad(0, "cannot follow");
		assert_non_null(strstr(t.text, "discarded"));
		assert_int_equal(t.index->command_tail, t.head);
		assert_int_equal(poll_once(), 0);
		assert_false(guest_read());
	}
	ring_command_works(100);
	assert_int_equal(counters()->errors, sizeof(jumps) / sizeof(*jumps));
}

static void
test_bad_records(void **state)
{
	const struct {
		uint32_t length;
		uint16_t kind;
		const char *says;
	} bad[] = {
		{MSH_WIRE_COMMAND_MAX + 1, MSH_WIRE_COMMAND, "1025"},
		{0xffffffff, MSH_WIRE_COMMAND, "4294967295"},
		{0xfffffff0, MSH_WIRE_COMMAND, "4294967280"}, {5, MSH_WIRE_ANSWER, "kind 2"},
		{5, 0, "kind 0"}, {5, 0xffff, "kind 65535"},
		{100, MSH_WIRE_COMMAND, "leaves 96"}, /* four records of 24 bytes are there */
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct msh_wire_record record = {bad[i].length, bad[i].kind, 0, 1000 + i};
		uint32_t at = t.head;

		for (int k = 0; k < 4; k++)
			assert_true(guest_write(1, "x", 1));
		ring_bytes(QUARTER, at, &record, sizeof(record), true);
		assert_int_equal(poll_once(), 0);
		guest_reads_bad(1000 + i, bad[i].says);
		assert_non_null(strstr(t.text, "96 pending bytes"));
		assert_int_equal(counters()->errors, i + 1);
		assert_int_equal(t.index->command_tail, t.head);
		assert_int_equal(poll_once(), 0);
		ring_command_works(i + 1);
	}
}

static void
test_bad_event_tail(void **state)
{
	const uint32_t bad[] = {8, 0xfffffff8, QUARTER + 8, 4, 0x80000000};
	uint32_t good;
	uint64_t cookie = 0;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ring_command_works(1);
		assert_int_equal(poll_once(), 0); /* the switch sees how far the guest has read */
		good = t.tail;
		t.index->event_tail = good + bad[i];
		/* Counted and told once; commands go on while there is room by the last good value.
		 */
		for (int k = 0; k < 10; k++)
			assert_int_equal(poll_once(), 0);
		assert_int_equal(counters()->errors, i + 1);
		assert_true(guest_write(2, "x", 1));
		assert_int_equal(poll_once(), 1);
		answer(MSH_OK, "");
		guest_reads_event("event_tail"); /* and stores a good one */
		assert_true(guest_read());
		assert_int_equal(t.record.cookie, 2);
	}
	/* Between good values, but not at a record. */
	msh_region_event(t.region, "something to read");
	t.index->event_tail = t.tail + 4;
	assert_int_equal(poll_once(), 0);
	assert_int_equal(counters()->errors, sizeof(bad) / sizeof(*bad) + 1);
	assert_true(guest_read());
	guest_reads_event("event_tail");
	/* Then the guest's own commands wait, and event_head in event_tail makes it good. */
	assert_int_equal(poll_once(), 0);
	t.index->event_tail = t.tail - 8;
	while (guest_write(++cookie, "x", 1))
		;
	while (poll_once() == 1)
		answer(MSH_OK, "");
	assert_int_equal(poll_once(), 0);
	assert_int_equal(counters()->errors, sizeof(bad) / sizeof(*bad) + 2);
	assert_true(t.index->command_tail != t.head);
	t.tail = t.index->event_head;
	t.index->event_tail = t.tail;
	while (poll_once() == 1)
		answer(MSH_OK, "");
	assert_int_equal(t.index->command_tail, t.head);
	ring_command_works(3);
}

/* The switch's own indices mean nothing to it once the guest has written them. */
static void
test_own_indices_are_not_read_back(void **state)
{
	for (uint32_t i = 0; i < 100; i++) {
		assert_true(guest_write(i, "x", 1));
		t.index->command_tail = i * 1234567;
		t.index->event_head = i * 7654321;
		assert_int_equal(poll_once(), 1);
		answer(MSH_OK, "");
		assert_true(guest_read());
		assert_int_equal(t.record.cookie, i);
	}
	assert_int_equal(counters()->errors, 0);
}

/* Worse */

static sigjmp_buf foreign_fault;
static volatile sig_atomic_t foreign_faults;
static struct sigaction region_action; /* what the first region installed; cmocka puts its own over
					  it in each test */

/* The action for SIGBUS from before the first region. */
static void
on_foreign_fault(int number, siginfo_t *info, void *context)
{
	foreign_faults++;
	siglongjmp(foreign_fault, 1);
}

static void
test_truncated_file(void **state)
{
	const off_t sizes[] = {0, 4096, 8192, 2 * QUARTER, 3 * QUARTER - 4096};
	char path[96];
	volatile uint8_t *own;
	struct sigaction cmockas;

	sigaction(SIGBUS, &region_action, &cmockas);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		int result = 0;

		ring_command_works(1);
		assert_int_equal(truncate(t.path, sizes[i]), 0);
		for (int k = 0; k < 20 && result != -EIO; k++) {
			result = poll_once();
			if (result == 1)
				answer_long(3000);
			else
				msh_region_event(t.region, "tick");
		}
		assert_int_equal(result, sizes[i] > 2 * QUARTER ? 0 : -EIO);
		for (int k = 0; k < 5; k++)
			msh_region_event(t.region, "tick");
		answer_long(10);
		t.head = t.tail = 0;
		msh_region_close(t.region, true);
		munmap(t.memory, SIZE);
		set_up(NULL);
	}
	assert_int_equal(foreign_faults, 0);

	/* A fault elsewhere is not ours. */
	snprintf(path, sizeof(path), "%s/foreign", directory);
	assert_int_equal(ftruncate(open(path, O_CREAT | O_RDWR, 0600), 4096), 0);
	own = map_file(path, 4096);
	assert_int_equal(truncate(path, 0), 0);
	if (!sigsetjmp(foreign_fault, 1))
		own[0] = 1;
	assert_int_equal(foreign_faults, 1);
	/* Nor is a signal that somebody sent. */
	if (!sigsetjmp(foreign_fault, 1))
		raise(SIGBUS);
	assert_int_equal(foreign_faults, 2);
	munmap((void *)(uintptr_t)own, 4096);
	unlink(path);
	ring_command_works(9);
	sigaction(SIGBUS, &cmockas, NULL);
}

static volatile bool stop;

/* Somewhere between random bytes and a guest that half works. */
static void *
scribble(void *argument)
{
	unsigned int seed = 7;

	while (!stop) {
		uint32_t offset = (uint32_t)rand_r(&seed) % SIZE;
		volatile uint32_t *word = (volatile uint32_t *)(t.memory + (offset & ~3u));

		switch (rand_r(&seed) % 10) {
		case 0:
			*word = (uint32_t)rand_r(&seed);
			break;
		case 1:
			t.index->command_head += 8 * ((uint32_t)rand_r(&seed) % 64);
			break;
		case 2:
		case 8:
			t.index->event_tail = t.index->event_head;
			break;
		case 3:
			t.index->event_tail += 8 * ((uint32_t)rand_r(&seed) % QUARTER);
			break;
		case 4: /* lengths and kinds that are nearly right */
			for (uint32_t i = 0; i < QUARTER; i += 8)
				*(volatile uint64_t *)(t.memory + QUARTER + i) =
					(1ull << 32) | ((uint32_t)rand_r(&seed) % 1030);
			break;
		case 5:
			t.index->command_head = (t.index->command_tail & ~7u) +
						8 * ((uint32_t)rand_r(&seed) % (QUARTER / 8));
			break;
		case 6:
			t.memory[0] = '@';
			t.memory[rand_r(&seed) % 1100] = '@';
			break;
		default:
			t.memory[offset] = (uint8_t)rand_r(&seed);
		}
	}
	return NULL;
}

static uint64_t
clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void
test_racing_guest(void **state)
{
	pthread_t guest;
	uint64_t end, begin, longest = 0, polls = 0;

	stop = false;
	assert_int_equal(pthread_create(&guest, NULL, scribble, NULL), 0);
	end = clock_ns(CLOCK_MONOTONIC) + 1000000000;
	do {
		int result;

		/* The thread's own time: others use this machine, too. */
		begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		result = poll_once();
		if (clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin > longest)
			longest = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
		assert_true(result == 0 || result == 1);
		if (result) {
			assert_true(t.command.length <= MSH_WIRE_COMMAND_MAX);
			assert_int_equal(t.command.text[t.command.length], 0);
			answer_long(t.command.length);
		}
		if (++polls % 64 == 0)
			msh_region_event(t.region, "tick");
	} while (clock_ns(CLOCK_MONOTONIC) < end);
	stop = true;
	pthread_join(guest, NULL);
	print_message("# %lu polls, longest %lu ns; %lu slot, %lu ring, %lu errors\n", polls,
		longest, counters()->slot_commands, counters()->ring_commands, counters()->errors);
	assert_true(longest < 20000000);
	assert_true(counters()->errors > 0 && counters()->ring_commands > 0);

	/* A guest that comes to its senses starts again where the switch is. */
	memset(t.memory, 0, MSH_WIRE_SLOT_SIZE);
	t.index->event_tail = 0;
	for (int i = 0; i < 3; i++)
		if (poll_once() == 1)
			answer(MSH_OK, "");
	msh_region_close(t.region, true);
	munmap(t.memory, SIZE);
	set_up(NULL);
	ring_command_works(1);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_is_made),
		cmocka_unit_test(test_file_errors),
		TEST(test_file_of_another_region),
		TEST(test_too_many_regions),
		TEST(test_header_and_session),
		TEST(test_slot),
		TEST(test_slot_is_taken_when_stable),
		TEST(test_slot_unterminated),
		TEST(test_slot_lengths),
		TEST(test_slot_junk_is_passed_on),
		TEST(test_ring),
		TEST(test_ring_wraps),
		TEST(test_ring_long_answers),
		TEST(test_events_are_lost_when_the_ring_is_full),
		TEST(test_backpressure),
		TEST(test_slot_and_ring_alternate),
		TEST(test_bad_command_head),
		TEST(test_bad_records),
		TEST(test_bad_event_tail),
		TEST(test_own_indices_are_not_read_back),
		TEST(test_truncated_file),
		TEST(test_racing_guest),
	};
	struct sigaction action = {.sa_sigaction = on_foreign_fault, .sa_flags = SA_SIGINFO};
	int failed;

	snprintf(directory, sizeof(directory), "/dev/shm/test_region.XXXXXX");
	if (!mkdtemp(directory)) {
		snprintf(directory, sizeof(directory), "/tmp/test_region.XXXXXX");
		if (!mkdtemp(directory))
			return 1;
	}
	sigaction(SIGBUS, &action, NULL);
	set_up(NULL);
	tear_down(NULL);
	sigaction(SIGBUS, NULL, &region_action);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(directory);
	return failed;
}
