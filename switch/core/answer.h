/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What a command answers: a status, and a sentence or data. Control lcore only. */

#include <jansson.h>
#include <stddef.h>

#include "wire.h"

struct msh_answer {
	enum msh_status status;
	char text[384]; /* one sentence; of an error: names the thing and the value */
	json_t *data;   /* owned, may be NULL: an array of flat objects (a table), an object, or a
			   string */
};

/* Each returns the status negated, so that a handler can `return msh_answer_set(...)`: 0 for OK. */
int msh_answer_set(struct msh_answer *answer, enum msh_status status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Word of a status: "OK", "BAD", ... */
const char *msh_status_word(enum msh_status status);

/* Release what the answer owns. */
void msh_answer_clear(struct msh_answer *answer);

/* Human form of JSON data: arrays of objects as an aligned table with a header, objects as "key:
 * value" lines, strings as they are. Ends in a newline unless empty. Returns a string to free(), or
 * NULL. */
char *msh_render(const json_t *data);

/* Text form of a whole answer, as guests read it: the status word, then the sentence or the data.
 * Writes at most size bytes with the terminator; what does not fit is replaced by a line that says
 * how many bytes were cut. Returns the length written. */
size_t msh_answer_text(const struct msh_answer *answer, char *buffer, size_t size);
