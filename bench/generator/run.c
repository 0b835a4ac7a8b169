/* SPDX-License-Identifier: BSD-3-Clause */
#include "run.h"

#include <assert.h>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <string.h>

#define BURST 32
#define ANNOUNCE_MS 100 /* whoever did not pass it on by then does not */
#define DRAINS_MAX 10
#define DRAIN_POLLS 1000
#define STAMP_EVERY 16
#define GAP_US 5 /* between two looks at the clock: others had the core */

struct state {
	struct run *run;
	struct rte_mempool *pool;
	struct result *result;
	bool counting;
	uint16_t port[PORTS_MAX]; /* that receive */
	bool is_end[PORTS_MAX];   /* of a route; the others hear only what was announced */
	unsigned int ports;
	uint64_t heard; /* by all of them */
	uint64_t due, stamps;
	uint64_t looked, gap, gap_end; /* last look at the clock; what is a gap; end of the last */
	uint64_t silent; /* looked in vain for so long, though packets were on their way */
};

/* A look at the clock. */
static void
look(struct state *s, uint64_t now)
{
	uint64_t gap = now - s->looked;
	s->looked = now;
	if (gap <= s->gap) {
		s->silent += gap;
		return;
	}
	s->gap_end = now;
	if (!s->counting)
		return;
	s->result->gaps++;
	s->result->gap_cycles += gap;
	s->result->gap_longest = RTE_MAX(s->result->gap_longest, gap);
}

/* After a turn, before which so many packets had been heard. */
static void
hear(struct state *s, uint64_t before)
{
	if (s->heard != before || s->result->all_received == s->result->all_sent)
		s->silent = 0;
	else if (s->counting)
		s->result->silence = RTE_MAX(s->result->silence, s->silent);
}

static void
take_sample(struct state *s, const struct stamp *stamp, uint64_t now)
{
	if (!s->counting || stamp->magic != STAMP_MAGIC || now <= stamp->tsc)
		return;
	histogram_add(&s->result->latency, now - stamp->tsc);
	if (stamp->tsc >= s->gap_end)
		histogram_add(&s->result->undisturbed, now - stamp->tsc);
}

static void
receive(struct state *s)
{
	struct rte_mbuf *packets[BURST];
	for (unsigned int i = 0; i < s->ports; i++) {
		uint16_t n = rte_eth_rx_burst(s->port[i], 0, packets, BURST);
		if (n == 0)
			continue;
		s->heard += n;
		if (!s->is_end[i]) {
			rte_pktmbuf_free_bulk(packets, n);
			continue;
		}
		uint64_t now = s->run->latency ? rte_rdtsc() : 0;
		if (s->run->latency)
			look(s, now);
		for (uint16_t p = 0; p < n; p++) {
			if (s->counting)
				s->result->bytes += packets[p]->pkt_len;
			if (!s->run->latency || packets[p]->data_len < FRAME_MIN)
				continue;
			take_sample(s,
				rte_pktmbuf_mtod_offset(
					packets[p], const struct stamp *, STAMP_OFFSET),
				now);
		}
		s->result->all_received += n;
		if (s->counting)
			s->result->received += n;
		rte_pktmbuf_free_bulk(packets, n);
	}
}

/* The stamp or what an earlier one left: buffers come back with their bytes. */
static void
stamp(struct state *s, struct rte_mbuf *packet)
{
	struct stamp *at = rte_pktmbuf_mtod_offset(packet, struct stamp *, STAMP_OFFSET);
	bool now = s->stamps++ % STAMP_EVERY == 0;
	at->magic = now ? STAMP_MAGIC : 0;
	at->tsc = now ? rte_rdtsc() : 0;
}

static int
send_burst(struct state *s, const struct run_route *route, uint16_t n)
{
	struct rte_mbuf *packets[BURST];
	if (rte_pktmbuf_alloc_bulk(s->pool, packets, n) != 0)
		return -1;
	for (uint16_t i = 0; i < n; i++) {
		traffic_next(&s->run->traffic, &route->route, packets[i]);
		if (s->run->latency)
			stamp(s, packets[i]);
	}
	uint16_t sent = rte_eth_tx_burst(route->from, 0, packets, n);
	s->result->all_sent += sent;
	if (s->counting) {
		s->result->sent += sent;
		s->result->refused += (uint16_t)(n - sent);
	}
	if (sent < n)
		rte_pktmbuf_free_bulk(packets + sent, n - sent);
	return 0;
}

/* How many packets the rate allows now, and the time when the next is due. */
static uint16_t
allowance(struct state *s, uint64_t now)
{
	if (s->run->rate <= 0)
		return BURST;
	double gap = (double)rte_get_tsc_hz() / s->run->rate;
	if (s->due > now)
		return 0;
	uint64_t n = (uint64_t)((double)(now - s->due) / gap) + 1;
	if (n > BURST)
		n = BURST;
	s->due += (uint64_t)((double)n * gap);
	/* What the machine took away is not caught up with: a burst later is not the same load. */
	if (s->due + (uint64_t)(BURST * gap) < now)
		s->due = now;
	return (uint16_t)n;
}

static int
send_for(struct state *s, unsigned int ms)
{
	uint64_t now = rte_rdtsc(), end = now + rte_get_tsc_hz() / 1000 * ms;
	unsigned int turn = 0;
	assert(s->run->routes > 0);
	s->due = s->looked = now;
	s->silent = 0;
	for (; now < end; now = rte_rdtsc()) {
		look(s, now);
		uint64_t before = s->heard;
		uint16_t n = allowance(s, now);
		if (n > 0 && send_burst(s, &s->run->route[turn++ % s->run->routes], n) != 0)
			return -1;
		receive(s);
		hear(s, before);
	}
	return 0;
}

/* Until *count is what is expected, or nothing has come for so many ms. */
static void
drain(struct state *s, const uint64_t *count, uint64_t expected, unsigned int ms)
{
	uint64_t now = rte_rdtsc(), last = now, quiet = rte_get_tsc_hz() / 1000 * ms;
	uint64_t end = now + quiet * DRAINS_MAX;
	unsigned int polls = 0; /* in vain: time may have passed without us */
	while (*count < expected && (now - last < quiet || polls < DRAIN_POLLS) && now < end) {
		uint64_t before = *count;
		receive(s);
		polls++;
		now = rte_rdtsc();
		if (*count != before) {
			last = now;
			polls = 0;
		}
	}
}

/* A frame back along each route with two ends, so that what learns MACs knows where they are. */
static int
announce(struct state *s)
{
	struct traffic one = {.size = {FRAME_MIN}, .sizes = 1, .flows = 1};
	for (unsigned int i = 0; i < s->run->routes; i++) {
		const struct run_route *r = &s->run->route[i];
		if (r->from == r->to)
			continue;
		struct route back = {r->route.destination, r->route.source, r->route.destination_ip,
			r->route.source_ip};
		struct rte_mbuf *packet = rte_pktmbuf_alloc(s->pool);
		if (packet == NULL)
			return -1;
		traffic_next(&one, &back, packet);
		if (rte_eth_tx_burst(r->to, 0, &packet, 1) == 0)
			rte_pktmbuf_free(packet);
	}
	return 0;
}

static void
add_port(struct state *s, uint16_t port, bool is_end)
{
	unsigned int i = 0;
	while (i < s->ports && s->port[i] != port)
		i++;
	s->ports = RTE_MAX(s->ports, i + 1);
	s->port[i] = port;
	s->is_end[i] |= is_end;
}

int
run_traffic(struct run *run, struct rte_mempool *pool, struct result *result)
{
	struct state s = {.run = run, .pool = pool, .result = result};
	s.gap = rte_get_tsc_hz() / 1000000 * GAP_US;
	memset(result, 0, sizeof(*result));
	for (unsigned int i = 0; i < run->routes; i++) {
		add_port(&s, run->route[i].to, true);
		add_port(&s, run->route[i].from, false);
	}
	drain(&s, &s.heard, UINT64_MAX, 1); /* of an earlier run */
	uint64_t expected = s.heard + run->routes;
	if (announce(&s) != 0)
		return -1;
	drain(&s, &s.heard, expected, ANNOUNCE_MS);
	result->all_received = 0;
	int rc = send_for(&s, run->warmup);
	s.counting = true;
	uint64_t start = rte_rdtsc();
	if (rc == 0)
		rc = send_for(&s, run->ms);
	result->seconds = (double)(rte_rdtsc() - start) / (double)rte_get_tsc_hz();
	s.counting = false;
	drain(&s, &result->all_received, result->all_sent, run->drain);
	return rc;
}
