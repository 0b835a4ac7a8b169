/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* mshctl's side of the control socket (docs/commands.md; the other side is control/socket.c). */

#include <jansson.h>
#include <stddef.h>

/* Connect to the switch. A descriptor, or -1 after a sentence on stderr. */
int msh_client_connect(const char *path, unsigned int timeout_s);

/* Send one command line and wait for the answer. {"status", "text", "data"}, to be decref'ed; NULL
 * after a sentence on stderr. */
json_t *msh_client_ask(int fd, const char *line);
