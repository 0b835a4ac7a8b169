/* SPDX-License-Identifier: BSD-3-Clause */

/* Any bytes as a line: words stay inside their text, and what is refused is refused with a
 * sentence. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

/* Words that were split, put in quotes and split again must be the same words: `mshctl save` relies
 * on it. */
static void
check_again(const struct msh_words *words)
{
	struct msh_words again;
	struct msh_answer why = {0};
	char line[2 * MSH_LINE_MAX];
	size_t length = 0;

	for (int i = 0; i < words->count; i++)
		length += (size_t)snprintf(
			line + length, sizeof(line) - length, "\"%s\" ", words->word[i]);
	if (length > MSH_LINE_MAX)
		return;
	check(!msh_words_split(&again, line, length, &why), "words in quotes are words");
	check(again.count == words->count, "as many words again");
	for (int i = 0; i < words->count; i++)
		check(!strcmp(again.word[i], words->word[i]), "the same word again");
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct msh_words words;
	struct msh_answer why = {0};
	const char *end = words.text + sizeof(words.text);
	char *line = malloc(size ? size : 1); /* its exact size: a read behind it is found */
	int status;

	memcpy(line, data, size);
	memset(&words, 0xff, sizeof(words));
	status = msh_words_split(&words, line, size, &why);
	free(line);
	check(status == 0 || status == -MSH_BAD, "0 or BAD");
	if (status) {
		check(why.status == MSH_BAD && why.text[0], "a reason");
		return 0;
	}
	check(words.count >= 0 && words.count <= MSH_WORDS_MAX, "number of words");
	for (int i = 0; i < words.count; i++) {
		const char *word = words.word[i];

		check(word >= words.text && word < end, "a word begins in the text");
		check(memchr(word, 0, (size_t)(end - word)), "a word ends in the text");
		for (; *word; word++)
			check(*word == '\t' || (*word >= ' ' && *word <= '~'), "printable");
	}
	check_again(&words);
	return 0;
}
