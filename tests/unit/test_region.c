/* SPDX-License-Identifier: BSD-3-Clause */

/* The region and a guest that does what guests should do: files, sessions, the slot. Its
 * rings are in test_region_ring.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "region_guest.h"

static void
open_fails(const char *path, uint64_t size, enum msh_status status, const char *part)
{
	struct msh_region_options options = region_plain;
	struct msh_region *region;
	struct msh_answer why = {0};

	options.size = size;
	assert_int_equal(msh_region_open(&region, path, &options, &why), -(int)status);
	assert_int_equal(why.status, status);
	assert_non_null(strstr(why.text, path));
	if (!strstr(why.text, part))
		fail_msg("'%s' does not say '%s'", why.text, part);
}

/* The file */

static void
test_file_is_made(void **state)
{
	char path[96];
	struct stat file;
	struct msh_region_options options = region_plain;
	struct msh_region *region;

	snprintf(path, sizeof(path), "%s/made", region_directory);
	umask(077);
	options.size = 0;
	options.mode = 0664;
	options.uid = getuid();
	options.gid = getuid() ? getgid() : 12345;
	region = region_open_ok(path, &options);
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_size, MSH_WIRE_SIZE_DEFAULT);
	assert_true(msh_region_size(region) == MSH_WIRE_SIZE_DEFAULT);
	assert_int_equal(file.st_mode, S_IFREG | 0664);
	assert_int_equal(file.st_gid, options.gid);
	msh_region_close(region, false);

	/* It stays, and is not ours any more. */
	region = region_open_ok(path, &options);
	msh_region_close(region, true);
	assert_int_equal(access(path, F_OK), 0);
	unlink(path);

	options.mode = 0;
	region = region_open_ok(path, &options);
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
	struct msh_region_options options = region_plain;

	snprintf(path, sizeof(path), "%s/odd", region_directory);
	snprintf(target, sizeof(target), "%s/target", region_directory);
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
	msh_region_close(region_open_ok(path, &region_plain), true); /* an empty one is grown */
	assert_int_equal(truncate(path, 2 * SIZE), 0);
	open_fails(path, SIZE, MSH_BAD, "131072 bytes, not the 65536");
	options.size = 0;
	msh_region_close(region_open_ok(path, &options), true);
	assert_int_equal(truncate(path, SIZE + 1), 0);
	open_fails(path, 0, MSH_BAD, "65537");
	unlink(path);
	if (!getuid()) {
		options.gid = (gid_t)-2; /* root may; a mode that cannot fail is not tested */
		msh_region_close(region_open_ok(path, &options), true);
	}
}

static void
test_file_of_another_region(void **state)
{
	char path[96];

	open_fails(host.path, SIZE, MSH_EXISTS, "in use");
	snprintf(path, sizeof(path), "%s/linked", region_directory);
	assert_int_equal(link(host.path, path), 0);
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
		snprintf(path, sizeof(path), "%s/n%d", region_directory, count);
		regions[count] = region_open_ok(path, &region_plain);
	}
	snprintf(path, sizeof(path), "%s/many", region_directory);
	open_fails(path, SIZE, MSH_FULL, "512");
	assert_int_equal(access(path, F_OK), -1);
	while (count)
		msh_region_close(regions[--count], true);
}

static void
test_header_and_session(void **state)
{
	struct msh_wire_header *header = (void *)(guest.memory + MSH_WIRE_HEADER_OFFSET);
	uint64_t session = header->session;

	assert_memory_equal(guest.memory + MSH_WIRE_HEADER_OFFSET, "MSH1", 4);
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
	guest_slot_write("pending", 7);
	memset(header, 0xff, sizeof(*header));
	ring_command_works(2);
	msh_region_close(host.region, false);
	host.region = region_open_ok(host.path, &region_plain);
	assert_true(header->session != session && header->session && header->session != ~0ull);
	assert_int_equal(guest.index->command_head | guest.index->command_tail, 0);
	assert_int_equal(guest.index->event_head | guest.index->event_tail, 0);
	assert_int_equal(host_poll(), 0);
	assert_int_equal(host_poll(), 1);
	assert_string_equal(host.command.text, "pending");
	host_answer(MSH_OK, "");
	guest.head = guest.tail = 0;
	ring_command_works(3);
	unlink(host.path); /* not made by the second */
}

/* The slot */

static void
test_slot(void **state)
{
	const char seed[] = "@R F 52:34:56:00:12:22 10.129.26.115@";

	memset(guest.memory, 'x', MSH_WIRE_SLOT_SIZE); /* an old answer of some kind */
	assert_int_equal(host_poll(), 0);
	memcpy(guest.memory, seed, sizeof(seed) - 1);
	assert_int_equal(host_poll(), 0); /* the first look */
	assert_int_equal(host_poll(), 1);
	assert_false(host.command.from_ring);
	assert_string_equal(host.command.text, "R F 52:34:56:00:12:22 10.129.26.115");
	assert_int_equal(host.command.length, sizeof(seed) - 3);
	/* Taken once, and still there for the guest to see. */
	assert_int_equal(host_poll(), 0);
	assert_int_equal(host_poll(), 0);
	assert_int_equal(guest.memory[0], '@');
	host_answer(MSH_OK, "see @1@");
	assert_int_equal(strncmp((char *)guest.memory, "OK", 2), 0);
	assert_non_null(strstr((char *)guest.memory, "see ?1?"));
	for (size_t i = strlen((char *)guest.memory); i < MSH_WIRE_SLOT_SIZE; i++)
		assert_int_equal(guest.memory[i], 0);
	host_answer(MSH_BAD, "nobody asked");
	assert_int_equal(strncmp((char *)guest.memory, "OK", 2), 0);
	assert_int_equal(host_poll(), 0);
	assert_int_equal(host_counters()->slot_commands, 1);
	assert_int_equal(host_counters()->answers, 1);
	assert_int_equal(host_counters()->errors, 0);
}

static void
test_slot_is_taken_when_stable(void **state)
{
	guest_slot_write("change", 6);
	for (int i = 0; i < 20; i++) {
		guest.memory[3] = 'a' + i;
		assert_int_equal(host_poll(), 0);
	}
	guest.memory[0] = 'x'; /* taken back: the next is a first look again */
	assert_int_equal(host_poll(), 0);
	guest.memory[0] = '@';
	assert_int_equal(host_poll(), 0);
	assert_int_equal(host_poll(), 1);
	assert_string_equal(host.command.text, "chtnge");
	host_answer(MSH_OK, "");
	assert_int_equal(host_counters()->errors, 0);
}

static void
test_slot_unterminated(void **state)
{
	memcpy(guest.memory, "@A 52", 5);
	for (int i = 0; i < 10; i++) {
		host.now += 99 * 1000 * 1000;
		assert_int_equal(host_poll(), 0);
		assert_int_equal(guest.memory[0], '@');
	}
	host.now += 200 * 1000 * 1000;
	assert_int_equal(host_poll(), 0);
	assert_int_equal(strncmp((char *)guest.memory, "BAD", 3), 0);
	assert_non_null(strstr((char *)guest.memory, "no closing"));
	assert_int_equal(host_counters()->errors, 1);
	assert_int_equal(host_counters()->answers, 1);
	guest_slot_write("next", 4);
	assert_int_equal(host_poll(), 0);
	assert_int_equal(host_poll(), 1);
	host_answer(MSH_OK, "");
	/* All of the slot without a mark, too. */
	memset(guest.memory + 1, 'y', MSH_WIRE_SLOT_SIZE - 1);
	guest.memory[0] = '@';
	assert_int_equal(host_poll(), 0);
	host.now += 1000000000;
	assert_int_equal(host_poll(), 0);
	assert_int_equal(host_counters()->errors, 2);
}

static void
test_slot_lengths(void **state)
{
	char text[MSH_WIRE_COMMAND_MAX + 1];
	uint64_t errors = 0;

	memset(text, 'z', sizeof(text));
	for (size_t length = 0; length <= sizeof(text); length++) {
		guest_slot_write(text, length);
		assert_int_equal(host_poll(), 0);
		if (length > MSH_WIRE_COMMAND_MAX) {
			assert_int_equal(host_poll(), 0);
			assert_non_null(strstr((char *)guest.memory, "1025"));
			errors++;
			continue;
		}
		assert_int_equal(host_poll(), 1);
		assert_int_equal(host.command.length, length);
		assert_int_equal(strlen(host.command.text), length);
		host_answer_long(length * 4); /* of marks */
		assert_true(strlen((char *)guest.memory) <= MSH_WIRE_ANSWER_MAX);
		assert_null(memchr(guest.memory, '@', MSH_WIRE_SLOT_SIZE));
	}
	assert_int_equal(host_counters()->errors, errors);
}

static void
test_slot_junk_is_passed_on(void **state)
{
	guest_slot_write("a\0b\n\xff", 5);
	assert_int_equal(host_poll(), 0);
	assert_int_equal(host_poll(), 1);
	assert_int_equal(host.command.length, 5);
	assert_memory_equal(host.command.text, "a\0b\n\xff", 6);
	host_answer(MSH_BAD, "no");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file_is_made),
		cmocka_unit_test(test_file_errors),
		REGION_TEST(test_file_of_another_region),
		REGION_TEST(test_too_many_regions),
		REGION_TEST(test_header_and_session),
		REGION_TEST(test_slot),
		REGION_TEST(test_slot_is_taken_when_stable),
		REGION_TEST(test_slot_unterminated),
		REGION_TEST(test_slot_lengths),
		REGION_TEST(test_slot_junk_is_passed_on),
	};
	int failed;

	if (region_make_directory())
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(region_directory);
	return failed;
}
