/* SPDX-License-Identifier: BSD-3-Clause */

/* mshctl's door: a SOCK_SEQPACKET unix socket. A packet is a command; the answer is JSON, in
 * packets that begin with
 * '+' (more follow) or '.' (last). Nothing here waits for a client. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "control.h"
#include "log.h"

#define PACKET_MAX 32768
#define CLIENTS_MAX 64
#define EVENTS_A_TURN 16

struct client {
	LIST_ENTRY(client) next;
	int fd;
	char *answer; /* not yet sent; NULL: none */
	size_t size, sent;
};

struct msh_socket {
	int fd;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	unsigned int clients;
	LIST_HEAD(, client) client;
};

static int
set_address(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	strcpy(address->sun_path, path);
	return 0;
}

int
msh_socket_reclaim(const char *path, int type)
{
	struct sockaddr_un address;
	struct stat st;
	if (lstat(path, &st) != 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || set_address(&address, path) != 0) {
		if (fd >= 0)
			close(fd);
		return -EADDRINUSE;
	}
	int rc = connect(fd, (struct sockaddr *)&address, sizeof(address));
	int reason = rc == 0 ? 0 : errno;
	close(fd);
	if (reason != ECONNREFUSED)
		return -EADDRINUSE;
	unlink(path);
	return 0;
}

static int
watch(int epoll, int fd, uint32_t events, void *data, bool add)
{
	struct epoll_event event = {.events = events, .data.ptr = data};
	return epoll_ctl(epoll, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
}

int
msh_socket_open(struct msh_control *control, const char *path, char *error, size_t size)
{
	struct sockaddr_un address;
	struct msh_socket *s = calloc(1, sizeof(*s));
	control->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (s == NULL || control->epoll < 0 || set_address(&address, path) != 0) {
		snprintf(error, size, "socket path %s is longer than %zu bytes, or memory is short",
			path, sizeof(s->path) - 1);
		goto fail;
	}
	int rc = msh_socket_reclaim(path, SOCK_SEQPACKET);
	if (rc != 0) {
		snprintf(error, size,
			rc == -EEXIST ? "%s is there and is not a socket"
				      : "socket %s is in use: another mshswitch? Give this one "
					"--socket PATH",
			path);
		goto fail;
	}
	strcpy(s->path, path);
	s->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask = umask(0117); /* 0660: the owner and the group */
	rc = s->fd < 0 ? -1 : bind(s->fd, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (rc != 0 || listen(s->fd, 16) != 0 ||
		watch(control->epoll, s->fd, EPOLLIN, NULL, true) != 0) {
		snprintf(error, size, "cannot make socket %s: %s", path, strerror(errno));
		if (s->fd >= 0)
			close(s->fd);
		goto fail;
	}
	control->socket = s;
	return 0;
fail:
	free(s);
	return -1;
}

static void
drop_client(struct msh_socket *s, struct client *c)
{
	LIST_REMOVE(c, next);
	close(c->fd);
	free(c->answer);
	free(c);
	s->clients--;
}

void
msh_socket_close(struct msh_control *control)
{
	struct msh_socket *s = control->socket;
	if (s == NULL)
		return;
	while (!LIST_EMPTY(&s->client))
		drop_client(s, LIST_FIRST(&s->client)); /* NOLINT(clang-analyzer-unix.Malloc) */
	close(s->fd);
	unlink(s->path);
	close(control->epoll);
	free(s);
	control->socket = NULL;
}

static void
accept_client(struct msh_control *control)
{
	struct msh_socket *s = control->socket;
	int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	struct client *c = s->clients < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;
	if (c == NULL || watch(control->epoll, fd, EPOLLIN, c, true) != 0) {
		MSH_LOG(WARNING, "a client of %s was turned away: %u are there", s->path,
			s->clients);
		free(c);
		close(fd);
		return;
	}
	c->fd = fd;
	LIST_INSERT_HEAD(&s->client, c, next);
	s->clients++;
}

/* Send what the client's socket takes. False when the client is gone. */
static bool
send_some(struct msh_control *control, struct client *c)
{
	char packet[PACKET_MAX];
	while (c->answer != NULL) {
		size_t n = RTE_MIN(c->size - c->sent, sizeof(packet) - 1);
		bool last = c->sent + n == c->size;
		packet[0] = last ? '.' : '+';
		memcpy(packet + 1, c->answer + c->sent, n);
		if (send(c->fd, packet, n + 1, MSG_NOSIGNAL) < 0) {
			if (errno != EAGAIN)
				return false;
			return watch(control->epoll, c->fd, EPOLLOUT, c, false) == 0;
		}
		c->sent += n;
		if (last) {
			free(c->answer);
			c->answer = NULL;
		}
	}
	return watch(control->epoll, c->fd, EPOLLIN, c, false) == 0;
}

static char *
answer_json(struct msh_answer *answer)
{
	json_t *all = json_object();
	json_object_set_new(all, "status", json_string(msh_status_word(answer->status)));
	if (answer->text[0] != '\0')
		json_object_set_new(all, "text", json_string(answer->text));
	if (answer->data != NULL)
		json_object_set(all, "data", answer->data);
	char *text = json_dumps(all, JSON_COMPACT);
	json_decref(all);
	return text;
}

/* One command. False when the client is gone. */
static bool
serve(struct msh_control *control, struct client *c)
{
	const struct msh_caller caller = {.who = MSH_WHO_OPERATOR};
	struct msh_answer answer = {0};
	char line[MSH_LINE_MAX];
	ssize_t n = recv(c->fd, line, sizeof(line), MSG_TRUNC);
	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	if ((size_t)n > sizeof(line))
		msh_answer_set(&answer, MSH_BAD, "a command has at most %d bytes, not %zd",
			MSH_LINE_MAX, n);
	else
		msh_command_run(control, &caller, line, (size_t)n, &answer);
	c->answer = answer_json(&answer);
	msh_answer_clear(&answer);
	if (c->answer == NULL)
		return false;
	c->size = strlen(c->answer);
	c->sent = 0;
	return send_some(control, c);
}

void
msh_socket_poll(struct msh_control *control, uint64_t wait_ns)
{
	struct epoll_event event[EVENTS_A_TURN];
	struct timespec wait = {.tv_nsec = (long)wait_ns};
	int n = epoll_pwait2(control->epoll, event, EVENTS_A_TURN, &wait, NULL);
	for (int i = 0; i < n; i++) {
		struct client *c = event[i].data.ptr;
		if (c == NULL)
			accept_client(control);
		else if (!(c->answer != NULL ? send_some(control, c) : serve(control, c)))
			drop_client(control->socket, c);
	}
}
