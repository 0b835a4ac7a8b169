/* SPDX-License-Identifier: BSD-3-Clause */
#include "words.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

size_t
msh_words_join(char *line, size_t size, int count, char *const *word)
{
	size_t used = 0;

	for (int i = 0; i < count; i++) {
		bool plain = word[i][0] != '\0' && word[i][0] != '#' &&
			     word[i][strcspn(word[i], " \t")] == '\0';
		used += (size_t)snprintf(used < size ? line + used : NULL,
			used < size ? size - used : 0, "%s%s%s%s", i > 0 ? " " : "",
			plain ? "" : "\"", word[i], plain ? "" : "\"");
	}
	return used;
}
