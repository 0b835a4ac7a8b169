/* SPDX-License-Identifier: BSD-3-Clause */

/* The boot file: a script of commands that must all succeed. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

int
msh_script_run(struct msh_control *control, const char *path, char *error, size_t size)
{
	const struct msh_caller boot = {.who = MSH_WHO_OPERATOR};
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	int rc = 0;
	FILE *in = fopen(path, "re");
	if (in == NULL) {
		snprintf(error, size, "%s: %s", path, strerror(errno));
		return -1;
	}
	for (unsigned int number = 1; rc == 0 && (length = getline(&line, &room, in)) >= 0;
		number++) {
		struct msh_answer answer = {0};
		while (length > 0 && (line[length - 1] == '\n' || line[length - 1] == '\r'))
			length--;
		msh_command_run(control, &boot, line, (size_t)length, &answer);
		if (answer.status != MSH_OK) {
			snprintf(error, size, "%s:%u: %s", path, number, answer.text);
			rc = -1;
		}
		msh_answer_clear(&answer);
	}
	if (rc == 0 && ferror(in)) {
		snprintf(error, size, "%s: cannot be read", path);
		rc = -1;
	}
	free(line);
	fclose(in);
	return rc;
}
