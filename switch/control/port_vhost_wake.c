/* SPDX-License-Identifier: BSD-3-Clause */

/* librte_vhost's thread looks for new sockets once a second only, unless a signal ends its poll().
 * A guest that starts right after its port shall not wait for that. */

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "port_vhost.h"

#define THREAD "vhost-events" /* its name, by librte_vhost */

static void
ignore(int number)
{
}

/* Is this task of our process that thread? */
static bool
is_vhost_thread(const char *task)
{
	char path[64], name[32] = "";
	snprintf(path, sizeof(path), "/proc/self/task/%.20s/comm", task);
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	bool same = fgets(name, sizeof(name), file) != NULL &&
		    strncmp(name, THREAD, strlen(THREAD)) == 0;
	fclose(file);
	return same;
}

void
msh_vhost_wake(void)
{
	const struct sigaction action = {.sa_handler = ignore};
	DIR *tasks = opendir("/proc/self/task");
	if (tasks == NULL)
		return; /* it comes by within a second */
	sigaction(SIGUSR2, &action, NULL);
	for (const struct dirent *task = readdir(tasks); task != NULL; task = readdir(tasks))
		if (is_vhost_thread(task->d_name))
			syscall(SYS_tgkill, getpid(), atoi(task->d_name), SIGUSR2);
	closedir(tasks);
}
