/* SPDX-License-Identifier: BSD-3-Clause */
#include "nap.h"

#include <sys/prctl.h>
#include <time.h>

void
msh_nap_prepare(void)
{
	prctl(PR_SET_TIMERSLACK, 1000ul); /* ns */
}

void
msh_nap(void)
{
	const struct timespec time = {.tv_nsec = 30000};
	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}
