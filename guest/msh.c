/* SPDX-License-Identifier: BSD-3-Clause */

/* msh: speak to the switch from inside a guest. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "msh.h"

#define MSH_STRING_(x) #x
#define MSH_STRING(x) MSH_STRING_(x)

enum { EXIT_USAGE = 2, TIMEOUT_MS = 2000 };

struct options {
	const char *region; /* NULL: the PCI device */
	int timeout_ms;
	const char *argument; /* of the verb's option */
	int count;            /* words that follow the options */
	char **words;
};

struct verb {
	int letter;
	const char *name;
	int has_arg;
	const char *usage, *help;
	int (*run)(const struct options *options);
};

static volatile sig_atomic_t stopped;

static int
complain(const struct msh_guest_why *why)
{
	fprintf(stderr, "msh: %s\n", why->text);
	return EXIT_FAILURE;
}

static int
usage_error(const char *sentence)
{
	fprintf(stderr, "msh: %s (msh --help)\n", sentence);
	return EXIT_USAGE;
}

static struct msh_guest *
open_region(const struct options *options)
{
	struct msh_guest_why why;
	struct msh_guest *guest;

	if (msh_guest_open(&guest, options->region, &why) < 0)
		complain(&why);
	return guest;
}

void
msh_print_line(FILE *stream, const char *text, size_t length)
{
	fwrite(text, 1, length, stream);
	if (length == 0 || text[length - 1] != '\n')
		fputc('\n', stream);
}

static int
print_answer(const struct msh_guest_message *answer)
{
	if (answer->status != MSH_OK) {
		fflush(stdout);
		msh_print_line(stderr, answer->text, answer->length);
		return EXIT_FAILURE;
	}
	msh_print_line(stdout, answer->text, answer->length);
	return EXIT_SUCCESS;
}

/* One command from the words; a shell has taken the quotes off those with blanks. False: too long.
 */
static bool
join_words(char *text, size_t size, const struct options *options)
{
	size_t length = 0;

	for (int i = 0; i < options->count; i++) {
		const char *word = options->words[i];
		const char *quote =
			options->count > 1 && strpbrk(word, " \t#") && !strchr(word, '"') ? "\""
											  : "";

		length += (size_t)snprintf(
			text + length, size - length, "%s%s%s%s", i ? " " : "", quote, word, quote);
		if (length >= size)
			return false;
	}
	return length > 0;
}

/* A command by the slot when `slot`, else by the ring; by the slot as well while another process
 * (an agent, msh -e) has the ring. */
static int
send_command(const struct options *options, bool slot)
{
	char text[MSH_WIRE_COMMAND_MAX + 1];
	struct msh_guest_message answer = {0};
	struct msh_guest_why why;
	struct msh_guest *guest;
	int rc;

	if (!join_words(text, sizeof(text), options))
		return usage_error(
			"a command of 1 to " MSH_STRING(MSH_WIRE_COMMAND_MAX) " bytes is needed");
	guest = open_region(options);
	if (guest == NULL)
		return EXIT_FAILURE;
	rc = slot ? -ENOTSUP : msh_guest_attach(guest, 0, &why);
	if (rc == 0)
		rc = msh_guest_call(guest, text, &answer, options->timeout_ms, &why);
	else if (rc == -ENOTSUP || rc == -EBUSY)
		rc = msh_guest_slot_call(guest, text, &answer, options->timeout_ms, &why);
	rc = rc < 0 ? complain(&why) : print_answer(&answer);
	msh_guest_close(guest);
	return rc;
}

static int
verb_command(const struct options *options)
{
	return send_command(options, false);
}

static int
verb_slot(const struct options *options)
{
	return send_command(options, true);
}

static int
verb_read(const struct options *options)
{
	char text[MSH_WIRE_SLOT_SIZE + 1];
	struct msh_guest *guest = open_region(options);
	size_t length;

	if (guest == NULL)
		return EXIT_FAILURE;
	length = msh_guest_slot_read(guest, text, sizeof(text));
	msh_print_line(stdout, text, length);
	msh_guest_close(guest);
	return EXIT_SUCCESS;
}

static int
verb_write(const struct options *options)
{
	struct msh_guest *guest = open_region(options);
	struct msh_guest_why why;
	int rc;

	if (guest == NULL)
		return EXIT_FAILURE;
	rc = msh_guest_slot_write(guest, options->argument, &why);
	rc = rc < 0 ? complain(&why) : EXIT_SUCCESS;
	msh_guest_close(guest);
	return rc;
}

static int
verb_info(const struct options *options)
{
	struct msh_guest *guest = open_region(options);
	struct msh_wire_header header;
	struct msh_guest_why why;
	int rc;

	if (guest == NULL)
		return EXIT_FAILURE;
	printf("region: %s\nsize: %" PRIu64 "\n", msh_guest_path(guest), msh_guest_size(guest));
	fflush(stdout);
	rc = msh_guest_header(guest, &header, &why);
	if (rc < 0) {
		complain(&why);
	} else {
		printf("abi: %u\nsession: %016" PRIx64 "\n", header.abi, header.session);
		printf("features:%s%s%s (0x%" PRIx64 ")\n",
			header.features & MSH_WIRE_F_TEXT ? " text" : "",
			header.features & MSH_WIRE_F_RING ? " ring" : "",
			header.features & MSH_WIRE_F_EVENTS ? " events" : "", header.features);
		printf("command ring: %u bytes at %u, texts to %u\n", header.command_size,
			header.command_offset, header.command_max);
		printf("event ring: %u bytes at %u, texts to %u\n", header.event_size,
			header.event_offset, header.answer_max);
	}
	msh_guest_close(guest);
	return rc < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void
stop(int number)
{
	stopped = number;
}

/* -e outlives the switch: it waits for the next one and goes on. */
static int
print_events(struct msh_guest *guest, int left_ms, struct msh_guest_why *why)
{
	struct msh_guest_message message;
	int rc = msh_guest_attach(guest, left_ms, why);

	while (rc >= 0 && !stopped && left_ms != 0) {
		int slice = left_ms < 0 || left_ms > 100 ? 100 : left_ms;

		rc = msh_guest_receive(guest, &message, slice, why);
		if (rc == 1 && message.kind == MSH_WIRE_EVENT) {
			msh_print_line(stdout, message.text, message.length);
			fflush(stdout);
		}
		if (rc == 0 && left_ms > 0)
			left_ms -= slice;
		if (rc == -ESTALE) {
			complain(why);
			rc = msh_guest_attach(guest, left_ms < 0 ? 1000 : left_ms, why);
		}
		while (rc == -ENOTCONN && left_ms < 0 && !stopped)
			rc = msh_guest_attach(guest, 1000, why);
	}
	return rc;
}

static int
verb_events(const struct options *options)
{
	struct sigaction action = {.sa_handler = stop};
	struct msh_guest_why why;
	struct msh_guest *guest;
	int rc, left_ms = -1;
	char *end;

	if (options->count > 0) {
		double seconds = strtod(options->words[0], &end);

		if (options->count > 1 || *end != '\0' || !(seconds >= 0 && seconds < 2000000))
			return usage_error("-e takes one number of seconds");
		left_ms = (int)(seconds * 1000);
	}
	guest = open_region(options);
	if (guest == NULL)
		return EXIT_FAILURE;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	rc = print_events(guest, left_ms, &why);
	msh_guest_close(guest);
	return rc < 0 ? complain(&why) : EXIT_SUCCESS;
}

static int
verb_file(const struct options *options)
{
	bool is_stdin = strcmp(options->argument, "-") == 0;
	const char *name = is_stdin ? "stdin" : options->argument;
	FILE *stream = is_stdin ? stdin : fopen(options->argument, "re");
	struct msh_guest_why why;
	struct msh_guest *guest;
	int rc = EXIT_FAILURE;

	if (stream == NULL) {
		fprintf(stderr, "msh: cannot open %s: %m\n", options->argument);
		return EXIT_FAILURE;
	}
	guest = open_region(options);
	if (guest != NULL && msh_guest_attach(guest, options->timeout_ms, &why) < 0)
		complain(&why);
	else if (guest != NULL)
		rc = msh_script_run(guest, name, stream, options->timeout_ms);
	msh_guest_close(guest);
	if (!is_stdin)
		fclose(stream);
	return rc;
}

static int verb_help(const struct options *options);

static int
verb_version(const struct options *options)
{
	printf("msh %s (region ABI %d)\n", MSH_VERSION, MSH_WIRE_ABI);
	return EXIT_SUCCESS;
}

static const struct verb verbs[] = {
	{0, NULL, 0, "COMMAND...", "send a command, print its answer", verb_command},
	{'s', "slot", 0, "COMMAND...", "the same, through the text slot", verb_slot},
	{'f', "file", 1, "FILE", "send a file's lines (-: of stdin), stop at the first error",
		verb_file},
	{'e', "events", 0, "[SECONDS]", "print what the switch tells unasked", verb_events},
	{'r', "read", 0, "", "print the text slot as it is", verb_read},
	{'w', "write", 1, "\"@COMMAND@\"", "write the text slot as it is, do not wait", verb_write},
	{'i', "info", 0, "", "print the region's header", verb_info},
	{'h', "help", 0, "", "print this", verb_help},
	{'v', "version", 0, "", "print the version", verb_version},
};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static int
verb_help(const struct options *options)
{
	puts("usage: msh [--region FILE] [--timeout MS] VERB\n");
	for (int i = 0; i < VERBS; i++) {
		char left[64];

		if (verbs[i].name == NULL)
			snprintf(left, sizeof(left), "%s", verbs[i].usage);
		else
			snprintf(left, sizeof(left), "-%c, --%s %s", verbs[i].letter, verbs[i].name,
				verbs[i].usage);
		printf("  %-28s %s\n", left, verbs[i].help);
	}
	printf("\n  --region FILE                in place of the ivshmem device: a file or a "
	       "resource2\n"
	       "  --timeout MS                 how long to wait for an answer (%d)\n\n"
	       "Exit status: 0 the switch said OK; 1 it did not, or could not be asked; 2 usage.\n"
	       "msh help asks the switch for its commands.\n",
		TIMEOUT_MS);
	return EXIT_SUCCESS;
}

static bool
parse_timeout(const char *text, int *timeout_ms)
{
	char *end;
	long value = strtol(text, &end, 10);

	*timeout_ms = (int)value;
	return end != text && *end == '\0' && value >= 0 && value <= 86400000;
}

static int
parse(int argc, char **argv, struct options *options, const struct verb **verb)
{
	struct option longs[VERBS + 2] = {{"region", required_argument, NULL, 'R'},
		{"timeout", required_argument, NULL, 'T'}};
	char letters[2 * VERBS + 2] = "+";
	int c, at = 1;

	for (int i = 1; i < VERBS; i++) {
		longs[1 + i] =
			(struct option){verbs[i].name, verbs[i].has_arg, NULL, verbs[i].letter};
		letters[at++] = (char)verbs[i].letter;
		if (verbs[i].has_arg)
			letters[at++] = ':';
	}
	while ((c = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
		if (c == '?')
			return EXIT_USAGE;
		if (c == 'T' && !parse_timeout(optarg, &options->timeout_ms))
			return usage_error("--timeout takes milliseconds, up to a day");
		if (c == 'R')
			options->region = optarg;
		for (int i = 1; i < VERBS; i++) {
			if (verbs[i].letter != c)
				continue;
			*verb = &verbs[i];
			options->argument = optarg;
		}
	}
	options->count = argc - optind;
	options->words = argv + optind;
	return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
	struct options options = {.timeout_ms = TIMEOUT_MS};
	const struct verb *verb = &verbs[0];
	int rc = parse(argc, argv, &options, &verb);

	if (rc != EXIT_SUCCESS)
		return rc;
	if (verb->usage[0] == '\0' || verb->has_arg) {
		if (options.count > 0)
			return usage_error("too many words");
	} else if (options.count == 0 && verb->run != verb_events) {
		return usage_error("which command?");
	}
	return verb->run(&options);
}
