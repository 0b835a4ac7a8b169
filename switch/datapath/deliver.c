/* SPDX-License-Identifier: BSD-3-Clause */
#include "deliver.h"

#include <rte_cycles.h>

#include "redirect.h"
#include "reject.h"

static void
run_stages(struct msh_worker *w, const struct msh_steps *steps, enum msh_direction direction,
	struct msh_burst *burst, uint64_t mask)
{
	MSH_FOREACH_BIT (i, mask)
		burst->verdict[i] = (struct msh_verdict){.action = MSH_DELIVER};
	for (uint16_t s = 0; s < steps->count && mask != 0; s++) {
		uint16_t id = steps->step[s].stage;
		uint64_t start = rte_rdtsc();
		msh_stages[id]->classify(steps->step[s].instance, direction, burst, mask);
		msh_count(&w->stage_cycles[id], rte_rdtsc() - start);
		msh_count(&w->stage_packets[id], (uint64_t)__builtin_popcountll(mask));
		/* What one stage decided, later stages do not see. */
		MSH_FOREACH_BIT (i, mask)
			if (burst->verdict[i].action != MSH_DELIVER)
				mask &= ~(UINT64_C(1) << i);
	}
}

/* Find the verdicts of packets for a VM, or from it, by those of its stages that look at them. */
static void
judge(struct msh_worker *w, const struct msh_vm_stages *stages, uint16_t vm,
	enum msh_direction direction, struct msh_burst *burst, uint64_t mask)
{
	const struct msh_steps *steps = &stages->side[direction];
	const struct msh_flow_scope scope = {.vm = vm,
		.out = direction == MSH_OUT,
		.flags = steps->reads_flags,
		.states = steps->reads_state,
		.generation = stages->generation};
	struct msh_flow_table *flows = w->datapath->flows;
	uint64_t known = msh_flow_find(flows, &scope, burst, mask, w->now);
	uint64_t others = mask & ~known;
	msh_count(&w->flow_hits, (uint64_t)__builtin_popcountll(known));
	if (likely(others == 0))
		return;
	msh_count(&w->flow_misses, (uint64_t)__builtin_popcountll(others));
	MSH_FOREACH_BIT (i, others)
		msh_packet_need(&burst->packet[i]);
	run_stages(w, steps, direction, burst, others);
	msh_flow_keep(flows, &scope, burst, others, w->now);
}

static inline bool
is_refused(const struct msh_verdict *v)
{
	return v->action == MSH_DROP || v->action == MSH_REJECT;
}

/* The same for a VM whose connections are followed: only packets that are let through begin one. */
static void
judge_connections(struct msh_worker *w, const struct msh_vm_stages *stages, uint16_t vm,
	enum msh_direction direction, struct msh_burst *burst, uint64_t mask)
{
	const struct msh_conn_scope scope = {.vm = vm, .epoch = stages->epoch};
	struct msh_conn_table *connections = w->datapath->connections;
	uint64_t passed = 0;
	MSH_FOREACH_BIT (i, mask)
		msh_packet_need(&burst->packet[i]);
	msh_conn_judge(connections, &scope, burst, mask, w->now);
	judge(w, stages, vm, direction, burst, mask);
	MSH_FOREACH_BIT (i, mask)
		passed |= (uint64_t)!is_refused(&burst->verdict[i]) << i;
	msh_conn_confirm(connections, &scope, burst, passed, w->now);
}

static bool
redirect(struct msh_worker *w, const struct msh_config *config, struct msh_packet *p,
	const struct msh_redirect *r, uint16_t vm)
{
	uint32_t bytes = rte_pktmbuf_pkt_len(p->mbuf);
	msh_packet_need(p);
	if (!msh_redirect_has_hop(r, w->index, p) || !msh_redirect_forward(w, config, p, r, vm))
		return false;
	msh_tally_add(w->index, r->tally, bytes);
	return true;
}

static void
drop_refused(struct msh_worker *w, const struct msh_config *config, struct msh_burst *burst,
	uint64_t refused)
{
	MSH_FOREACH_BIT (i, refused) {
		struct rte_mbuf *m = burst->packet[i].mbuf;
		if (burst->verdict[i].action == MSH_REJECT)
			msh_reject(w, config, burst->in_port, &burst->packet[i]);
		msh_drop(w, burst->in_port, burst->verdict[i].reason, m);
	}
}

static bool
has_steps(const struct msh_vm_stages *stages, enum msh_direction direction)
{
	return stages != NULL && (stages->side[direction].count > 0 || stages->tracks);
}

static inline void
judge_all(struct msh_worker *w, const struct msh_vm_stages *stages, uint16_t vm,
	enum msh_direction direction, struct msh_burst *burst, uint64_t mask)
{
	if (unlikely(stages->tracks))
		judge_connections(w, stages, vm, direction, burst, mask);
	else
		judge(w, stages, vm, direction, burst, mask);
}

uint64_t
msh_leave(struct msh_worker *w, const struct msh_config *config, struct msh_burst *burst,
	uint64_t mask)
{
	uint16_t vm = config->topology->vm[burst->in_port];
	const struct msh_vm_stages *stages = config->stages[vm];
	struct msh_port_counters *counters = &w->counters[burst->in_port];
	uint64_t refused = 0;
	if (likely(!has_steps(stages, MSH_OUT)) || mask == 0)
		return mask;
	judge_all(w, stages, vm, MSH_OUT, burst, mask);
	MSH_FOREACH_BIT (i, mask) {
		msh_verdict_count(&burst->verdict[i], w->index, burst->packet[i].mbuf);
		refused |= (uint64_t)is_refused(&burst->verdict[i]) << i;
	}
	drop_refused(w, config, burst, refused);
	msh_count(&counters->vm_packets, (uint64_t)__builtin_popcountll(mask));
	msh_count(&counters->vm_dropped, (uint64_t)__builtin_popcountll(refused));
	return mask & ~refused;
}

uint64_t
msh_deliver(struct msh_worker *w, const struct msh_config *config, struct msh_burst *burst,
	uint64_t mask)
{
	uint16_t out = burst->out[__builtin_ctzll(mask)];
	uint16_t vm = config->topology->vm[out];
	const struct msh_vm_stages *stages = config->stages[vm];
	struct msh_port_counters *counters = &w->counters[out];
	uint64_t refused = 0, redirected = 0;
	if (!has_steps(stages, MSH_IN)) {
		msh_tx_queue_mask(w, config, out, burst, mask);
		return 0;
	}
	judge_all(w, stages, vm, MSH_IN, burst, mask);
	MSH_FOREACH_BIT (i, mask) {
		const struct msh_verdict *v = &burst->verdict[i];
		msh_verdict_count(v, w->index, burst->packet[i].mbuf);
		if (likely(v->action == MSH_DELIVER))
			continue;
		if (v->action == MSH_REDIRECT &&
			redirect(w, config, &burst->packet[i], v->redirect, vm))
			redirected |= UINT64_C(1) << i;
		refused |= (uint64_t)is_refused(v) << i;
	}
	drop_refused(w, config, burst, refused);
	msh_count(&counters->vm_packets, (uint64_t)__builtin_popcountll(mask));
	msh_count(&counters->vm_dropped, (uint64_t)__builtin_popcountll(refused));
	msh_count(&counters->vm_redirected, (uint64_t)__builtin_popcountll(redirected));
	mask &= ~(refused | redirected);
	if (mask != 0)
		msh_tx_queue_mask(w, config, out, burst, mask);
	return redirected;
}

void
msh_deliver_copy(struct msh_worker *w, const struct msh_config *config, uint16_t source,
	uint16_t out, struct rte_mbuf *m)
{
	struct msh_burst *one = &w->copy;
	uint16_t vm = config->topology->vm[out];
	const struct msh_vm_stages *stages = config->stages[vm];
	if (has_steps(stages, MSH_IN)) {
		one->in_port = source;
		one->worker = w->index;
		one->count = 1;
		msh_packet_take(&one->packet[0], m);
		judge_all(w, stages, vm, MSH_IN, one, 1);
		msh_verdict_count(&one->verdict[0], w->index, m);
		msh_count(&w->counters[out].vm_packets, 1);
		if (is_refused(&one->verdict[0])) {
			drop_refused(w, config, one, 1);
			msh_count(&w->counters[out].vm_dropped, 1);
			return;
		}
	}
	msh_tx_queue(w, config, out, source, m);
}
