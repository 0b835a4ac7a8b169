/* SPDX-License-Identifier: BSD-3-Clause */

/* mshswitch: order of start and stop, nothing else. */

#include <getopt.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>
#include <rte_mbuf_dyn.h>
#include <rte_random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "log.h"
#include "nodes.h"
#include "retire.h"
#include "unfinished.h"

#define SOCKET_DEFAULT "/run/mshswitch.sock"
#define HANDOFF_SIZE 4096
#define NEIGHBORS_SIZE 256
#define FLOWS_DEFAULT 262144
#define CONNECTIONS_DEFAULT 131072
#define ENTRY_BYTES 66 /* of either table, with its tag */
#define TABLE_MIN 1024
#define TABLE_MAX (1 << 28)

static volatile sig_atomic_t stop;
static struct msh_control control; /* large: not on the stack */

struct options {
	const char *config, *socket;
	uint32_t flows, connections; /* 0: as many as memory allows, up to the default */
};

static void
on_signal(int number)
{
	stop = 1;
}

/* One sentence on stderr; the log above may say more. */
static int __attribute__((format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	fputs("mshswitch: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	va_end(list);
	return EXIT_FAILURE;
}

static void
print_help(void)
{
	puts("usage: mshswitch EAL-ARGUMENTS -- [--config FILE] [--socket PATH]\n"
	     "\n"
	     "A vhost-user switch to which VMs hand their decisions. The main lcore controls, all "
	     "others forward:\n"
	     "at least two are needed, as in `-l 0,1`.\n"
	     "\n"
	     "  --config FILE   run this file of commands first; any error ends the start\n"
	     "  --socket PATH   where mshctl finds this switch (default " SOCKET_DEFAULT ")\n"
	     "  --flows N       remember the verdicts of N flows, 1024 to 268435456, at 68 bytes "
	     "each\n"
	     "                  (default 262144, or less where memory is short; rounded up to a\n"
	     "                  power of two)\n"
	     "  --connections N the same for connections of VMs with rules about their state,\n"
	     "                  at 66 bytes each (default 131072, or less)\n"
	     "  --help          this text (`mshswitch --help` or after --)\n"
	     "  --version       the version\n"
	     "\n"
	     "EAL arguments are DPDK's. Often used: -l CORES, --no-huge -m MEGABYTES, "
	     "--in-memory,\n"
	     "--file-prefix NAME (one for each instance), --no-pci, --vdev DEVARGS.\n"
	     "Ready when the socket answers. SIGTERM stops; guests keep running.");
}

static int
parse_size(const char *word, uint32_t *size)
{
	uint64_t value;
	if (msh_parse_number(word, TABLE_MAX, &value) != 0 || value < TABLE_MIN)
		return -EINVAL;
	*size = (uint32_t)value;
	return 0;
}

/* Options after `--`. Returns -1 to go on, else the exit status. */
static int
parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"socket", required_argument, NULL, 's'},
		{"flows", required_argument, NULL, 'f'},
		{"connections", required_argument, NULL, 'n'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{0},
	};
	int option;
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'c':
			options->config = optarg;
			break;
		case 's':
			options->socket = optarg;
			break;
		case 'f':
		case 'n':
			if (parse_size(optarg,
				    option == 'f' ? &options->flows : &options->connections) != 0)
				return fail("--%s '%s' is no number from %u to %u",
					option == 'f' ? "flows" : "connections", optarg, TABLE_MIN,
					TABLE_MAX);
			break;
		case 'h':
			print_help();
			return EXIT_SUCCESS;
		case 'V':
			puts("mshswitch " MSH_VERSION);
			return EXIT_SUCCESS;
		default:
			return fail("see mshswitch --help");
		}
	}
	return optind < argc ? fail("'%s' is not an option: see mshswitch --help", argv[optind])
			     : -1;
}

/* To or from the worker; `other`: the one at the other end. */
static struct rte_ring *
make_ring(const struct msh_worker *w, const char *what, unsigned int other, unsigned int element,
	unsigned int count)
{
	char name[RTE_RING_NAMESIZE];
	snprintf(name, sizeof(name), "%s%u_%u", what, other, w->index);
	return rte_ring_create_elem(
		name, element, count, w->pool->socket_id, RING_F_SP_ENQ | RING_F_SC_DEQ);
}

/* All on its node. */
static int
make_worker(struct msh_datapath *dp, struct msh_worker *w, const struct msh_hash_key *secret)
{
	const int node = w->pool->socket_id;
	w->counters = rte_zmalloc_socket(
		"counters", MSH_PORTS_MAX * sizeof(*w->counters), RTE_CACHE_LINE_SIZE, node);
	w->txq = rte_zmalloc_socket(
		"txq", MSH_PORTS_MAX * sizeof(*w->txq), RTE_CACHE_LINE_SIZE, node);
	w->storm = rte_zmalloc_socket("storm", MSH_PORTS_MAX * sizeof(*w->storm), 0, node);
	w->rejects = rte_zmalloc_socket("rejects", MSH_PORTS_MAX * sizeof(*w->rejects), 0, node);
	w->poller = rte_zmalloc_socket("poller", sizeof(*w->poller), RTE_CACHE_LINE_SIZE, node);
	w->back = msh_back_create(secret, node);
	w->inject = make_ring(w, "inject", 0, sizeof(void *), HANDOFF_SIZE);
	w->neighbors =
		make_ring(w, "neighbors", 0, sizeof(struct msh_neighbor_seen), NEIGHBORS_SIZE);
	for (unsigned int from = 0; from < dp->worker_count; from++) {
		w->handoff[from] = make_ring(w, "handoff", from, sizeof(void *), HANDOFF_SIZE);
		if (w->handoff[from] == NULL)
			return -ENOMEM;
	}
	bool whole = w->counters != NULL && w->txq != NULL && w->back != NULL &&
		     w->inject != NULL && w->neighbors != NULL && w->storm != NULL &&
		     w->rejects != NULL && w->poller != NULL;
	return whole ? 0 : -ENOMEM;
}

/* A bit of mbufs that no driver uses meanwhile. */
static int
reserve_flag(void)
{
	const struct rte_mbuf_dynflag flag = {.name = "mshswitch_raw_header"};
	return rte_mbuf_dynflag_register_bitnum(&flag, MSH_RAW_HEADER_BIT) < 0
		       ? fail("bit %d of mbufs is taken: %s", MSH_RAW_HEADER_BIT,
				 rte_strerror(rte_errno))
		       : 0;
}

/* How many entries of this size a table is to have: as asked, or as many up to `most` as leave as
 * much memory free. */
static uint32_t
table_size(uint32_t asked, uint32_t most, size_t entry)
{
	void *room = NULL;
	uint32_t n = most * 2;
	while (asked == 0 && room == NULL && (n /= 2) > TABLE_MIN)
		room = rte_malloc(NULL, 2 * n * entry, 0);
	rte_free(room);
	return asked != 0 ? asked : n;
}

static int
make_datapath(struct msh_datapath *dp, const struct options *options)
{
	const struct msh_hash_key secret = {rte_rand(), rte_rand()};
	unsigned int lcore;
	dp->worker_count = rte_lcore_count() - 1;
	if (dp->worker_count == 0 || dp->worker_count > MSH_WORKERS_MAX)
		return fail(
			"%u lcores: one controls and 1 to %d forward; give EAL -l with 2 or more",
			rte_lcore_count(), MSH_WORKERS_MAX);
	int rc = reserve_flag();
	if (rc != 0)
		return rc;
	dp->hz = rte_get_tsc_hz();
	unsigned int i = 0;
	RTE_LCORE_FOREACH_WORKER (lcore) {
		struct msh_worker *w = &dp->worker[i];
		w->datapath = dp;
		w->index = (uint16_t)i++;
		w->lcore = lcore;
		if (msh_node_join(dp, w) != 0)
			return fail("not enough memory for 4096 packets: give EAL more, as -m 256");
	}
	dp->fdb = msh_fdb_create();
	dp->flows = msh_flow_create(table_size(options->flows, FLOWS_DEFAULT, ENTRY_BYTES));
	dp->connections =
		msh_conn_create(table_size(options->connections, CONNECTIONS_DEFAULT, ENTRY_BYTES));
	if (dp->fdb == NULL || dp->flows == NULL || dp->connections == NULL ||
		msh_tally_init(dp->worker_count) != 0 || msh_retire_init() != 0)
		return fail("not enough memory for the tables: give EAL more, as -m 256");
	for (i = 0; i < dp->worker_count; i++)
		if (make_worker(dp, &dp->worker[i], &secret) != 0)
			return fail("not enough memory for worker %u: give EAL more, as -m 256", i);
	return msh_publish_topology(&control) == 0 ? 0 : fail("not enough memory");
}

static void
start_workers(struct msh_datapath *dp)
{
	for (unsigned int i = 0; i < dp->worker_count; i++)
		rte_eal_remote_launch(msh_worker_run, &dp->worker[i], dp->worker[i].lcore);
}

static int
run(const struct options *options)
{
	char error[512];
	control.started_ns = msh_now_ns();
	int rc = make_datapath(&control.datapath, options);
	if (rc != 0)
		return rc;
	start_workers(&control.datapath);
	/* The boot file first: the socket answers when the switch is as configured. */
	if (options->config != NULL &&
		msh_script_run(&control, options->config, error, sizeof(error)) != 0)
		rc = fail("%s", error);
	else if (msh_socket_open(&control, options->socket, error, sizeof(error)) != 0)
		rc = fail("%s", error);
	else {
		const struct msh_datapath *dp = &control.datapath;
		MSH_LOG(INFO,
			"ready: %u worker%s, %u packet buffers, room for %u flows and %u "
			"connections, socket %s",
			dp->worker_count, dp->worker_count == 1 ? "" : "s", dp->buffers,
			msh_flow_room(dp->flows), msh_conn_room(dp->connections), options->socket);
		msh_control_run(&control, &stop);
	}

	msh_socket_close(&control);
	__atomic_store_n(&control.datapath.stop, true, __ATOMIC_RELAXED);
	rte_eal_mp_wait_lcore();
	msh_retire_drain();
	msh_ports_close(&control);
	msh_vms_close(&control);
	msh_publish_end(&control);
	return rc;
}

int
main(int argc, char **argv)
{
	struct options options = {.socket = SOCKET_DEFAULT};
	int eal = argc;
	for (int i = 1; i < argc && eal == argc; i++)
		if (strcmp(argv[i], "--") == 0)
			eal = i;
	bool ours =
		argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "--version") == 0);
	if (ours)
		eal = 0;
	int rc = eal < argc ? parse_options(argc - eal, argv + eal, &options) : -1;
	if (rc >= 0)
		return rc;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	argv[eal] = NULL;
	if (rte_eal_init(eal, argv) < 0)
		return fail("DPDK does not start: %s; the lines above say more",
			rte_strerror(rte_errno));
	/* Each message of each guest, at librte_vhost's default: too much for whoever reads our
	 * log. */
	if (rte_log_get_level(rte_log_register("lib.vhost.config")) == RTE_LOG_INFO)
		rte_log_set_level_pattern("lib.vhost.config", RTE_LOG_WARNING);
	rc = run(&options);
	rte_eal_cleanup();
	return rc;
}
