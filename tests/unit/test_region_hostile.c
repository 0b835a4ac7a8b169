/* SPDX-License-Identifier: BSD-3-Clause */

/* The region and a guest that does what it should not. Nothing that it writes may cost more than
 * its own answers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "region_guest.h"

/* What the guest reads next is a BAD answer that says so. */
static void
guest_reads_bad(uint64_t cookie, const char *part)
{
	assert_true(guest_read());
	assert_int_equal(guest.record.kind, MSH_WIRE_ANSWER);
	assert_int_equal(guest.record.status, MSH_BAD);
	assert_true(guest.record.cookie == cookie);
	assert_int_equal(strncmp(guest.text, "BAD", 3), 0);
	if (!strstr(guest.text, part))
		fail_msg("'%s' does not say '%s'", guest.text, part);
}

static void
guest_reads_event(const char *part)
{
	assert_true(guest_read());
	assert_int_equal(guest.record.kind, MSH_WIRE_EVENT);
	assert_int_equal(guest.record.status, 0);
	assert_true(guest.record.cookie == 0);
	if (!strstr(guest.text, part))
		fail_msg("'%s' does not say '%s'", guest.text, part);
}

/* Misuse of the rings */

static void
store_head(uint32_t head)
{
	__atomic_store_n(&guest.index->command_head, head, __ATOMIC_RELEASE);
}

static void
test_bad_command_head(void **state)
{
	const uint32_t jumps[] = {
		QUARTER + 8, QUARTER + 1, 8, 4, 77, 0x80000000u, 0xfffffff8u, 0xffffffffu};

	for (size_t i = 0; i < sizeof(jumps) / sizeof(*jumps); i++) {
		ring_command_works(i + 1);
		guest.head += jumps[i];
		store_head(guest.head);
		assert_int_equal(host_poll(), 0);
		assert_int_equal(host_counters()->errors, i + 1);
		guest_reads_bad(0, "cannot follow");
		assert_non_null(strstr(guest.text, "discarded"));
		assert_int_equal(guest.index->command_tail, guest.head);
		assert_int_equal(host_poll(), 0);
		assert_false(guest_read());
	}
	ring_command_works(100);
	assert_int_equal(host_counters()->errors, sizeof(jumps) / sizeof(*jumps));
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
		uint32_t at = guest.head;

		for (int k = 0; k < 4; k++)
			assert_true(guest_write(1, "x", 1));
		guest_ring_bytes(QUARTER, at, &record, sizeof(record), true);
		assert_int_equal(host_poll(), 0);
		guest_reads_bad(1000 + i, bad[i].says);
		assert_non_null(strstr(guest.text, "96 pending bytes"));
		assert_int_equal(host_counters()->errors, i + 1);
		assert_int_equal(guest.index->command_tail, guest.head);
		assert_int_equal(host_poll(), 0);
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
		assert_int_equal(host_poll(), 0); /* the switch sees how far the guest has read */
		good = guest.tail;
		guest.index->event_tail = good + bad[i];
		/* Counted and told once; commands go on while there is room by the last good value.
		 */
		for (int k = 0; k < 10; k++)
			assert_int_equal(host_poll(), 0);
		assert_int_equal(host_counters()->errors, i + 1);
		assert_true(guest_write(2, "x", 1));
		assert_int_equal(host_poll(), 1);
		host_answer(MSH_OK, "");
		guest_reads_event("event_tail"); /* and stores a good one */
		assert_true(guest_read());
		assert_int_equal(guest.record.cookie, 2);
	}
	/* Between good values, but not at a record. */
	msh_region_event(host.region, "something to read");
	guest.index->event_tail = guest.tail + 4;
	assert_int_equal(host_poll(), 0);
	assert_int_equal(host_counters()->errors, sizeof(bad) / sizeof(*bad) + 1);
	assert_true(guest_read());
	guest_reads_event("event_tail");
	/* Then the guest's own commands wait, and event_head in event_tail makes it good. */
	assert_int_equal(host_poll(), 0);
	guest.index->event_tail = guest.tail - 8;
	while (guest_write(++cookie, "x", 1))
		;
	while (host_poll() == 1)
		host_answer(MSH_OK, "");
	assert_int_equal(host_poll(), 0);
	assert_int_equal(host_counters()->errors, sizeof(bad) / sizeof(*bad) + 2);
	assert_true(guest.index->command_tail != guest.head);
	guest.tail = guest.index->event_head;
	guest.index->event_tail = guest.tail;
	while (host_poll() == 1)
		host_answer(MSH_OK, "");
	assert_int_equal(guest.index->command_tail, guest.head);
	ring_command_works(3);
}

/* The switch's own indices mean nothing to it once the guest has written them. */
static void
test_own_indices_are_not_read_back(void **state)
{
	for (uint32_t i = 0; i < 100; i++) {
		assert_true(guest_write(i, "x", 1));
		guest.index->command_tail = i * 1234567;
		guest.index->event_head = i * 7654321;
		assert_int_equal(host_poll(), 1);
		host_answer(MSH_OK, "");
		assert_true(guest_read());
		assert_int_equal(guest.record.cookie, i);
	}
	assert_int_equal(host_counters()->errors, 0);
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
		assert_int_equal(truncate(host.path, sizes[i]), 0);
		for (int k = 0; k < 20 && result != -EIO; k++) {
			result = host_poll();
			if (result == 1)
				host_answer_long(3000);
			else
				msh_region_event(host.region, "tick");
		}
		assert_int_equal(result, sizes[i] > 2 * QUARTER ? 0 : -EIO);
		for (int k = 0; k < 5; k++)
			msh_region_event(host.region, "tick");
		host_answer_long(10);
		guest.head = guest.tail = 0;
		msh_region_close(host.region, true);
		munmap(guest.memory, SIZE);
		region_set_up(NULL);
	}
	assert_int_equal(foreign_faults, 0);

	/* A fault elsewhere is not ours. */
	snprintf(path, sizeof(path), "%s/foreign", region_directory);
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
		volatile uint32_t *word = (volatile uint32_t *)(guest.memory + (offset & ~3u));

		switch (rand_r(&seed) % 10) {
		case 0:
			*word = (uint32_t)rand_r(&seed);
			break;
		case 1:
			guest.index->command_head += 8 * ((uint32_t)rand_r(&seed) % 64);
			break;
		case 2:
		case 8:
			guest.index->event_tail = guest.index->event_head;
			break;
		case 3:
			guest.index->event_tail += 8 * ((uint32_t)rand_r(&seed) % QUARTER);
			break;
		case 4: /* lengths and kinds that are nearly right */
			for (uint32_t i = 0; i < QUARTER; i += 8)
				*(volatile uint64_t *)(guest.memory + QUARTER + i) =
					(1ull << 32) | ((uint32_t)rand_r(&seed) % 1030);
			break;
		case 5:
			guest.index->command_head = (guest.index->command_tail & ~7u) +
						    8 * ((uint32_t)rand_r(&seed) % (QUARTER / 8));
			break;
		case 6:
			guest.memory[0] = '@';
			guest.memory[rand_r(&seed) % 1100] = '@';
			break;
		default:
			guest.memory[offset] = (uint8_t)rand_r(&seed);
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
	pthread_t scribbler;
	uint64_t end, begin, longest = 0, polls = 0;

	stop = false;
	assert_int_equal(pthread_create(&scribbler, NULL, scribble, NULL), 0);
	end = clock_ns(CLOCK_MONOTONIC) + 1000000000;
	do {
		int result;

		/* The thread's own time: others use this machine, too. */
		begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		result = host_poll();
		if (clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin > longest)
			longest = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
		assert_true(result == 0 || result == 1);
		if (result) {
			assert_true(host.command.length <= MSH_WIRE_COMMAND_MAX);
			assert_int_equal(host.command.text[host.command.length], 0);
			host_answer_long(host.command.length);
		}
		if (++polls % 64 == 0)
			msh_region_event(host.region, "tick");
	} while (clock_ns(CLOCK_MONOTONIC) < end);
	stop = true;
	pthread_join(scribbler, NULL);
	print_message("# %lu polls, longest %lu ns; %lu slot, %lu ring, %lu errors\n", polls,
		longest, host_counters()->slot_commands, host_counters()->ring_commands,
		host_counters()->errors);
	assert_true(longest < 20000000);
	assert_true(host_counters()->errors > 0 && host_counters()->ring_commands > 0);

	/* A guest that comes to its senses starts again where the switch is. */
	memset(guest.memory, 0, MSH_WIRE_SLOT_SIZE);
	guest.index->event_tail = 0;
	for (int i = 0; i < 3; i++)
		if (host_poll() == 1)
			host_answer(MSH_OK, "");
	msh_region_close(host.region, true);
	munmap(guest.memory, SIZE);
	region_set_up(NULL);
	ring_command_works(1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		REGION_TEST(test_bad_command_head),
		REGION_TEST(test_bad_records),
		REGION_TEST(test_bad_event_tail),
		REGION_TEST(test_own_indices_are_not_read_back),
		REGION_TEST(test_truncated_file),
		REGION_TEST(test_racing_guest),
	};
	struct sigaction action = {.sa_sigaction = on_foreign_fault, .sa_flags = SA_SIGINFO};
	int failed;

	if (region_make_directory())
		return 1;
	sigaction(SIGBUS, &action, NULL);
	region_set_up(NULL);
	region_tear_down(NULL);
	sigaction(SIGBUS, NULL, &region_action);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(region_directory);
	return failed;
}
