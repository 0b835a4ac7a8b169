/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What the files of the msh tool share. */

#include <stdio.h>

#include "libmsh.h"

/* Print a text, which may have its newline already. */
void msh_print_line(FILE *stream, const char *text, size_t length);

/* Send the commands of a script over the rings of an attached guest, many at once. Blank lines and
 * those that start with # are skipped. Prints the data of answers, and the first error as
 * `name:line: sentence`; nothing is sent after that. timeout_ms: for each answer. Returns the exit
 * status. */
int msh_script_run(struct msh_guest *guest, const char *name, FILE *stream, int timeout_ms);
