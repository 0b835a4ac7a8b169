/* SPDX-License-Identifier: BSD-3-Clause */

/* The worker's loop between guests in this process, always the same packets: callgrind counts its
 * instructions exactly (bench/instructions.py). For each workload a line of JSON.
 *
 * For callgrind: collect within replay_measure but not within let_guests_run. */

#include <sys/random.h>

#include "inside.h"
#include "unfinished.h"
#include "workload.h"

#define BURSTS 512 /* of a burst of each sender */

/* rte_memcpy is another one for each. */
#if defined(__AVX512F__)
#define INSTRUCTION_SET "AVX-512"
#elif defined(__AVX2__)
#define INSTRUCTION_SET "AVX2"
#else
#define INSTRUCTION_SET "SSE"
#endif

void let_guests_run(void);
void replay_measure(void);

/* What the guests do in a run of the loop. */
static struct {
	const struct workload *workload;
	bool announce; /* each host once, in place of the workload's packets */
	bool measured;
	uint64_t bursts;       /* that each sender sends */
	uint64_t sent[GUESTS]; /* bursts */
} run_of;

/* Secrets of hashes are drawn here: the same in each run. */
ssize_t
getrandom(void *bytes, size_t size, unsigned int flags)
{
	for (size_t i = 0; i < size; i++)
		((uint8_t *)bytes)[i] = (uint8_t)(i * 37 + 11);
	return (ssize_t)size;
}

static void
send_burst(unsigned int sender)
{
	const struct workload *w = run_of.workload;
	for (uint64_t i = 0; i < MSH_BURST_MAX; i++) {
		uint64_t n = run_of.sent[sender] * MSH_BURST_MAX + i;
		uint8_t *frame = guest_frame(&guest[sender]);
		if (!run_of.announce)
			w->write(w, sender, n, frame);
		else if (n < w->hosts)
			workload_announce(sender, (unsigned int)n, frame);
		else
			return;
		uint32_t length = run_of.announce ? FRAME_BYTES : w->size - RTE_ETHER_CRC_LEN;
		guest_send(&guest[sender], length, w->leaves_sum && !run_of.announce);
	}
}

/* The guests' part of a turn: a sender whose last burst was taken sends another one. */
static void
run_guests(void)
{
	bool done = true;
	for (unsigned int g = 0; g < GUESTS; g++) {
		guest_turn(&guest[g]);
		bool sends = run_of.announce || (run_of.workload->senders >> g & 1);
		if (!sends || guest[g].tx.seen != guest[g].tx.offered) {
			done &= !sends;
		} else if (run_of.sent[g] < run_of.bursts) {
			send_burst(g);
			run_of.sent[g]++;
			done = false;
		}
	}
	__atomic_store_n(&control.datapath.stop, done, __ATOMIC_RELAXED);
}

__attribute__((noinline)) void
let_guests_run(void)
{
	run_guests();
	run_of.measured = true; /* as it is: else the call would be a jump, and end here */
}

/* The guests have their turn when the loop looks at the first one's port, which always has packets:
 * it is looked at in each turn. */
static uint16_t
first_rx(struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	if (run_of.measured)
		let_guests_run();
	else
		run_guests();
	return msh_port_vhost_ops.rx(port, queue, packets, n);
}

static void
run_bursts(bool announce, uint64_t bursts)
{
	run_of.announce = announce;
	run_of.bursts = bursts;
	memset(run_of.sent, 0, sizeof(run_of.sent));
	control.datapath.stop = false;
	msh_worker_run(&control.datapath.worker[0]);
}

__attribute__((noinline)) void
replay_measure(void)
{
	run_of.measured = true;
	run_bursts(false, BURSTS);
	run_of.measured = false; /* not only for what comes: see let_guests_run */
}

/* Configure, let everyone be known, warm up. */
static void
prepare(const struct workload *w)
{
	run_of.workload = w;
	char *lines = strdup(w->commands != NULL ? w->commands : ""), *rest, line[256];
	for (char *l = strtok_r(lines, "\n", &rest); l != NULL; l = strtok_r(NULL, "\n", &rest))
		command("%s", l);
	free(lines);
	guest[0].rings.unfinished = w->leaves_sum;
	control.port[PORT(1)].port->takes = w->takes_sum ? MSH_TAKES_CSUM : 0;
	for (unsigned int i = 0; i < w->filters; i++) {
		workload_filter(i, line, sizeof(line));
		command("%s", line);
	}
	run_bursts(true, w->hosts / MSH_BURST_MAX + 1);
	msh_neighbors_poll(&control);
	run_bursts(false, BURSTS);
}

static void
tidy(const struct workload *w)
{
	if (w->commands != NULL)
		command("vm del vm");
	for (uint16_t i = 1; i <= GUESTS; i++)
		msh_fdb_flush(control.datapath.fdb, i);
	msh_retire_poll();
}

/* False: the packets did not fare as they should. */
static bool
measure(const struct workload *w)
{
	uint64_t before[GUESTS], packets = (uint64_t)BURSTS * MSH_BURST_MAX;
	bool right = true;
	for (unsigned int g = 0; g < GUESTS; g++)
		before[g] = guest[g].received;
	replay_measure();
	for (unsigned int g = 0; g < GUESTS; g++) {
		uint64_t got = guest[g].received - before[g];
		if (got == w->expect[g] * packets)
			continue;
		fprintf(stderr,
			"msh-replay: %s: guest %u got %" PRIu64 " packets, not %" PRIu64 "\n",
			w->name, g, got, w->expect[g] * packets);
		right = false;
	}
	printf("{\"name\": \"%s\", \"packets\": %" PRIu64 "}\n", w->name,
		packets * (unsigned int)__builtin_popcount(w->senders));
	return right;
}

int
main(int argc, char **argv)
{
	char *eal[] = {argv[0], "--lcores", "0@0,1@0", "--no-huge", "-m", "128", "--no-pci",
		"--no-shconf", "--no-telemetry", "--log-level=error", NULL};
	bool right = true;
	if (argc != 2)
		return fail("usage: msh-replay DIRECTORY");
	if (rte_eal_init(RTE_DIM(eal) - 1, eal) < 0)
		return fail("DPDK does not start");
	rte_srand(1);
	if (open_switch(GUESTS, argv[1]) != 0)
		return EXIT_FAILURE;
	look_by(0, first_rx);
	printf("{\"build\": \"%s, %s, DPDK %d.%02d\"}\n", REPLAY_BUILD, INSTRUCTION_SET,
		RTE_VER_YEAR, RTE_VER_MONTH);
	for (unsigned int i = 0; i < workload_count; i++) {
		prepare(&workloads[i]);
		right &= measure(&workloads[i]);
		tidy(&workloads[i]);
	}
	close_switch(GUESTS);
	return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
