/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>

#include "command.h"

/* Split a line into words at blanks; `#` at the start of a word begins a comment. Double quotes
 * keep blanks in a word. 0 (also for an empty line: no words), or the negative status of *why: too
 * long, too many words, an unclosed quote, or a byte that is not printable ASCII (named with its
 * offset). */
int msh_words_split(
	struct msh_words *words, const char *line, size_t length, struct msh_answer *why);
