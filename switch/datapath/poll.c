/* SPDX-License-Identifier: BSD-3-Clause */
#include "poll.h"

#include "worker.h"

#define PATIENCE 200 /* empty looks after which a queue counts as idle */
#define ROUND 16     /* turns in which all idle ones are looked at */

/* Take what a queue has through the pipeline. Returns the number of packets. */
static uint16_t
look_at(struct msh_worker *w, const struct msh_config *config, const struct msh_poll *poll)
{
	struct rte_mbuf *packets[MSH_BURST_MAX];
	struct msh_port *port = poll->port;
	uint16_t n = port->ops->rx(port, poll->queue, packets, MSH_BURST_MAX);
	if (n > 0) {
		msh_pipeline_run(w, config, port->index, packets, n);
		if (port->ops->release != NULL)
			port->ops->release(port, poll->queue);
	}
	return n;
}

/* A new topology: all are busy until they show otherwise. */
static void
start_anew(struct msh_poller *p, const struct msh_topology *topology, uint16_t count)
{
	p->version = topology->version;
	p->busy_count = count;
	p->idle_count = p->next = 0;
	for (uint16_t i = 0; i < count; i++) {
		p->busy[i] = i;
		p->empty[i] = 0;
	}
}

static uint32_t
look_at_busy(struct msh_poller *p, struct msh_worker *w, const struct msh_config *config,
	const struct msh_poll *poll)
{
	uint32_t total = 0;
	uint16_t kept = 0;
	for (uint16_t i = 0; i < p->busy_count; i++) {
		uint16_t at = p->busy[i];
		uint16_t n = look_at(w, config, &poll[at]);
		total += n;
		p->empty[at] = n > 0 ? 0 : (uint8_t)(p->empty[at] + 1);
		if (unlikely(p->empty[at] == PATIENCE))
			p->idle[p->idle_count++] = at;
		else
			p->busy[kept++] = at;
	}
	p->busy_count = kept;
	return total;
}

static uint32_t
look_at_idle(struct msh_poller *p, struct msh_worker *w, const struct msh_config *config,
	const struct msh_poll *poll)
{
	uint32_t total = 0;
	for (uint16_t left = (uint16_t)((p->idle_count + ROUND - 1) / ROUND); left > 0; left--) {
		if (p->next >= p->idle_count)
			p->next = 0;
		uint16_t at = p->idle[p->next];
		uint16_t n = look_at(w, config, &poll[at]);
		if (n == 0) {
			p->next++;
			continue;
		}
		total += n;
		p->empty[at] = 0;
		p->busy[p->busy_count++] = at;
		p->idle[p->next] = p->idle[--p->idle_count]; /* looked at next */
		if (p->idle_count == 0)
			break;
	}
	return total;
}

uint32_t
msh_poll_turn(struct msh_poller *p, struct msh_worker *w, const struct msh_config *config)
{
	const struct msh_topology *topology = config->topology;
	const struct msh_poll *poll = topology->poll[w->index];
	if (unlikely(p->version != topology->version))
		start_anew(p, topology, topology->poll_count[w->index]);
	uint32_t total = look_at_busy(p, w, config, poll);
	return total + look_at_idle(p, w, config, poll);
}
