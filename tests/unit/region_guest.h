/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A region and both who use it: the switch, and a naive guest that maps the same file. Include it
 * after cmocka.h. */

#include "bounds.h"
#include "region.h"

#define SIZE MSH_WIRE_SIZE_MIN
#define QUARTER (SIZE / 4) /* of each ring; the commands' begins there, the events' behind it */

extern const struct msh_region_options region_plain;
extern char region_directory[64]; /* holds the files of all tests; the caller removes it */

/* The switch's side of a test. */
extern struct host {
	char path[96];
	struct msh_region *region;
	uint64_t now; /* ns, the switch's clock */
	struct msh_region_command command;
} host;

/* The guest's. */
extern struct guest {
	uint8_t *memory;
	volatile struct msh_wire_index *index;
	uint32_t head, tail; /* command_head, event_tail */
	/* The record that guest_read gave last. */
	struct msh_wire_record record;
	char text[MSH_WIRE_ANSWER_MAX + 1];
} guest;

/* 0, or -1: no test can run. */
int region_make_directory(void);

uint8_t *map_file(const char *path, size_t size);
struct msh_region *region_open_ok(const char *path, const struct msh_region_options *options);

/* A test with a new region of SIZE bytes. */
#define REGION_TEST(name) cmocka_unit_test_setup_teardown(name, region_set_up, region_tear_down)
int region_set_up(void **state);
int region_tear_down(void **state);

/* A microsecond later, the switch looks at the region: see msh_region_poll. */
int host_poll(void);
void host_answer(enum msh_status status, const char *text);
/* An answer with data of that many bytes, in lines of 64. */
void host_answer_long(size_t length);
const struct msh_region_counters *host_counters(void);

/* Copy bytes into a ring, or out of it, round its end. */
void guest_ring_bytes(uint32_t ring, uint32_t at, void *bytes, uint32_t length, bool write);
/* A command into the ring. False: no room. */
bool guest_write(uint64_t cookie, const void *text, uint32_t length);
/* The next record, into `guest`. False: nothing there. */
bool guest_read(void);
void guest_slot_write(const void *text, size_t length);

/* A command through the ring and its answer, whatever else waits before it. */
void ring_command_works(uint64_t cookie);
