/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "msh.h"

/* A script on its way. Answers come in the order of the commands. */
struct script {
	const char *name;
	struct msh_guest *guest;
	int timeout_ms;
	uint64_t cookie;         /* of line 0: a command's is this + its line */
	uint64_t sent, answered; /* commands */
	uint64_t last_line;      /* of the last answer */
	uint64_t failed_line;    /* 0: none */
};

static void
take_answer(struct script *script, const struct msh_guest_message *answer)
{
	const char *data = strchr(answer->text, '\n');

	script->answered++;
	script->last_line = answer->cookie - script->cookie;
	if (answer->status == MSH_OK) {
		/* The bare "OK"s of a long script tell nobody anything. */
		if (data != NULL && data[1] != '\0')
			msh_print_line(stdout, data + 1, strlen(data + 1));
		return;
	}
	if (script->failed_line != 0)
		return;
	script->failed_line = script->last_line;
	fflush(stdout);
	fprintf(stderr, "%s:%" PRIu64 ": ", script->name, script->failed_line);
	msh_print_line(stderr, answer->text, answer->length);
	if (script->sent > script->answered)
		fprintf(stderr, "msh: %" PRIu64 " commands after that line had been sent already\n",
			script->sent - script->answered);
}

/* Take one message. 1: there was one; 0: none in time; -errno. */
static int
receive(struct script *script, int timeout_ms, struct msh_guest_why *why)
{
	struct msh_guest_message message;
	int rc = msh_guest_receive(script->guest, &message, timeout_ms, why);

	/* Else an event, or an answer to a process before us. */
	if (rc > 0 && message.kind == MSH_WIRE_ANSWER &&
		message.cookie >> 32 == script->cookie >> 32)
		take_answer(script, &message);
	return rc;
}

/* Wait for a message that must come. */
static int
await(struct script *script, struct msh_guest_why *why)
{
	int rc = receive(script, script->timeout_ms, why);

	if (rc != 0)
		return rc;
	snprintf(why->text, sizeof(why->text), "no answer in %d ms: is the switch running?",
		script->timeout_ms);
	return -ETIMEDOUT;
}

static int
submit(struct script *script, const char *line, uint64_t number, struct msh_guest_why *why)
{
	uint32_t length = (uint32_t)strlen(line);
	int rc;

	while ((rc = msh_guest_submit(script->guest, script->cookie + number, line, length, why)) ==
		-EAGAIN) {
		rc = await(script, why);
		if (rc < 0 || script->failed_line != 0)
			return rc;
	}
	if (rc == 0)
		script->sent++;
	return rc;
}

static bool
is_command(char *line)
{
	line[strcspn(line, "\n")] = '\0';
	line += strspn(line, " \t\r");
	return line[0] != '\0' && line[0] != '#';
}

/* 0, or -errno at line *number. */
static int
send_lines(struct script *script, FILE *stream, uint64_t *number, struct msh_guest_why *why)
{
	char *line = NULL;
	size_t size = 0;
	int rc = 0;

	while (rc >= 0 && script->failed_line == 0 && getline(&line, &size, stream) >= 0) {
		++*number;
		if (is_command(line))
			rc = submit(script, line, *number, why);
		while (rc >= 0 && (rc = receive(script, 0, why)) > 0)
			;
	}
	free(line);
	while (rc >= 0 && script->answered < script->sent)
		rc = await(script, why);
	return rc < 0 ? rc : 0;
}

int
msh_script_run(struct msh_guest *guest, const char *name, FILE *stream, int timeout_ms)
{
	struct script script = {.name = name,
		.guest = guest,
		.timeout_ms = timeout_ms,
		.cookie = msh_guest_cookie() & ~0xffffffffull};
	struct msh_guest_why why;
	uint64_t number = 0;
	int rc = send_lines(&script, stream, &number, &why);

	if (rc < 0) {
		fprintf(stderr, "%s:%" PRIu64 ": %s\n", name, number, why.text);
		if (script.sent > script.answered)
			fprintf(stderr,
				"msh: %" PRIu64 " commands after line %" PRIu64 " have no answer\n",
				script.sent - script.answered, script.last_line);
	}
	return rc < 0 || script.failed_line != 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
