/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* How a worker without work leaves its core to others: the one place of the loop that waits. */

/* Once in each thread that naps: wake up when told, not up to 50 us later. */
void msh_nap_prepare(void);
/* Sleep for 30 us; awake again within 50, as far as the kernel has a core to run on. */
void msh_nap(void);
