/* SPDX-License-Identifier: BSD-3-Clause */

/* The socket of a memif that is to be made. Its driver does not take the place of a dead one, does
 * not say why it cannot make one, and keeps the device's name for ever when it fails: so look
 * first. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "port_dev.h"

/* The word ",key=value" is in these device arguments. */
static bool
has(const char *devargs, const char *word)
{
	size_t n = strlen(word);
	for (const char *at = devargs; (at = strstr(at, word)) != NULL; at++)
		if (at[n] == ',' || at[n] == '\0')
			return true;
	return false;
}

static bool
is_shared(const struct msh_control *control, const char *word)
{
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++)
		if (control->port[i].port != NULL &&
			control->port[i].port->ops == &msh_port_dev_ops &&
			has(control->port[i].arguments, word))
			return true;
	return false;
}

/* Make it and remove it again. 0 or -errno. */
static int
try_to_bind(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	int rc = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : -errno;
	close(fd);
	if (rc == 0)
		unlink(path);
	return rc;
}

static int
check_path(const char *path, struct msh_answer *answer)
{
	int rc = msh_socket_reclaim(path, SOCK_SEQPACKET);
	if (rc == -EADDRINUSE)
		return msh_answer_set(
			answer, MSH_FAILED, "socket %s is in use by another process", path);
	if (rc != 0)
		return msh_answer_set(answer, MSH_FAILED, "%s is there and is not a socket", path);
	rc = try_to_bind(path);
	if (rc != 0)
		return msh_answer_set(
			answer, MSH_FAILED, "cannot make socket %s: %s", path, strerror(-rc));
	return 0;
}

int
msh_memif_check(const struct msh_control *control, const char *devargs, struct msh_answer *answer)
{
	const char *at = strstr(devargs, ",socket=");
	if (strncmp(devargs, "net_memif", 9) != 0 || at == NULL || !has(devargs, ",role=server") ||
		!has(devargs, ",socket-abstract=no"))
		return 0;
	char *word = strndup(at, 1 + strcspn(at + 1, ","));
	if (word == NULL)
		return msh_answer_set(answer, MSH_FAILED, "out of memory");
	/* Memifs with different ids may share a socket. */
	int rc = is_shared(control, word) ? 0 : check_path(word + strlen(",socket="), answer);
	free(word);
	return rc;
}
