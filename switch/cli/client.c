/* SPDX-License-Identifier: BSD-3-Clause */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define PACKET_MAX 65536

int
msh_client_connect(const char *path, unsigned int timeout_s)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval timeout = {.tv_sec = timeout_s};
	if (strlen(path) >= sizeof(address.sun_path)) {
		fprintf(stderr, "mshctl: socket path %s is longer than %zu bytes\n", path,
			sizeof(address.sun_path) - 1);
		return -1;
	}
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		fprintf(stderr, "mshctl: no mshswitch answers at %s: %s%s\n", path, strerror(errno),
			errno == ENOENT || errno == ECONNREFUSED
				? "; is it running? -s names another socket"
				: "");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	return fd;
}

/* The whole answer, terminated, or NULL with errno set; 0: the switch is gone. */
static char *
receive(int fd)
{
	char *text = NULL, packet[PACKET_MAX];
	size_t length = 0;
	for (;;) {
		ssize_t n = recv(fd, packet, sizeof(packet), 0);
		if (n <= 0) {
			errno = n == 0 ? 0 : errno;
			break;
		}
		char *grown = realloc(text, length + (size_t)n);
		if (grown == NULL)
			break;
		text = grown;
		memcpy(text + length, packet + 1, (size_t)n - 1);
		length += (size_t)n - 1;
		text[length] = '\0';
		if (packet[0] == '.')
			return text;
	}
	free(text);
	return NULL;
}

json_t *
msh_client_ask(int fd, const char *line)
{
	char *text = send(fd, line, strlen(line), MSG_NOSIGNAL) >= 0 ? receive(fd) : NULL;
	if (text == NULL) {
		fprintf(stderr, "mshctl: no answer: %s\n",
			errno == 0 || errno == EPIPE ? "the switch has gone"
			: errno == EAGAIN            ? "timeout"
						     : strerror(errno));
		return NULL;
	}
	json_t *answer = json_loads(text, 0, NULL);
	free(text);
	if (answer == NULL)
		fprintf(stderr, "mshctl: the answer is not JSON: is this socket mshswitch's?\n");
	return answer;
}
