/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdbool.h>
#include <stdint.h>

#include "grammar.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* A line being cut. What is written never overtakes what is read: quotes go, and each word's
 * terminator takes the place of a blank, a quote, or the line's end. */
struct cut {
	const char *line;
	size_t length, at; /* at: next byte to read */
	char *to;          /* next byte to write */
};

/* Copy one word without its quotes, and terminate it. */
static int
word_cut(struct cut *cut, struct msh_answer *why)
{
	size_t quote = 0; /* 1 + offset of an open one */

	for (; cut->at < cut->length; cut->at++) {
		char c = cut->line[cut->at];

		if (!quote && is_blank(c))
			break;
		if (c == '"')
			quote = quote ? 0 : cut->at + 1;
		else if (c == '\t' || (c >= ' ' && c <= '~'))
			*cut->to++ = c;
		else
			return msh_answer_set(why, MSH_BAD,
				"byte 0x%02x at offset %zu is not printable ASCII", (uint8_t)c,
				cut->at);
	}
	if (quote)
		return msh_answer_set(
			why, MSH_BAD, "the quote at offset %zu is not closed", quote - 1);
	*cut->to++ = '\0';
	return 0;
}

int
msh_words_split(struct msh_words *words, const char *line, size_t length, struct msh_answer *why)
{
	struct cut cut = {.line = line, .length = length, .to = words->text};
	int count = 0, status;

	words->count = 0;
	words->text[0] = '\0';
	if (length > MSH_LINE_MAX)
		return msh_answer_set(why, MSH_BAD, "a line of %zu bytes: the longest has %d",
			length, MSH_LINE_MAX);
	for (;;) {
		while (cut.at < length && is_blank(line[cut.at]))
			cut.at++;
		/* What is said in a comment is nobody's business: not even its bytes are checked.
		 */
		if (cut.at == length || line[cut.at] == '#')
			break;
		if (count == MSH_WORDS_MAX)
			return msh_answer_set(why, MSH_BAD,
				"more than %d words, from offset %zu on", MSH_WORDS_MAX, cut.at);
		words->word[count++] = cut.to;
		status = word_cut(&cut, why);
		if (status)
			return status;
	}
	words->count = count;
	return 0;
}
