/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Read-copy-update: the control lcore publishes a new version of something by pointer, and frees
 * the old one when no worker can hold it any more. Workers report a quiescent state once a turn
 * (rte_rcu_qsbr). */

#include <rte_rcu_qsbr.h>

/* The one QSBR variable; thread ids are worker indices. NULL before init. */
struct rte_rcu_qsbr *msh_rcu(void);

/* 0 or -ENOMEM. Called once, before any worker runs. */
int msh_retire_init(void);

/* Call release(thing) once every worker has passed a quiescent state. Control lcore; never blocks.
 */
void msh_retire(void (*release)(void *thing), void *thing);

/* Release what is due. Control lcore, every turn. */
void msh_retire_poll(void);

/* Wait until every worker has passed a quiescent state. For vhost's own thread and for tear-down;
 * blocks for as long as a worker's turn lasts. */
void msh_rcu_wait(void);

/* Sleep a little while waiting for a worker: it may need the caller's core. */
void msh_rest(void);

/* Release everything, due or not: workers must have ended. */
void msh_retire_drain(void);
