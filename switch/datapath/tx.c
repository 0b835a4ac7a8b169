/* SPDX-License-Identifier: BSD-3-Clause */

/* Tx queues: a worker collects what a burst leaves by each port and sends it at once. A port that
 * has no queue for each worker is sent to by its owner alone; the others hand their packets over by
 * a ring a pair of workers. */

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
send_packets(struct msh_worker *w, struct msh_port *port, uint16_t source,
	struct rte_mbuf **packets, uint16_t count)
{
	struct msh_port_counters *out = &w->counters[port->index];
	uint16_t queue = port->own_tx_queues ? w->index : 0;
	bool up = msh_port_is_up(port);
	uint64_t bytes = 0;
	for (uint16_t i = 0; i < count; i++)
		bytes += packets[i]->pkt_len;
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
finish_and_send(struct msh_worker *w, struct msh_port *port, uint16_t source, struct rte_mbuf *m)
{
	struct rte_mbuf *segment[MSH_SEGMENTS_MAX];
	if ((m->ol_flags & RTE_MBUF_F_TX_TCP_SEG) == 0) {
		if (msh_unfinished_sum(m) == 0)
			send_packets(w, port, source, &m, 1);
		else
			msh_drop(w, source, MSH_DROP_NO_MBUF, m);
		return;
	}
	int n = msh_unfinished_cut(m, w->datapath->pool, segment);
	if (n < 0) {
		msh_drop(w, source, MSH_DROP_NO_MBUF, m);
		return;
	}
	rte_pktmbuf_free(m);
	msh_count(&w->counters[source].copies, (uint64_t)n - 1);
	for (int i = 0; i < n; i += MSH_BURST_MAX)
		send_packets(w, port, source, segment + i, (uint16_t)RTE_MIN(n - i, MSH_BURST_MAX));
}

static void
send_queue(struct msh_worker *w, struct msh_port *port, struct msh_txq *q)
{
	uint16_t kept = 0; /* in the order in which they came */
	uint8_t takes = __atomic_load_n(&port->takes, __ATOMIC_RELAXED);
	bool whole = !port->ops->takes_partial;
	for (uint16_t i = 0; i < q->count; i++) {
		struct rte_mbuf *m = q->packet[i];
		if (unlikely(msh_frame_length(m) > port->max_frame)) {
			msh_count(&w->counters[port->index].tx_refused, 1);
			msh_drop(w, q->source, MSH_DROP_TOO_BIG, m);
		} else if (unlikely(msh_unfinished_for(m, takes))) {
			send_packets(w, port, q->source, q->packet, kept);
			kept = 0;
			finish_and_send(w, port, q->source, m);
		} else if (unlikely(whole && msh_is_partial(m) && msh_rest_copy(m) != 0)) {
			msh_drop(w, q->source, MSH_DROP_NO_MBUF, m);
		} else {
			q->packet[kept++] = m;
		}
	}
	if (kept > 0)
		send_packets(w, port, q->source, q->packet, kept);
}

static void
hand_over(struct msh_worker *w, const struct msh_port *port, struct msh_txq *q)
{
	complete(w, q);
	for (uint16_t i = 0; i < q->count; i++) {
		q->packet[i]->port = q->source;
		q->packet[i]->hash.usr = port->index;
	}
	struct rte_ring *ring = w->datapath->worker[port->owner].handoff[w->index];
	uint16_t taken =
		(uint16_t)rte_ring_sp_enqueue_burst(ring, (void **)q->packet, q->count, NULL);
	if (unlikely(taken < q->count))
		drop_rest(w, q->source, MSH_DROP_HANDOFF_FULL, q->packet + taken, q->count - taken);
}

static void
flush_port(struct msh_worker *w, const struct msh_config *config, uint16_t out)
{
	struct msh_txq *q = &w->txq[out];
	if (q->count == 0)
		return;
	struct msh_port *port = config->topology->port[out];
	if (unlikely(port == NULL))
		drop_rest(w, q->source, MSH_DROP_NO_PORT, q->packet, q->count);
	else if (port->own_tx_queues || port->owner == w->index)
		send_queue(w, port, q);
	else
		hand_over(w, port, q);
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

uint16_t
msh_tx_handoff(struct msh_worker *w, const struct msh_config *config)
{
	struct rte_mbuf *packets[MSH_BURST_MAX];
	uint16_t total = 0;
	for (unsigned int from = 0; from < w->datapath->worker_count; from++) {
		if (from == w->index)
			continue;
		unsigned int n = rte_ring_sc_dequeue_burst(
			w->handoff[from], (void **)packets, MSH_BURST_MAX, NULL);
		for (unsigned int i = 0; i < n; i++)
			/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): no wrong count */
			msh_tx_queue(w, config, (uint16_t)packets[i]->hash.usr, packets[i]->port,
				packets[i]);
		total += (uint16_t)n;
	}
	if (total > 0)
		msh_tx_flush(w, config);
	return total;
}
