/* SPDX-License-Identifier: BSD-3-Clause */

/* The control lcore: regions, the socket, neighbours, ageing, retiring. Sleeps in short naps when
 * nothing comes: polling keeps a command's way short, and a whole core for it would be too much. */

#include <rte_cycles.h>
#include <sys/prctl.h>
#include <sched.h>
#include <time.h>

#include "control.h"
#include "retire.h"

#define NAP_NS 50000        /* a region is looked at at least this often */
#define LONG_NAP_NS 1000000 /* without regions: neighbours, retiring */
#define BUSY_NS 200000      /* then a nap, whatever comes: others may share the core */
#define SECOND_NS 1000000000ull
#define REFRESH_SECONDS 30 /* between questions for MACs that are known */
/* The whole forwarding table within a minute, in steps of a tick. */
#define AGE_BUCKETS (MSH_FDB_BUCKETS / 60 + 1)

uint64_t
msh_now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

/* How busy each worker was since the last sample. */
static void
sample_workers(struct msh_control *control)
{
	for (unsigned int i = 0; i < control->datapath.worker_count; i++) {
		const struct msh_worker *w = &control->datapath.worker[i];
		struct msh_worker_sample *s = &control->sample[i];
		struct msh_worker_sample now = {
			.at = rte_rdtsc(),
			.busy_cycles = __atomic_load_n(&w->busy_cycles, __ATOMIC_RELAXED),
			.packets = __atomic_load_n(&w->busy_packets, __ATOMIC_RELAXED),
		};
		if (s->at != 0) {
			double cycles = (double)(now.at - s->at);
			now.busy = (double)(now.busy_cycles - s->busy_cycles) / cycles;
			now.packets_per_second = (double)(now.packets - s->packets) *
						 (double)rte_get_tsc_hz() / cycles;
		}
		*s = now;
	}
}

static void
run_second(struct msh_control *control, uint32_t second)
{
	__atomic_store_n(&control->datapath.now, second, __ATOMIC_RELAXED);
	msh_fdb_age(control->datapath.fdb, second, AGE_BUCKETS);
	msh_neighbors_ask(control, second % REFRESH_SECONDS == 0);
	msh_ports_check_links(control);
	sample_workers(control);
	msh_queues_balance(control);
	msh_conn_sweep(control->datapath.connections, second);
}

/* It works little and wants to be awake at once, also where it must share its core. Not a low nice
 * value: some schedulers let its sleeps starve the ones beside it. Not allowed: never mind. */
void
msh_control_be_first(bool first)
{
	struct sched_param lowest = {.sched_priority = first ? 1 : 0};
	sched_setscheduler(0, (first ? SCHED_RR : SCHED_OTHER) | SCHED_RESET_ON_FORK, &lowest);
}

void
msh_control_run(struct msh_control *control, const volatile sig_atomic_t *stop)
{
	prctl(PR_SET_TIMERSLACK, 1000); /* ns; the default of 50 us would double the nap */
	msh_control_be_first(true);
	uint64_t next = 0, rested = msh_now_ns();
	while (!*stop) {
		uint64_t now = msh_now_ns();
		if (now >= next) {
			/* From 1: a second of 0 would look like an entry that was never used. */
			run_second(
				control, (uint32_t)((now - control->started_ns) / SECOND_NS) + 1);
			next = now + SECOND_NS;
		}
		msh_queues_follow(control);
		unsigned int n = msh_vms_poll(control);
		msh_neighbors_poll(control);
		msh_retire_poll();
		bool busy = n > 0 && now - rested < BUSY_NS;
		msh_socket_poll(control, busy ? 0 : control->regions > 0 ? NAP_NS : LONG_NAP_NS);
		if (!busy)
			rested = msh_now_ns();
	}
}
