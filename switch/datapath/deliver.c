/* SPDX-License-Identifier: BSD-3-Clause */
#include "deliver.h"

#include <rte_cycles.h>

#include "redirect.h"

static void
run_stages(struct msh_worker *w, const struct msh_vm_stages *stages, struct msh_burst *burst,
	uint64_t mask)
{
	MSH_FOREACH_BIT (i, mask)
		burst->verdict[i] = (struct msh_verdict){.action = MSH_DELIVER};
	for (uint16_t s = 0; s < stages->count && mask != 0; s++) {
		uint16_t id = stages->step[s].stage;
		uint64_t start = rte_rdtsc();
		msh_stages[id]->classify(stages->step[s].instance, burst, mask);
		msh_count(&w->stage_cycles[id], rte_rdtsc() - start);
		msh_count(&w->stage_packets[id], (uint64_t)__builtin_popcountll(mask));
		/* What one stage decided, later stages do not see. */
		MSH_FOREACH_BIT (i, mask)
			if (burst->verdict[i].action != MSH_DELIVER)
				mask &= ~(UINT64_C(1) << i);
	}
}

/* Find the verdicts of packets bound for one VM. */
static void
judge(struct msh_worker *w, const struct msh_vm_stages *stages, struct msh_burst *burst,
	uint64_t mask, uint16_t vm)
{
	const struct msh_flow_scope scope = {.vm = vm, .generation = stages->generation};
	struct msh_flow_table *flows = w->datapath->flows;
	uint64_t known = msh_flow_find(flows, &scope, burst, mask, w->now);
	uint64_t others = mask & ~known;
	msh_count(&w->flow_hits, (uint64_t)__builtin_popcountll(known));
	if (likely(others == 0))
		return;
	msh_count(&w->flow_misses, (uint64_t)__builtin_popcountll(others));
	MSH_FOREACH_BIT (i, others)
		msh_packet_parse(&burst->packet[i], burst->packet[i].mbuf);
	run_stages(w, stages, burst, others);
	msh_flow_keep(flows, &scope, burst, others, w->now);
}

/* Whether the packet is sent on to another host. */
static bool
redirect(struct msh_worker *w, const struct msh_config *config, struct msh_packet *p,
	const struct msh_redirect *r, uint16_t vm)
{
	uint32_t bytes = rte_pktmbuf_pkt_len(p->mbuf);
	msh_packet_parse(p, p->mbuf);
	if (!msh_redirect_has_hop(r, w->index, p) || !msh_redirect_forward(w, config, p, r, vm))
		return false;
	msh_tally_add(w->index, r->tally, bytes);
	return true;
}

uint64_t
msh_deliver(struct msh_worker *w, const struct msh_config *config, struct msh_burst *burst,
	uint64_t mask)
{
	uint16_t out = burst->out[__builtin_ctzll(mask)];
	uint16_t vm = config->topology->vm[out];
	const struct msh_vm_stages *stages = config->stages[vm];
	struct msh_port_counters *counters = &w->counters[out];
	uint64_t deliver = mask, dropped = 0, redirected = 0;
	if (stages == NULL) {
		msh_tx_queue_mask(w, config, out, burst, mask);
		return 0;
	}
	judge(w, stages, burst, mask, vm);
	MSH_FOREACH_BIT (i, mask) {
		struct msh_packet *p = &burst->packet[i];
		const struct msh_verdict *v = &burst->verdict[i];
		msh_verdict_count(v, w->index, p->mbuf);
		if (likely(v->action == MSH_DELIVER))
			continue;
		if (v->action == MSH_DROP) {
			dropped |= UINT64_C(1) << i;
			msh_drop(w, burst->in_port, v->reason, p->mbuf);
		} else if (redirect(w, config, p, v->redirect, vm)) {
			redirected |= UINT64_C(1) << i;
		}
	}
	deliver &= ~(dropped | redirected);
	msh_count(&counters->vm_packets, (uint64_t)__builtin_popcountll(mask));
	msh_count(&counters->vm_dropped, (uint64_t)__builtin_popcountll(dropped));
	msh_count(&counters->vm_redirected, (uint64_t)__builtin_popcountll(redirected));
	if (deliver != 0)
		msh_tx_queue_mask(w, config, out, burst, deliver);
	return redirected;
}

void
msh_deliver_copy(struct msh_worker *w, const struct msh_config *config, uint16_t source,
	uint16_t out, struct rte_mbuf *m)
{
	struct msh_burst *one = &w->copy;
	uint16_t vm = config->topology->vm[out];
	const struct msh_vm_stages *stages = config->stages[vm];
	if (stages != NULL) {
		one->in_port = source;
		one->worker = w->index;
		one->count = 1;
		one->packet[0].mbuf = m;
		judge(w, stages, one, 1, vm);
		msh_verdict_count(&one->verdict[0], w->index, m);
		msh_count(&w->counters[out].vm_packets, 1);
		if (one->verdict[0].action == MSH_DROP) {
			msh_count(&w->counters[out].vm_dropped, 1);
			msh_drop(w, source, one->verdict[0].reason, m);
			return;
		}
	}
	msh_tx_queue(w, config, out, source, m);
}
