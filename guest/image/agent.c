/* SPDX-License-Identifier: BSD-3-Clause */

/* Run commands for the host over a virtio-serial port: many at once, each framed, so that any
 * output goes through as it is. tests/lib/guest.py is the other side.
 *
 * host to guest   SYNC <token>                                    answered with the same line
 *                 RUN <id> <timeout ms, 0: none> <n> <m>          then n bytes of script, m of its
 * stdin KILL <id> <signal>                              to the script's process group guest to host
 * OUT <id> <n>                                    then n bytes: stdout and stderr END <id> <code>
 * 128 + signal, 124: timeout, 126: no job */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS = 64, CHUNK = 16384, LINE = 128, PAYLOAD_MAX = 64 << 20 };

struct job {
	unsigned int id;
	pid_t pid;         /* 0: ended, but something that it left in the background writes yet */
	int output, pidfd; /* output -1: the slot is free */
	int64_t deadline;  /* ms; 0: none */
	bool timed_out;
};

/* What has come from the host and is not complete yet. */
struct request {
	char line[LINE];
	size_t line_length;
	char *payload; /* NULL while the line is read */
	size_t payload_length, payload_size;
	unsigned int id, timeout_ms, script_length;
};

static struct job jobs[JOBS];
static int port;

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

static void
send_all(const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length > 0) {
		ssize_t done = write(port, at, length);

		if (done < 0 && errno != EINTR && errno != EAGAIN)
			return; /* the host is gone, and what we say with it */
		if (done > 0) {
			at += done;
			length -= (size_t)done;
		}
	}
}

static void
send_end(unsigned int id, int code)
{
	char line[LINE];

	send_all(line, (size_t)snprintf(line, sizeof(line), "END %u %d\n", id, code));
}

static int
stdin_file(const char *bytes, size_t length)
{
	int fd = memfd_create("stdin", 0);

	if (fd >= 0 &&
		(write(fd, bytes, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The script goes through a file: one argument of execve is 128 KiB at most. */
static void
exec_script(const char *script, size_t length, int input, int output)
{
	char path[32];
	int file = stdin_file(script, length);

	setsid();
	signal(SIGPIPE, SIG_DFL);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	if (file < 0 || dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0)
		_exit(126);
	if (length < 100000) {
		char *text = strndup(script, length);

		close(file);
		execl("/bin/sh", "sh", "-c", text, (char *)NULL);
	} else {
		execl("/bin/sh", "sh", path, (char *)NULL);
	}
	_exit(126);
}

static struct job *
job_find(unsigned int id)
{
	for (int i = 0; i < JOBS; i++)
		if (jobs[i].output >= 0 && jobs[i].pid > 0 && jobs[i].id == id)
			return &jobs[i];
	return NULL;
}

/* The slot of a new job. Without a free one, a background process loses its output: nobody reads
 * it. */
static struct job *
job_slot(void)
{
	for (int i = 0; i < JOBS; i++)
		if (jobs[i].output < 0)
			return &jobs[i];
	for (int i = 0; i < JOBS; i++) {
		if (jobs[i].pid == 0) {
			close(jobs[i].output);
			return &jobs[i];
		}
	}
	return NULL;
}

static void
job_start(const struct request *request)
{
	size_t stdin_length = request->payload_size - request->script_length;
	struct job *job = job_slot();
	int input = -1, pipes[2] = {-1, -1};
	pid_t pid = -1;

	if (job == NULL) {
		send_end(request->id, 126);
		return;
	}
	job->output = -1;
	input = stdin_file(request->payload + request->script_length, stdin_length);
	if (input >= 0 && pipe2(pipes, O_CLOEXEC) == 0)
		pid = fork();
	if (pid == 0)
		exec_script(request->payload, request->script_length, input, pipes[1]);
	if (input >= 0)
		close(input);
	if (pipes[1] >= 0)
		close(pipes[1]);
	if (pid < 0) {
		if (pipes[0] >= 0)
			close(pipes[0]);
		send_end(request->id, 126);
		return;
	}
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	*job = (struct job){.id = request->id, .pid = pid, .output = pipes[0]};
	job->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	job->deadline = request->timeout_ms > 0 ? now_ms() + request->timeout_ms : 0;
}

/* Pass on a chunk of output. False: there is none now. */
static bool
job_output(struct job *job)
{
	static char frame[LINE + CHUNK];
	char line[LINE];
	ssize_t length = read(job->output, frame + LINE, CHUNK);
	int head;

	if (length == 0 && job->pid == 0) {
		close(job->output);
		job->output = -1;
	}
	if (length <= 0)
		return false;
	if (job->pid > 0) {
		head = snprintf(line, sizeof(line), "OUT %u %zd\n", job->id, length);
		memcpy(frame + LINE - head, line, (size_t)head);
		send_all(frame + LINE - head, (size_t)(head + length));
	}
	return true;
}

static void
job_end(struct job *job)
{
	int status, code;

	/* What is in the pipe now was written before the script ended: 64 KiB at most, so this ends
	 * even when a background process goes on writing. */
	for (int i = 0; i < 65536 / CHUNK + 1 && job_output(job); i++)
		;
	waitpid(job->pid, &status, 0);
	code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	send_end(job->id, job->timed_out ? 124 : code);
	close(job->pidfd);
	job->pidfd = -1;
	job->pid = 0;
	job_output(job);
}

static void
request_line(struct request *request)
{
	unsigned int id, timeout, script, input;
	struct job *job;

	request->line[request->line_length] = '\0';
	if (strncmp(request->line, "SYNC ", 5) == 0) {
		send_all(request->line, request->line_length);
		send_all("\n", 1);
	} else if (sscanf(request->line, "KILL %u %u", &id, &input) == 2) {
		job = job_find(id);
		if (job != NULL)
			kill(-job->pid, (int)input);
	} else if (sscanf(request->line, "RUN %u %u %u %u", &id, &timeout, &script, &input) == 4 &&
		   (size_t)script + input <= PAYLOAD_MAX) {
		request->payload_size = (size_t)script + input;
		request->payload = malloc(request->payload_size + 1);
		request->id = id;
		request->timeout_ms = timeout;
		request->script_length = script;
	}
	request->line_length = 0;
}

static void
request_feed(struct request *request, const char *bytes, size_t length)
{
	while (length > 0) {
		size_t take = 1;

		if (request->payload != NULL) {
			take = request->payload_size - request->payload_length;
			take = take < length ? take : length;
			memcpy(request->payload + request->payload_length, bytes, take);
			request->payload_length += take;
		} else if (*bytes == '\n') {
			request_line(request);
		} else if (request->line_length < LINE - 1) {
			request->line[request->line_length++] = *bytes;
		}
		bytes += take;
		length -= take;
		if (request->payload != NULL && request->payload_length == request->payload_size) {
			job_start(request);
			free(request->payload);
			request->payload = NULL;
			request->payload_length = 0;
		}
	}
}

static void
request_read(struct request *request)
{
	char bytes[CHUNK];
	ssize_t length = read(port, bytes, sizeof(bytes));

	if (length > 0) {
		request_feed(request, bytes, (size_t)length);
		return;
	}
	/* No host at the other end. The next one starts with a line of its own. */
	free(request->payload);
	*request = (struct request){.line_length = 0};
	usleep(50000);
}

/* Kill what is over its time; ms until the next deadline, -1: none. */
static int
deadlines(void)
{
	int64_t now = now_ms(), next = -1;

	for (int i = 0; i < JOBS; i++) {
		struct job *job = &jobs[i];

		if (job->output < 0 || job->pid == 0 || job->deadline == 0)
			continue;
		if (now >= job->deadline) {
			job->timed_out = true;
			job->deadline = 0;
			kill(-job->pid, SIGKILL);
		} else if (next < 0 || job->deadline - now < next) {
			next = job->deadline - now;
		}
	}
	return (int)next;
}

static void
serve(struct request *request)
{
	struct pollfd fds[1 + 2 * JOBS];

	fds[0] = (struct pollfd){.fd = port, .events = POLLIN};
	for (int i = 0; i < JOBS; i++) {
		bool running = jobs[i].output >= 0 && jobs[i].pid > 0;

		fds[1 + 2 * i] = (struct pollfd){.fd = jobs[i].output, .events = POLLIN};
		fds[2 + 2 * i] =
			(struct pollfd){.fd = running ? jobs[i].pidfd : -1, .events = POLLIN};
		/* The pipe's end while its script runs on: the pidfd tells the rest. */
	}
	if (poll(fds, 1 + 2 * JOBS, deadlines()) < 0)
		return;
	for (int i = 0; i < JOBS; i++) {
		if (fds[1 + 2 * i].revents & POLLIN || (fds[1 + 2 * i].revents && jobs[i].pid == 0))
			job_output(&jobs[i]);
		else if (fds[1 + 2 * i].revents && !fds[2 + 2 * i].revents)
			usleep(1000); /* a script that closed its output: do not spin on it */
		if (fds[2 + 2 * i].revents)
			job_end(&jobs[i]);
	}
	if (fds[0].revents)
		request_read(request);
}

int
main(int argc, char **argv)
{
	struct request request = {.line_length = 0};

	port = argc == 2 ? open(argv[1], O_RDWR | O_CLOEXEC) : -1;
	if (port < 0) {
		fprintf(stderr, "usage: msh-agent PORT: a virtio-serial port of this machine\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < JOBS; i++)
		jobs[i].output = -1;
	for (;;)
		serve(&request);
}
