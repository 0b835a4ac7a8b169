/* SPDX-License-Identifier: BSD-3-Clause */

/* The region's rings and a guest that does what guests should do. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "region_guest.h"

static void
test_ring(void **state)
{
	assert_int_equal(host_poll(), 0);
	ring_command_works(77);
	assert_int_equal(host_poll(), 0);
	/* One at a time. */
	assert_true(guest_write(78, "a", 1));
	assert_true(guest_write(79, "", 0));
	assert_int_equal(host_poll(), 1);
	assert_int_equal(host_poll(), 0);
	host_answer(MSH_DENIED, "no");
	assert_int_equal(host_poll(), 1);
	assert_int_equal(host.command.length, 0);
	host_answer(MSH_OK, "");
	assert_true(guest_read());
	assert_int_equal(guest.record.status, MSH_DENIED);
	assert_true(guest_read());
	assert_int_equal(guest.record.cookie, 79);
	assert_false(guest_read());
	msh_region_event(host.region, "backend 1 is down");
	assert_true(guest_read());
	assert_int_equal(guest.record.kind, MSH_WIRE_EVENT);
	assert_true(guest.record.cookie == 0);
	assert_string_equal(guest.text, "backend 1 is down");
	assert_int_equal(host_counters()->ring_commands, 3);
	assert_int_equal(host_counters()->answers, 3);
	assert_int_equal(host_counters()->events, 1);
	assert_int_equal(host_counters()->events_lost + host_counters()->errors, 0);
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
			if (host_poll() != 1)
				continue;
			assert_true(host.command.cookie == ++taken);
			for (uint32_t i = 0; i < host.command.length; i++)
				assert_int_equal(
					host.command.text[i], 'a' + (int)((taken - 1) % 26));
			host_answer_long(host.command.length);
			if (taken % 16 == 0)
				msh_region_event(host.region, "tick");
		} else if (guest_read()) {
			if (guest.record.kind == MSH_WIRE_ANSWER)
				assert_true(guest.record.cookie == ++answered);
			else
				events++;
		}
	}
	while (guest_read())
		events++;
	assert_int_equal(host_counters()->errors, 0);
	assert_int_equal(host_counters()->answers, records);
	assert_int_equal(host_counters()->ring_commands, records);
	assert_int_equal(host_counters()->events, events);
	assert_int_equal(host_counters()->events + host_counters()->events_lost, records / 16);
}

static void
test_ring_long_answers(void **state)
{
	for (size_t length = MSH_WIRE_ANSWER_MAX - 100; length < MSH_WIRE_ANSWER_MAX + 100;
		length++) {
		assert_true(guest_write(length, "x", 1));
		assert_int_equal(host_poll(), 1);
		host_answer_long(length);
		assert_true(guest_read());
		/* What is cut goes by whole lines. */
		assert_true(guest.record.length > MSH_WIRE_ANSWER_MAX - 200);
		assert_int_equal(strlen(guest.text), guest.record.length);
	}
	/* The last line says so, with a number. */
	assert_null(strchr(guest.text + guest.record.length - 8, '@'));
	assert_non_null(strpbrk(guest.text, "0123456789"));
}

static void
test_events_are_lost_when_the_ring_is_full(void **state)
{
	char text[2 * MSH_WIRE_ANSWER_MAX];
	uint64_t seen = 0;

	memset(text, 'e', sizeof(text));
	text[sizeof(text) - 1] = 0;
	for (int i = 0; i < 10; i++)
		msh_region_event(host.region, text);
	assert_int_equal(host_counters()->events, 4);
	assert_int_equal(host_counters()->events_lost, 6);
	while (guest_read()) {
		assert_int_equal(guest.record.length, MSH_WIRE_ANSWER_MAX);
		seen++;
	}
	assert_int_equal(seen, 4);
	/* The room of an answer that is due is not for events. */
	assert_true(guest_write(5, "x", 1));
	assert_int_equal(host_poll(), 1);
	for (int i = 0; i < 2000; i++)
		msh_region_event(host.region, "small");
	assert_true(host_counters()->events_lost > 100);
	host_answer_long(2 * MSH_WIRE_ANSWER_MAX);
	do {
		assert_true(guest_read());
	} while (guest.record.kind == MSH_WIRE_EVENT);
	assert_int_equal(guest.record.cookie, 5);
	assert_int_equal(host_counters()->errors, 0);
	ring_command_works(6);
}

static void
test_backpressure(void **state)
{
	uint64_t cookie = 0, taken = 0;

	while (guest_write(cookie + 1, "x", 1))
		cookie++;
	assert_int_equal(cookie, QUARTER / 24);
	while (host_poll() == 1) {
		taken++;
		host_answer_long(3000);
	}
	assert_int_equal(taken,
		5); /* what fits: 16 KiB in answers of 3 KiB, with room for the largest left */
	for (int i = 0; i < 1000; i++)
		assert_int_equal(host_poll(), 0);
	/* The slot does not wait for the ring. */
	guest_slot_write("slot", 4);
	assert_int_equal(host_poll(), 0);
	assert_int_equal(host_poll(), 1);
	host_answer(MSH_OK, "");
	for (uint64_t i = 1; i <= cookie; i++) {
		assert_true(guest_read());
		assert_true(guest.record.cookie == i);
		if (host_poll() == 1)
			host_answer_long(3000);
	}
	assert_int_equal(host_counters()->errors, 0);
	assert_int_equal(host_counters()->ring_commands, cookie);
}

static void
test_slot_and_ring_alternate(void **state)
{
	int slot = 0, ring = 0;

	for (int i = 0; i < 3000; i++) {
		while (guest_write(1, "x", 1))
			;
		if (guest.memory[0] != '@')
			guest_slot_write("s", 1);
		assert_int_equal(host_poll(), 1);
		*(host.command.from_ring ? &ring : &slot) += 1;
		host_answer(MSH_OK, "");
		while (guest_read())
			;
	}
	/* The slot needs two looks for a command. */
	assert_true(slot >= 990 && ring >= 990);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		REGION_TEST(test_ring),
		REGION_TEST(test_ring_wraps),
		REGION_TEST(test_ring_long_answers),
		REGION_TEST(test_events_are_lost_when_the_ring_is_full),
		REGION_TEST(test_backpressure),
		REGION_TEST(test_slot_and_ring_alternate),
	};
	int failed;

	if (region_make_directory())
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(region_directory);
	return failed;
}
