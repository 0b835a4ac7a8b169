/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What the tests of stages share: commands as typed, what an instance says of itself, and bursts
 * of frames. They speak to one stage, and leave what is in `answer` and `burst` to look at. */

#include "frames.h"
#include "stage.h"

#define MAC_A "52:54:00:00:00:01"
#define MAC_B "52:54:00:00:00:02"

extern const struct msh_stage *stage; /* main sets it */
extern struct msh_answer answer;      /* to the last command */
extern struct msh_burst burst;        /* the last one classified */

/* Apply one line to old; the new instance goes to *result, and old stays. Returns the status. */
int apply(const void *old, const char *line, const void **result);

/* The same, in place of *instance. */
int run(const void **instance, const char *line);

/* It must give this status and a text that has `text`; only OK may change the instance. */
void expect(const void **instance, const char *line, int status, const char *text);

/* An address has this MAC now; that must change the instance, or not. */
void resolve(const void **instance, const char *ip, const char *mac, bool changes);

/* Destroy the instance, unless NULL, and clear the answer. */
void done(const void *instance);

/* Lines in one text, which the caller frees. */
struct lines {
	char *text;
	size_t length;
	unsigned int count;
};

struct lines no_lines(void);
void collect(void *lines, const char *line);

struct lines dump(const void *instance);
void assert_dump(const void *instance, const char *want);

/* What the dump makes of an empty VM must dump the same. */
void assert_roundtrip(const void *instance);

/* A number in a row of `stage show`. */
long counter(const void *instance, unsigned int row, const char *key);

/* Parse the frames, and classify them as one burst. */
void classify(
	const void *instance, const struct frame *frame, unsigned int count, unsigned int worker);

/* The same, for a stage that delivers or drops for one reason: a mask of those dropped. */
uint64_t classify_drops(const void *instance, const struct frame *frame, unsigned int count,
	unsigned int worker, enum msh_drop reason);

double seconds(void);
