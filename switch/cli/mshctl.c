/* SPDX-License-Identifier: BSD-3-Clause */

/* mshctl: commands to a running mshswitch. */

#include <errno.h>
#include <getopt.h>
#include <histedit.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "answer.h"
#include "client.h"
#include "words.h"

#define SOCKET_DEFAULT "/run/mshswitch.sock"
#define LINE_MAX_BYTES 1024

struct session {
	int fd;
	bool json;
};

static void
print_help(void)
{
	puts("usage: mshctl [-s SOCKET] [-j] COMMAND...\n"
	     "       mshctl [-s SOCKET] [-j] -f FILE\n"
	     "       mshctl [-s SOCKET] [-j]\n"
	     "\n"
	     "Give a command to a running mshswitch, a file of them (`-` is stdin), or type them "
	     "at a prompt.\n"
	     "`mshctl help` lists the commands.\n"
	     "\n"
	     "  -s SOCKET    the switch's socket (default: $MSHSWITCH_SOCKET, else " SOCKET_DEFAULT
	     ")\n"
	     "  -j           answers as JSON\n"
	     "  -f FILE      run a script; stops at the first error, naming file and line\n"
	     "  -t SECONDS   wait at most so long for an answer (default 10)\n"
	     "  --help, --version\n"
	     "\n"
	     "Exit status: 0 when all went well, 1 otherwise, with a sentence on stderr.");
}

/* Does the line ask anything of the switch? */
static bool
is_blank(const char *line)
{
	line += strspn(line, " \t\r\n");
	return *line == '\0' || *line == '#';
}

static void
print_json(json_t *answer)
{
	json_t *data = json_object_get(answer, "data");
	json_dumpf(data != NULL ? data : answer, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
	putchar('\n');
}

static void
print_text(json_t *answer)
{
	const char *text = json_string_value(json_object_get(answer, "text"));
	json_t *data = json_object_get(answer, "data");
	char *rendered = data != NULL ? msh_render(data) : NULL;
	if (text != NULL)
		puts(text);
	if (rendered != NULL)
		fputs(rendered, stdout);
	free(rendered);
}

/* Carry out one line; errors go to stderr after `where`. Returns the exit status. */
static int
run_line(const struct session *session, const char *line, const char *where)
{
	if (strlen(line) > LINE_MAX_BYTES) {
		fprintf(stderr, "%s: a command has at most %d bytes\n", where, LINE_MAX_BYTES);
		return EXIT_FAILURE;
	}
	json_t *answer = msh_client_ask(session->fd, line);
	if (answer == NULL)
		return EXIT_FAILURE;
	const char *status = json_string_value(json_object_get(answer, "status"));
	const char *text = json_string_value(json_object_get(answer, "text"));
	bool ok = status != NULL && strcmp(status, "OK") == 0;
	if (session->json)
		print_json(answer);
	else if (ok)
		print_text(answer);
	if (!ok)
		fprintf(stderr, "%s: %s (%s)\n", where, text != NULL ? text : "refused",
			status != NULL ? status : "?");
	fflush(stdout);
	json_decref(answer);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void
chomp(char *line)
{
	line[strcspn(line, "\r\n")] = '\0';
}

/* A script; `name` for errors. With stop, ends at the first error. */
static int
run_stream(const struct session *session, FILE *in, const char *name, bool stop)
{
	char *line = NULL, where[512];
	size_t room = 0;
	int rc = EXIT_SUCCESS;
	for (unsigned int number = 1; getline(&line, &room, in) >= 0; number++) {
		chomp(line);
		snprintf(where, sizeof(where), "%s:%u", name, number);
		if (!is_blank(line) && run_line(session, line, where) != EXIT_SUCCESS) {
			rc = EXIT_FAILURE;
			if (stop)
				break;
		}
	}
	free(line);
	return rc;
}

static int
run_file(const struct session *session, const char *path)
{
	if (strcmp(path, "-") == 0)
		return run_stream(session, stdin, "stdin", true);
	FILE *in = fopen(path, "re");
	if (in == NULL) {
		fprintf(stderr, "mshctl: %s: %s\n", path, strerror(errno));
		return EXIT_FAILURE;
	}
	int rc = run_stream(session, in, path, true);
	fclose(in);
	return rc;
}

static char *
prompt(EditLine *el)
{
	static char text[] = "msh> ";
	return text;
}

/* Line editing and history; ends with Ctrl-D, `quit` or `exit`. */
static int
run_prompt(const struct session *session)
{
	HistEvent event;
	History *past = history_init();
	EditLine *el = el_init("mshctl", stdin, stdout, stderr);
	if (past == NULL || el == NULL)
		return EXIT_FAILURE;
	history(past, &event, H_SETSIZE, 500);
	el_set(el, EL_PROMPT, prompt);
	el_set(el, EL_EDITOR, "emacs");
	el_set(el, EL_HIST, history, past);
	el_set(el, EL_SIGNAL, 1);
	const char *typed;
	int n;
	while ((typed = el_gets(el, &n)) != NULL && n > 0) {
		char line[2 * LINE_MAX_BYTES];
		snprintf(line, sizeof(line), "%s", typed);
		chomp(line);
		if (strcmp(line, "quit") == 0 || strcmp(line, "exit") == 0)
			break;
		if (is_blank(line))
			continue;
		history(past, &event, H_ENTER, typed);
		run_line(session, line, "error");
	}
	el_end(el);
	history_end(past);
	return EXIT_SUCCESS;
}

/* The words of the command line as one line. */
static int
run_words(const struct session *session, int argc, char **argv)
{
	char line[LINE_MAX_BYTES + 2];
	/* One argument may be a whole command, as in mshctl "port show". */
	if (argc == 1)
		snprintf(line, sizeof(line), "%s", argv[0]);
	else
		msh_words_join(line, sizeof(line), argc, argv);
	return run_line(session, line, "mshctl");
}

int
main(int argc, char **argv)
{
	static const struct option known[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	const char *socket = getenv("MSHSWITCH_SOCKET"), *file = NULL;
	struct session session = {0};
	unsigned int timeout = 10;
	int option;
	while ((option = getopt_long(argc, argv, "+s:jf:t:h", known, NULL)) != -1) {
		switch (option) {
		case 's':
			socket = optarg;
			break;
		case 'j':
			session.json = true;
			break;
		case 'f':
			file = optarg;
			break;
		case 't':
			timeout = (unsigned int)strtoul(optarg, NULL, 10);
			break;
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		case 'V':
			puts("mshctl " MSH_VERSION);
			return EXIT_SUCCESS;
		default:
			fputs("mshctl: see mshctl --help\n", stderr);
			return EXIT_FAILURE;
		}
	}
	session.fd = msh_client_connect(socket != NULL ? socket : SOCKET_DEFAULT, timeout);
	if (session.fd < 0)
		return EXIT_FAILURE;
	int rc;
	if (file != NULL)
		rc = run_file(&session, file);
	else if (optind < argc)
		rc = run_words(&session, argc - optind, argv + optind);
	else if (isatty(STDIN_FILENO))
		rc = run_prompt(&session);
	else
		rc = run_stream(&session, stdin, "stdin", false);
	close(session.fd);
	return rc;
}
