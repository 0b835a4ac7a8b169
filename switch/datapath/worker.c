/* SPDX-License-Identifier: BSD-3-Clause */

/* The loop of a worker lcore. */

#include "worker.h"

#include <rte_cycles.h>
#include <rte_pause.h>

#include "nap.h"
#include "retire.h"

#define IDLE_US 1000 /* without a packet for so long: nap between turns */

/* Packets that the control lcore made. */
static uint16_t
run_injected(struct msh_worker *w, const struct msh_config *config)
{
	struct rte_mbuf *packets[MSH_BURST_MAX];
	unsigned int n =
		rte_ring_sc_dequeue_burst(w->inject, (void **)packets, MSH_BURST_MAX, NULL);
	if (n > 0)
		msh_pipeline_run(w, config, MSH_PORT_SELF, packets, (uint16_t)n);
	return (uint16_t)n;
}

/* One turn. Returns the number of packets handled. */
static uint32_t
run_turn(struct msh_worker *w)
{
	const struct msh_config *config = __atomic_load_n(&w->datapath->config, __ATOMIC_ACQUIRE);
	w->now = __atomic_load_n(&w->datapath->now, __ATOMIC_RELAXED);
	/* What was handed over first: it is older than what comes now. */
	uint32_t n = w->datapath->worker_count > 1 ? msh_tx_handoff(w, config) : 0;
	n += msh_poll_turn(w->poller, w, config);
	return n + run_injected(w, config);
}

int
msh_worker_run(void *argument)
{
	struct msh_worker *w = argument;
	struct rte_rcu_qsbr *rcu = msh_rcu();
	rte_rcu_qsbr_thread_register(rcu, w->index);
	rte_rcu_qsbr_thread_online(rcu, w->index);
	const uint64_t idle = rte_get_tsc_hz() / 1000000 * IDLE_US;
	uint64_t turn = rte_rdtsc(), last = turn; /* last: when there was a packet */
	msh_nap_prepare();
	__atomic_store_n(&w->started, turn, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&w->datapath->stop, __ATOMIC_RELAXED)) {
		uint32_t n = run_turn(w);
		uint64_t now = rte_rdtsc();
		if (n > 0) {
			msh_count(&w->busy_cycles, now - turn);
			msh_count(&w->busy_packets, n);
			last = now;
		} else if (now - last < idle ||
			   __atomic_load_n(&w->datapath->spin, __ATOMIC_RELAXED)) {
			rte_pause();
		} else {
			msh_nap();
			now = rte_rdtsc();
		}
		turn = now;
		rte_rcu_qsbr_quiescent(rcu, w->index);
	}
	rte_rcu_qsbr_thread_offline(rcu, w->index);
	rte_rcu_qsbr_thread_unregister(rcu, w->index);
	return 0;
}
