/* SPDX-License-Identifier: BSD-3-Clause */

/* Two workers of one switch in real time, each between guests of its own: what each does for them
 * is not counted, so that no third core is needed to make traffic (bench/scaling.py).
 *
 * usage: msh-scaling EAL-ARGUMENTS -- DIRECTORY
 *
 * A line from stdin is a slice, "WORKERS WHERE MS": which workers run, as bits; own or across, the
 * guests that each one's sender sends to; the time that is counted. Its answer is a line of JSON.
 */

#include "inside.h"

#include "workload.h"

#define WORKERS 2
#define RECEIVER(worker) (WORKERS + (worker)) /* guests; the sender has the worker's number */
#define ALL (2 * WORKERS)
#define WINDOW GUEST_RING /* packets on their way: no ring is ever full */
#define WARMUP_MS 50
#define DRAIN_MS 10000 /* others may have the cores */

/* Main writes, workers read. */
static struct {
	bool across;
	bool over; /* nothing more is sent */
} slice;

/* What a worker's guests do. The worker writes. */
static struct side {
	uint64_t sent;                       /* main reads */
	bool ended;                          /* the guests send no more; main reads */
	uint64_t guest_cycles;               /* within the worker's busy_cycles; main reads */
	uint64_t turn_cycles;                /* of the turn in hand */
	uint64_t packets_before;             /* its busy_packets when that turn began */
	uint8_t frame[WORKERS][FRAME_BYTES]; /* by whose receiver it is for */
} __rte_cache_aligned side[WORKERS];

static void
run_guests(unsigned int w)
{
	struct side *s = &side[w];
	unsigned int to = slice.across ? WORKERS - 1 - w : w;
	guest_turn(&guest[w]);
	guest_turn(&guest[RECEIVER(w)]);
	if (__atomic_load_n(&slice.over, __ATOMIC_RELAXED)) {
		__atomic_store_n(&s->ended, true, __ATOMIC_RELEASE);
		return;
	}
	uint64_t came = __atomic_load_n(&guest[RECEIVER(to)].received, __ATOMIC_RELAXED);
	if (s->sent - came + MSH_BURST_MAX > WINDOW)
		return;
	for (unsigned int i = 0; i < MSH_BURST_MAX; i++) {
		memcpy(guest_frame(&guest[w]), s->frame[to], FRAME_BYTES);
		guest_send(&guest[w], FRAME_BYTES, false);
	}
	msh_count(&s->sent, MSH_BURST_MAX);
}

/* The guests have their turn when the worker looks at its sender's port. Their time is taken off
 * where the worker has counted the turn as busy, which shows in the next one. */
static uint16_t
sender_rx(struct msh_port *port, uint16_t queue, struct rte_mbuf **packets, uint16_t n)
{
	unsigned int w = port->index - PORT(0);
	struct side *s = &side[w];
	const struct msh_worker *worker = &control.datapath.worker[w];
	if (worker->busy_packets != s->packets_before)
		msh_count(&s->guest_cycles, s->turn_cycles);
	s->packets_before = worker->busy_packets;
	uint64_t start = rte_rdtsc();
	run_guests(w);
	s->turn_cycles = rte_rdtsc() - start;
	return msh_port_vhost_ops.rx(port, queue, packets, n);
}

static void
start_slice(unsigned int workers)
{
	struct msh_datapath *dp = &control.datapath;
	slice.over = dp->stop = false;
	dp->worker_count = (unsigned int)__builtin_popcount(workers);
	for (unsigned int w = 0; w < WORKERS; w++) {
		side[w].ended = false;
		side[w].sent = side[w].guest_cycles = side[w].turn_cycles = 0;
		side[w].packets_before = dp->worker[w].busy_packets;
		dp->worker[w].busy_cycles = 0;
		guest[RECEIVER(w)].received = 0;
	}
	for (unsigned int w = 0; w < WORKERS; w++)
		if (workers >> w & 1)
			rte_eal_remote_launch(msh_worker_run, &dp->worker[w], dp->worker[w].lcore);
}

struct sum {
	uint64_t packets, cycles;
};

static struct sum
count(unsigned int w)
{
	return (struct sum){__atomic_load_n(&guest[RECEIVER(w)].received, __ATOMIC_RELAXED),
		__atomic_load_n(&control.datapath.worker[w].busy_cycles, __ATOMIC_RELAXED) -
			__atomic_load_n(&side[w].guest_cycles, __ATOMIC_RELAXED)};
}

/* Each worker's guests send no more, and what they have sent has come. */
static bool
all_came(unsigned int workers)
{
	uint64_t sent = 0, came = 0;
	for (unsigned int w = 0; w < WORKERS; w++) {
		if ((workers >> w & 1) && !__atomic_load_n(&side[w].ended, __ATOMIC_ACQUIRE))
			return false;
		sent += __atomic_load_n(&side[w].sent, __ATOMIC_RELAXED);
		came += count(w).packets;
	}
	return sent == came;
}

/* False: packets went astray. */
static bool
end_slice(unsigned int workers)
{
	__atomic_store_n(&slice.over, true, __ATOMIC_RELAXED);
	for (unsigned int ms = 0; ms < DRAIN_MS && !all_came(workers); ms++)
		rte_delay_us_sleep(1000);
	bool right = all_came(workers);
	__atomic_store_n(&control.datapath.stop, true, __ATOMIC_RELAXED);
	rte_eal_mp_wait_lcore();
	return right;
}

static bool
run_slice(unsigned int workers, unsigned int ms)
{
	struct sum before[WORKERS], after[WORKERS];
	start_slice(workers);
	rte_delay_us_sleep(WARMUP_MS * 1000);
	for (unsigned int w = 0; w < WORKERS; w++)
		before[w] = count(w);
	rte_delay_us_sleep(ms * 1000);
	for (unsigned int w = 0; w < WORKERS; w++)
		after[w] = count(w);
	if (!end_slice(workers))
		return false;
	printf("{\"hz\": %" PRIu64 ", \"workers\": [", control.datapath.hz);
	for (unsigned int w = 0; w < WORKERS; w++)
		printf("%s{\"packets\": %" PRIu64 ", \"cycles\": %" PRIu64 "}", w > 0 ? ", " : "",
			after[w].packets - before[w].packets, after[w].cycles - before[w].cycles);
	puts("]}");
	fflush(stdout);
	return true;
}

/* All are VMs', with their MACs guarded. */
static void
set_up_guests(void)
{
	for (unsigned int g = 0; g < ALL; g++) {
		command("port move %c %u", 'a' + g, g % WORKERS);
		command("vm add %c port %c mac " GUEST_MAC, 'a' + g, 'a' + g, PORT(g));
	}
	for (unsigned int w = 0; w < WORKERS; w++) {
		look_by(w, sender_rx);
		for (unsigned int to = 0; to < WORKERS; to++)
			workload_frame(w, RECEIVER(to), side[w].frame[to]);
	}
}

int
main(int argc, char **argv)
{
	char line[64], where[16];
	unsigned int workers, ms;
	bool right = true;
	int used = rte_eal_init(argc, argv);
	if (used < 0)
		return fail("DPDK does not start");
	if (used + 2 != argc || rte_lcore_count() != WORKERS + 1)
		return fail("usage: msh-scaling EAL-ARGUMENTS -- DIRECTORY, with 3 lcores");
	if (open_switch(ALL, argv[used + 1]) != 0)
		return EXIT_FAILURE;
	set_up_guests();
	while (right && fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "%u %15s %u", &workers, where, &ms) != 3 || workers == 0 ||
			workers >= 1 << WORKERS)
			return fail("not a slice: %s", line);
		slice.across = strcmp(where, "across") == 0;
		right = run_slice(workers, ms);
	}
	control.datapath.worker_count = WORKERS;
	close_switch(ALL);

	return right ? EXIT_SUCCESS : fail("packets went astray");
}
