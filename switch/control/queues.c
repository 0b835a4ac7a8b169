/* SPDX-License-Identifier: BSD-3-Clause */

/* Which worker serves which queue. */

#include <errno.h>
#include <string.h>

#include "control.h"
#include "log.h"
#include "nodes.h"
#include "retire.h"

/* Busy shares of two workers between which a queue is worth moving. */
#define BUSY 0.7
#define DIFFERENCE 0.3

/* Some port's queues or node; vhost's thread sets, control clears: atomic. */
static bool changed;

void
msh_port_set_queues(struct msh_port *port, uint16_t queues)
{
	if (__atomic_exchange_n(&port->queues, queues, __ATOMIC_RELAXED) != queues)
		__atomic_store_n(&changed, true, __ATOMIC_RELEASE);
}

void
msh_port_set_node(struct msh_port *port, int node)
{
	if (__atomic_exchange_n(&port->node, node, __ATOMIC_RELAXED) != node)
		__atomic_store_n(&changed, true, __ATOMIC_RELEASE);
}

static int
node_of(const struct msh_port_entry *entry)
{
	return __atomic_load_n(&entry->port->node, __ATOMIC_RELAXED);
}

/* For a further queue of a port, on its node: the worker that serves the fewest of this port's,
 * then of all. */
static uint16_t
least_loaded(const struct msh_control *control, const struct msh_port_entry *entry)
{
	const struct msh_service *own = &entry->service;
	double count[MSH_WORKERS_MAX] = {0};
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++)
		for (uint16_t q = 0;
			control->port[i].port != NULL && q < control->port[i].service.count; q++)
			count[control->port[i].service.worker[q]]++;
	for (uint16_t q = 0; q < own->count; q++)
		count[own->worker[q]] += MSH_PORTS_MAX * MSH_QUEUES_MAX;
	return msh_node_pick(&control->datapath, node_of(entry), count);
}

void
msh_queues_place(struct msh_control *control, struct msh_port_entry *entry)
{
	uint16_t queues = __atomic_load_n(&entry->port->queues, __ATOMIC_RELAXED);
	struct msh_service *s = &entry->service;
	if (s->count > queues)
		s->count = (uint8_t)queues;
	while (s->count < queues) {
		if (!entry->placed[s->count])
			s->worker[s->count] = (uint8_t)least_loaded(control, entry);
		s->count++;
	}
}

/* Wait until what lay in a ring has been taken out. */
static void
wait_drained(const struct rte_ring *ring)
{
	uint32_t end = __atomic_load_n(&ring->prod.tail, __ATOMIC_ACQUIRE);
	while ((int32_t)(end - __atomic_load_n(&ring->cons.tail, __ATOMIC_ACQUIRE)) > 0)
		msh_rest();
}

/* What was handed to the queue's old worker, and by it, is sent by now; but for what its new worker
 * holds. */
static void
drain(struct msh_control *control, uint16_t from, uint16_t to)
{
	const struct msh_datapath *dp = &control->datapath;
	msh_rcu_wait(); /* all know that the queue moves */
	for (uint16_t w = 0; w < dp->worker_count; w++) {
		wait_drained(dp->worker[from].handoff[w]);
		if (w != to)
			wait_drained(dp->worker[w].handoff[from]);
	}
	msh_rcu_wait(); /* and have sent what they took out */
}

int
msh_queue_move(
	struct msh_control *control, struct msh_port_entry *entry, uint16_t queue, uint16_t worker)
{
	struct msh_service *s = &entry->service;
	uint16_t from = s->worker[queue];
	s->worker[queue] = (uint8_t)worker;
	if (from == worker || queue >= s->count)
		return 0;
	s->moving = true;
	s->queue = (uint8_t)queue;
	s->from = (uint8_t)from;
	if (msh_publish_topology(control) != 0) {
		s->worker[queue] = (uint8_t)from;
		s->moving = false;
		return -ENOMEM;
	}
	drain(control, from, worker);
	s->moving = false;
	while (msh_publish_topology(control) != 0)
		msh_rest(); /* a queue that rests is worse than waiting for memory */
	return 0;
}

/* Queues that were placed before it was known where the guest's memory is. 0 or -ENOMEM. */
static int
bring_home(struct msh_control *control, struct msh_port_entry *entry)
{
	const struct msh_service *s = &entry->service;
	const struct msh_worker *worker = control->datapath.worker;
	int rc = 0;
	for (uint16_t q = 0; rc == 0 && q < s->count; q++) {
		uint16_t to = least_loaded(control, entry);
		if (!entry->placed[q] && worker[s->worker[q]].node != node_of(entry) &&
			worker[to].node == node_of(entry))
			rc = msh_queue_move(control, entry, q, to);
	}
	return rc;
}

void
msh_queues_follow(struct msh_control *control)
{
	if (!__atomic_exchange_n(&changed, false, __ATOMIC_ACQUIRE))
		return;
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++)
		if (control->port[i].port != NULL)
			msh_queues_place(control, &control->port[i]);
	bool done = msh_publish_topology(control) == 0;
	for (unsigned int i = 1; done && i < MSH_PORTS_MAX; i++)
		if (control->port[i].port != NULL)
			done = bring_home(control, &control->port[i]) == 0;
	if (!done)
		__atomic_store_n(&changed, true, __ATOMIC_RELEASE); /* tried again */
}

int
msh_port_move(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	struct msh_port_entry *entry = msh_port_find(control, argv[0]);
	uint64_t worker, queue = 0;
	if (entry == NULL)
		return msh_answer_set(answer, MSH_NOTFOUND, "there is no port %s", argv[0]);
	if (strcmp(argv[1], "auto") == 0 && argc == 2) {
		memset(entry->placed, 0, sizeof(entry->placed));
		__atomic_store_n(&changed, true, __ATOMIC_RELEASE);
		return 0;
	}
	uint16_t queues = entry->provider->guest_queues ? MSH_QUEUES_MAX : entry->service.count;
	if (msh_parse_number(argv[1], UINT32_MAX, &worker) != 0 ||
		worker >= control->datapath.worker_count)
		return msh_answer_set(answer, MSH_BAD, "'%s' is no worker: 0 to %u", argv[1],
			control->datapath.worker_count - 1);
	if (argc > 2 && (strcmp(argv[2], "queue") != 0 || argc != 4))
		return msh_answer_set(answer, MSH_BAD, "'%s' is not queue N", argv[2]);
	if (argc > 2 && (msh_parse_number(argv[3], UINT32_MAX, &queue) != 0 || queue >= queues))
		return msh_answer_set(answer, MSH_BAD, "'%s' is no queue of port %s: 0 to %d",
			argv[3], argv[0], queues - 1);
	if (msh_queue_move(control, entry, (uint16_t)queue, (uint16_t)worker) != 0)
		return msh_answer_set(answer, MSH_FAILED, "port %s: out of memory", argv[0]);
	entry->placed[queue] = true;
	return 0;
}

int
msh_worker_balance(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	bool balance;
	int rc = msh_parse_on_off("balance", argv[0], &balance, answer);
	if (rc == 0)
		control->keep_places = !balance;
	return rc;
}

/* Of a worker's packets since the last time, how many came by each port; [0]: all. */
static void
sample_ports(const struct msh_control *control, uint16_t worker, uint64_t *packets)
{
	static uint64_t last[MSH_WORKERS_MAX][MSH_PORTS_MAX];
	packets[0] = 0;
	for (unsigned int i = 1; i < MSH_PORTS_MAX; i++) {
		uint64_t now = __atomic_load_n(
			&control->datapath.worker[worker].counters[i].rx_packets, __ATOMIC_RELAXED);
		packets[i] = now - last[worker][i];
		last[worker][i] = now;
		packets[0] += packets[i];
	}
}

/* Queues of a port that a worker serves; *movable: one that may be moved, if there is one. */
static unsigned int
count_served(const struct msh_port_entry *entry, uint16_t worker, uint16_t *movable)
{
	const struct msh_service *s = &entry->service;
	unsigned int n = 0;
	for (uint16_t q = 0; q < s->count; q++)
		if (s->worker[q] == worker) {
			if (!entry->placed[q])
				*movable = q;
			n++;
		}
	return n;
}

/* Move the queue with the largest share that still leaves the two workers nearer to each other, to
 * the idlest worker of its node. */
static void
relieve(struct msh_control *control, uint16_t busiest, const double *busy, const uint64_t *packets)
{
	struct msh_port_entry *best = NULL;
	uint16_t queue = 0, idlest = 0;
	double most = 0;
	for (unsigned int i = 1; i < MSH_PORTS_MAX && packets[0] > 0; i++) {
		struct msh_port_entry *entry = &control->port[i];
		uint16_t movable = MSH_QUEUES_MAX;
		if (entry->port == NULL || packets[i] == 0)
			continue;
		unsigned int n = count_served(entry, busiest, &movable);
		if (movable == MSH_QUEUES_MAX)
			continue;
		uint16_t to = msh_node_pick(&control->datapath, node_of(entry), busy);
		double difference = busy[busiest] - busy[to];
		double share = busy[busiest] * (double)packets[i] / (double)packets[0] / n;
		if (difference > DIFFERENCE && share > most && share < difference) {
			most = share;
			best = entry;
			queue = movable;
			idlest = to;
		}
	}
	if (best == NULL || most < DIFFERENCE / 4 ||
		msh_queue_move(control, best, queue, idlest) != 0)
		return;
	MSH_LOG(INFO, "port %s: queue %u moved from worker %u, %.0f%% busy, to worker %u, %.0f%%",
		best->port->name, queue, busiest, busy[busiest] * 100, idlest, busy[idlest] * 100);
}

void
msh_queues_balance(struct msh_control *control)
{
	static uint64_t packets[MSH_WORKERS_MAX][MSH_PORTS_MAX];
	double busy[MSH_WORKERS_MAX] = {0};
	const uint16_t workers = (uint16_t)control->datapath.worker_count;
	uint16_t busiest = 0;
	for (uint16_t w = 0; w < workers; w++) {
		sample_ports(control, w, packets[w]);
		busy[w] = control->sample[w].busy;
		if (busy[w] > busy[busiest])
			busiest = w;
	}
	if (!control->keep_places && busy[busiest] > BUSY)
		relieve(control, busiest, busy, packets[busiest]);
}
