/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Log lines for the person on call: control lcore only, never the data plane. */

#include <rte_log.h>

extern int msh_logtype; /* "mshswitch", for --log-level */

#define MSH_LOG(level, format, ...) \
	rte_log(RTE_LOG_##level, (uint32_t)msh_logtype, "mshswitch: " format "\n", ##__VA_ARGS__)
