/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stddef.h>

/* The words as a line that is cut into the same words again: those with blanks, and a first # are
 * quoted. Returns the line's length, as snprintf does; no word has a quote in it. */
size_t msh_words_join(char *line, size_t size, int count, char *const *word);
