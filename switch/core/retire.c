/* SPDX-License-Identifier: BSD-3-Clause */
#include "retire.h"

#include <rte_malloc.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "bounds.h"
#include "log.h"

struct retired {
	STAILQ_ENTRY(retired) next;
	uint64_t token;
	void (*release)(void *);
	void *thing;
};

static struct rte_rcu_qsbr *rcu;
static STAILQ_HEAD(, retired) waiting = STAILQ_HEAD_INITIALIZER(waiting);

struct rte_rcu_qsbr *
msh_rcu(void)
{
	return rcu;
}

int
msh_retire_init(void)
{
	size_t size = rte_rcu_qsbr_get_memsize(MSH_WORKERS_MAX);
	rcu = rte_zmalloc("rcu", size, RTE_CACHE_LINE_SIZE);
	if (rcu == NULL)
		return -ENOMEM;
	return rte_rcu_qsbr_init(rcu, MSH_WORKERS_MAX) == 0 ? 0 : -ENOMEM;
}

void
msh_retire(void (*release)(void *), void *thing)
{
	struct retired *r = malloc(sizeof(*r));
	if (r == NULL) { /* a leak is safe, a free that is too early is not */
		MSH_LOG(WARNING, "out of memory: something old is never freed");
		return;
	}
	*r = (struct retired){.token = rte_rcu_qsbr_start(rcu), .release = release, .thing = thing};
	STAILQ_INSERT_TAIL(&waiting, r, next);
}

static void
release_first(void)
{
	struct retired *r = STAILQ_FIRST(&waiting);
	STAILQ_REMOVE_HEAD(&waiting, next);
	r->release(r->thing);
	free(r);
}

void
msh_retire_poll(void)
{
	while (!STAILQ_EMPTY(&waiting) &&
		rte_rcu_qsbr_check(rcu, STAILQ_FIRST(&waiting)->token, false) == 1)
		release_first();
}

void
msh_rest(void)
{
	usleep(20);
}

void
msh_rcu_wait(void)
{
	uint64_t token = rte_rcu_qsbr_start(rcu);
	while (rte_rcu_qsbr_check(rcu, token, false) != 1)
		msh_rest();
}

void
msh_retire_drain(void)
{
	while (!STAILQ_EMPTY(&waiting))
		release_first();
}
