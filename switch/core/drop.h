/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The one table of drop reasons: received = sent + the sum of these. */

enum msh_drop {
#define X(NAME, word, help) MSH_DROP_##NAME,
#include "drop.def"
#undef X
	MSH_DROP_COUNT
};

/* Word that names the reason in counters and answers. */
const char *msh_drop_word(enum msh_drop reason);
/* One line for a person. */
const char *msh_drop_help(enum msh_drop reason);
