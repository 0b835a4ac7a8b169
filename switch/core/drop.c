/* SPDX-License-Identifier: BSD-3-Clause */
#include "drop.h"

static const struct {
	const char *word, *help;
} reasons[] = {
#define X(NAME, word, help) [MSH_DROP_##NAME] = {word, help},
#include "drop.def"
#undef X
};

const char *
msh_drop_word(enum msh_drop reason)
{
	return reasons[reason].word;
}

const char *
msh_drop_help(enum msh_drop reason)
{
	return reasons[reason].help;
}
