/* SPDX-License-Identifier: BSD-3-Clause */

/* Tx queues: a worker collects what a burst leaves by each port and sends it at once. Where a port
 * has no queue for each worker, each of its queues is sent to by the worker that serves it alone;
 * the others hand their packets over by a ring a pair of workers. */

#include "spread.h"
#include "unfinished.h"
#include "worker.h"

static void
drop_rest(struct msh_worker *w, uint16_t source, enum msh_drop reason, struct rte_mbuf **packets,
	uint16_t n)
{
	msh_count(&w->counters[source].drop[reason], n);
	rte_pktmbuf_free_bulk(packets, n);
}

/* Whoever sends these later needs them whole. */
static void
complete(struct msh_worker *w, struct msh_txq *q)
{
	uint16_t kept = 0;
	for (uint16_t i = 0; i < q->count; i++) {
		struct rte_mbuf *m = q->packet[i];
		if (likely(!msh_is_partial(m) || msh_rest_copy(m) == 0))
			q->packet[kept++] = m;
		else
			msh_drop(w, q->source, MSH_DROP_NO_MBUF, m);
	}
	q->count = kept;
}

/* Give packets to the port, which takes them as they are. */
static void
send_packets(struct msh_worker *w, struct msh_port *port, uint16_t queue, uint16_t source,
	struct rte_mbuf **packets, uint16_t count, uint64_t bytes)
{
	struct msh_port_counters *out = &w->counters[port->index];
	bool up = msh_port_is_up(port);
	/* The port may free what it sends: lengths of what it refuses are taken off after. */
	uint16_t sent = up ? port->ops->tx(port, queue, packets, count) : 0;
	for (uint16_t i = sent; i < count; i++)
		bytes -= packets[i]->pkt_len;
	msh_count(&out->tx_packets, sent);
	msh_count(&out->tx_bytes, bytes);
	msh_count(&w->counters[source].forwarded, sent);
	if (unlikely(sent < count)) {
		msh_count(&out->tx_refused, count - sent);
		drop_rest(w, source, up ? MSH_DROP_TX_FULL : MSH_DROP_LINK_DOWN, packets + sent,
			count - sent);
	}
}

/* A packet that the port does not take unfinished. */
static void
finish_and_send(struct msh_worker *w, struct msh_port *port, uint16_t queue, uint16_t source,
	struct rte_mbuf *m)
{
	struct rte_mbuf *segment[MSH_SEGMENTS_MAX];
	if ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == 0) {
		if (msh_unfinished_sum(m) == 0)
			send_packets(w, port, queue, source, &m, 1, m->pkt_len);
		else
			msh_drop(w, source, MSH_DROP_NO_MBUF, m);
		return;
	}
	int n = msh_unfinished_cut(m, w->pool, segment);
	if (n < 0) {
		msh_drop(w, source, MSH_DROP_NO_MBUF, m);
		return;
	}
	rte_pktmbuf_free(m);
	msh_count(&w->counters[source].copies, (uint64_t)n - 1);
	for (int i = 0; i < n; i += MSH_BURST_MAX) {
		int now = RTE_MIN(n - i, MSH_BURST_MAX);
		uint64_t bytes = 0;
		for (int j = i; j < i + now; j++)
			bytes += segment[j]->pkt_len;
		send_packets(w, port, queue, source, segment + i, (uint16_t)now, bytes);
	}
}

/* Take out what may not leave by the port, and the tags that are not seen outside. Keeps the order.
 */
static void
apply_rules(
	struct msh_worker *w, const struct msh_topology *topology, uint16_t out, struct msh_txq *q)
{
	const struct msh_rules *rules = topology->rules[out];
	if (rules == NULL)
		return;
	/* An answer of the switch goes back to where the question came from. */
	bool meet = q->source == out || msh_rules_meet(topology->rules[q->source], rules);
	uint16_t kept = 0;
	for (uint16_t i = 0; i < q->count; i++) {
		struct rte_mbuf *m = q->packet[i];
		if (likely(meet && msh_rules_leave(rules, m))) {
			q->packet[kept++] = m;
		} else {
			msh_count(&w->counters[out].tx_refused, 1);
			msh_drop(w, q->source, meet ? MSH_DROP_VLAN : MSH_DROP_ISOLATED, m);
		}
	}
	q->count = kept;
}

enum prepared { GONE, KEEP, FINISH };

static enum prepared
refuse(struct msh_worker *w, const struct msh_port *port, uint16_t source, enum msh_drop reason,
	struct rte_mbuf *m)
{
	msh_count(&w->counters[port->index].tx_refused, 1);
	msh_drop(w, source, reason, m);
	return GONE;
}

/* A packet that is too long, unfinished, or partial where the port wants it whole. */
static enum prepared
prepare(struct msh_worker *w, struct msh_port *port, uint16_t queue, uint16_t source,
	struct rte_mbuf *m)
{
	if (msh_frame_length(m) > port->max_frame)
		return refuse(w, port, source, MSH_DROP_TOO_BIG, m);
	if (msh_unfinished_for(m, __atomic_load_n(&port->takes, __ATOMIC_RELAXED)))
		return FINISH;
	if (!port->ops->takes_partial && msh_is_partial(m) && msh_rest_copy(m) != 0) {
		msh_drop(w, source, MSH_DROP_NO_MBUF, m);
		return GONE;
	}
	if (port->ops->prepare != NULL && (m->ol_flags & MSH_UNFINISHED) &&
		!port->ops->prepare(port, queue, m))
		return refuse(w, port, source, MSH_DROP_BAD_OFFLOAD, m);
	return KEEP;
}

static void
send_queue(struct msh_worker *w, const struct msh_topology *topology, struct msh_port *port,
	uint16_t queue, struct msh_txq *q)
{
	if (unlikely(topology->has_rules))
		apply_rules(w, topology, port->index, q);
	const uint32_t longest = port->max_frame;
	const bool whole = !port->ops->takes_partial;
	uint64_t bytes = 0;
	uint16_t kept = 0; /* in the order in which they came */
	for (uint16_t i = 0; i < q->count; i++) {
		struct rte_mbuf *m = q->packet[i];
		if (likely((m->ol_flags & MSH_UNFINISHED) == 0 && m->pkt_len <= longest &&
			    (!whole || !msh_is_partial(m)))) {
			bytes += m->pkt_len;
			q->packet[kept++] = m;
			continue;
		}
		switch (prepare(w, port, queue, q->source, m)) {
		case KEEP:
			bytes += m->pkt_len;
			q->packet[kept++] = m;
			break;
		case FINISH:
			send_packets(w, port, queue, q->source, q->packet, kept, bytes);
			kept = 0;
			bytes = 0;
			finish_and_send(w, port, queue, q->source, m);
			break;
		default:
			break;
		}
	}
	if (likely(kept > 0))
		send_packets(w, port, queue, q->source, q->packet, kept, bytes);
}

static void
hand_over(struct msh_worker *w, const struct msh_port *port, uint16_t worker, struct msh_txq *q)
{
	complete(w, q);
	for (uint16_t i = 0; i < q->count; i++) {
		q->packet[i]->port = q->source;
		q->packet[i]->hash.usr = port->index;
	}
	struct rte_ring *ring = w->datapath->worker[worker].handoff[w->index];
	uint16_t taken =
		(uint16_t)rte_ring_sp_enqueue_burst(ring, (void **)q->packet, q->count, NULL);
	if (unlikely(taken < q->count))
		drop_rest(w, q->source, MSH_DROP_HANDOFF_FULL, q->packet + taken, q->count - taken);
}

/* May the worker send by this queue now? */
static bool
may_send(const struct msh_worker *w, const struct msh_service *s, uint16_t queue)
{
	if (!s->moving || s->queue != queue)
		return s->worker[queue] == w->index;
	return w->handed && s->from == w->index;
}

/* A queue for a packet: the same for all of a flow, among those that this worker sends by, if any.
 */
static uint16_t
pick_queue(const struct msh_service *s, uint32_t mine, const struct rte_mbuf *m)
{
	uint32_t hash = msh_spread_hash(m);
	if (mine == 0)
		return (uint16_t)(hash % s->count);
	for (hash %= (uint32_t)__builtin_popcount(mine); hash > 0; hash--)
		mine &= mine - 1;
	return (uint16_t)__builtin_ctz(mine);
}

/* To a port of several queues, or with one that moves. */
static void
send_spread(struct msh_worker *w, const struct msh_config *config, struct msh_port *port,
	const struct msh_txq *q)
{
	const struct msh_service *s = &config->topology->service[port->index];
	uint16_t queue[MSH_BURST_MAX];
	uint32_t mine = 0, used = 0;
	struct msh_txq part = {.source = q->source};
	for (uint16_t i = 0; i < s->count; i++)
		mine |= (uint32_t)may_send(w, s, i) << i;
	for (uint16_t i = 0; i < q->count; i++) {
		queue[i] = pick_queue(s, mine, q->packet[i]);
		used |= 1u << queue[i];
	}
	for (; used != 0; used &= used - 1) {
		uint16_t now = (uint16_t)__builtin_ctz(used);
		part.count = 0;
		for (uint16_t i = 0; i < q->count; i++)
			if (queue[i] == now)
				part.packet[part.count++] = q->packet[i];
		if (mine >> now & 1)
			send_queue(w, config->topology, port, now, &part);
		else
			hand_over(w, port, s->worker[now], &part);
	}
}

static void
flush_port(struct msh_worker *w, const struct msh_config *config, uint16_t out)
{
	struct msh_txq *q = &w->txq[out];
	if (q->count == 0)
		return;
	struct msh_port *port = config->topology->port[out];
	const struct msh_service *s = &config->topology->service[out];
	if (unlikely(port == NULL))
		drop_rest(w, q->source, MSH_DROP_NO_PORT, q->packet, q->count);
	else if (port->own_tx_queues)
		send_queue(w, config->topology, port, w->index, q);
	else if (unlikely(s->count > 1 || s->moving))
		send_spread(w, config, port, q);
	else if (s->worker[0] == w->index)
		send_queue(w, config->topology, port, 0, q);
	else
		hand_over(w, port, s->worker[0], q);
	q->count = 0;
}

void
msh_tx_queue(struct msh_worker *w, const struct msh_config *config, uint16_t out, uint16_t source,
	struct rte_mbuf *packet)
{
	struct msh_txq *q = &w->txq[out];
	if (q->count == MSH_BURST_MAX || (q->count > 0 && q->source != source))
		flush_port(w, config, out);
	else if (q->count == 0)
		w->dirty[w->dirty_count++] = out;
	q->source = source;
	q->packet[q->count++] = packet;
}

void
msh_tx_queue_mask(struct msh_worker *w, const struct msh_config *config, uint16_t out,
	const struct msh_burst *burst, uint64_t mask)
{
	MSH_FOREACH_BIT (i, mask)
		msh_tx_queue(w, config, out, burst->in_port, burst->packet[i].mbuf);
}

void
msh_tx_flush(struct msh_worker *w, const struct msh_config *config)
{
	for (uint16_t i = 0; i < w->dirty_count; i++)
		flush_port(w, config, w->dirty[i]);
	w->dirty_count = 0;
}

/* All that waits in one ring. Returns the number of packets. */
static uint32_t
take_handed(struct msh_worker *w, const struct msh_config *config, struct rte_ring *ring)
{
	struct rte_mbuf *packets[MSH_BURST_MAX];
	unsigned int left = rte_ring_count(ring), total = left, n;
	for (; left > 0; left -= n) {
		n = rte_ring_sc_dequeue_burst(
			ring, (void **)packets, RTE_MIN(left, (unsigned int)MSH_BURST_MAX), NULL);
		for (unsigned int i = 0; i < n; i++)
			/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): no wrong count */
			msh_tx_queue(w, config, (uint16_t)packets[i]->hash.usr, packets[i]->port,
				packets[i]);
	}
	return total;
}

uint32_t
msh_tx_handoff(struct msh_worker *w, const struct msh_config *config)
{
	uint32_t total = 0;
	if (unlikely(config->topology->holds[w->index]))
		return 0;
	w->handed = true;
	/* Also what it left to itself while a queue moved. */
	for (unsigned int from = 0; from < w->datapath->worker_count; from++)
		total += take_handed(w, config, w->handoff[from]);
	if (total > 0)
		msh_tx_flush(w, config);
	w->handed = false;
	return total;
}
