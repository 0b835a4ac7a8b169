/* SPDX-License-Identifier: BSD-3-Clause */

/* A traffic generator on virtio-user ports. It stays attached to all contestants and takes one run
 * a line from stdin, so that they can alternate in short slices; each answer is a line of JSON.
 *
 * usage: msh-generator EAL-ARGUMENTS --
 *
 *   routes=0:1,1:0   from port to port (default 0:1); 0:0 to and from what is not the generator's
 *   to=MAC           in place of that of the port a packet should come to
 *   size=64          bytes with FCS; a list is taken in turn; imix
 *   flows=1          UDP flows, told apart by source address and port
 *   order=seq        of flows, headers or frames; or random
 *   headers=FILE     lines "PROTOCOL SOURCE PORT DESTINATION PORT" in place of flows
 *   pcap=FILE        its frames in place of these, with the MACs of the ports; one or more files
 *   rate=0           packets a second of all routes; 0: as many as the rings take
 *   ms=1000          counted, after
 *   warmup=50        ms that are not
 *   drain=20         nothing comes for so many ms: nothing will
 *   latency=0        1: stamp one packet of 16 */

#include "run.h"

#include <errno.h>
#include <jansson.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 65536
#define POOL_PACKETS 16383
#define RING 1024 /* a device with less takes less */

static struct rte_mempool *pool;

static int
start_port(uint16_t port)
{
	struct rte_eth_conf conf = {0};
	struct rte_eth_dev_info info;
	int rc = rte_eth_dev_info_get(port, &info);
	if (rc == 0)
		rc = rte_eth_dev_configure(port, 1, 1, &conf);
	uint16_t rx = RING, tx = RING;
	if (rc == 0)
		rc = rte_eth_dev_adjust_nb_rx_tx_desc(port, &rx, &tx);
	if (rc == 0)
		rc = rte_eth_rx_queue_setup(port, 0, rx, SOCKET_ID_ANY, NULL, pool);
	if (rc == 0)
		rc = rte_eth_tx_queue_setup(port, 0, tx, SOCKET_ID_ANY, NULL);
	return rc != 0 ? rc : rte_eth_dev_start(port);
}

static int
parse_routes(struct run *run, const char *text)
{
	run->routes = 0;
	for (;;) {
		char *end;
		unsigned long from = strtoul(text, &end, 10);
		if (end == text || *end != ':' || run->routes == ROUTES_MAX)
			return -1;
		text = end + 1;
		unsigned long to = strtoul(text, &end, 10);
		if (end == text || from >= PORTS_MAX || to >= PORTS_MAX ||
			!rte_eth_dev_is_valid_port((uint16_t)from) ||
			!rte_eth_dev_is_valid_port((uint16_t)to))
			return -1;
		struct run_route *r = &run->route[run->routes++];
		*r = (struct run_route){.from = (uint16_t)from, .to = (uint16_t)to};
		rte_eth_macaddr_get(r->from, &r->route.source);
		rte_eth_macaddr_get(r->to, &r->route.destination);
		r->route.source_ip = rte_cpu_to_be_32(RTE_IPV4(10, (uint8_t)from, 0, 1));
		r->route.destination_ip = rte_cpu_to_be_32(RTE_IPV4(10, (uint8_t)to, 0, 1));
		if (*end == '\0')
			return 0;
		if (*end != ',')
			return -1;
		text = end + 1;
	}
}

/* 0, or -1 with a sentence. */
static int
parse_word(struct run *run, char *word, char *error, size_t size)
{
	char *value = strchr(word, '=');
	int rc = -1;
	snprintf(error, size, "what is '%s'?", word);
	if (value == NULL)
		return -1;
	*value++ = '\0';
	if (strcmp(word, "pcap") == 0)
		return traffic_capture(&run->traffic, value, error, size);
	if (strcmp(word, "headers") == 0)
		return traffic_headers(&run->traffic, value, error, size);
	if (strcmp(word, "routes") == 0)
		rc = parse_routes(run, value);
	else if (strcmp(word, "to") == 0)
		rc = rte_ether_unformat_addr(value, &run->route[0].route.destination);
	else if (strcmp(word, "size") == 0)
		rc = traffic_sizes(&run->traffic, value);
	else if (strcmp(word, "order") == 0)
		rc = strcmp(value, "random") == 0 || strcmp(value, "seq") == 0 ? 0 : -1;
	else if (strcmp(word, "flows") == 0)
		rc = (run->traffic.flows = (uint32_t)strtoul(value, NULL, 10)) > 0 ? 0 : -1;
	else if (strcmp(word, "rate") == 0)
		rc = (run->rate = strtod(value, NULL)) >= 0 ? 0 : -1;
	else if (strcmp(word, "ms") == 0)
		rc = (run->ms = (unsigned int)strtoul(value, NULL, 10)) > 0 ? 0 : -1;
	else if (strcmp(word, "warmup") == 0)
		rc = (run->warmup = (unsigned int)strtoul(value, NULL, 10)) < 60000 ? 0 : -1;
	else if (strcmp(word, "drain") == 0)
		rc = (run->drain = (unsigned int)strtoul(value, NULL, 10)) > 0 ? 0 : -1;
	else if (strcmp(word, "latency") == 0)
		rc = (run->latency = strcmp(value, "1") == 0) || strcmp(value, "0") == 0 ? 0 : -1;
	if (strcmp(word, "order") == 0)
		run->traffic.random = strcmp(value, "random") == 0;
	if (rc != 0)
		snprintf(error, size, "%s cannot be '%s'", word, value);
	return rc;
}

static json_t *
latencies(const struct histogram *h, double us)
{
	return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "samples", (json_int_t)h->count, "p50",
		(double)histogram_quantile(h, 0.5) * us, "p90",
		(double)histogram_quantile(h, 0.9) * us, "p99",
		(double)histogram_quantile(h, 0.99) * us, "p99.9",
		(double)histogram_quantile(h, 0.999) * us, "max", (double)h->max * us);
}

static json_t *
report(const struct run *run, const struct result *r)
{
	double us = 1e6 / (double)rte_get_tsc_hz();
	uint64_t got = r->all_received < r->all_sent ? r->all_received : r->all_sent;
	json_t *json = json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "seconds",
		r->seconds, "sent", (json_int_t)r->sent, "received", (json_int_t)r->received,
		"refused", (json_int_t)r->refused, "all_sent", (json_int_t)r->all_sent,
		"all_received", (json_int_t)r->all_received, "lost",
		(json_int_t)(r->all_sent - got), "mpps", (double)r->received / r->seconds / 1e6,
		"gbps", (double)r->bytes * 8 / r->seconds / 1e9);
	json_object_set_new(json, "silence_us", json_real((double)r->silence * us));
	json_object_set_new(json, "gaps",
		json_pack("{s:I, s:f, s:f}", "count", (json_int_t)r->gaps, "part",
			(double)r->gap_cycles * us / 1e6 / r->seconds, "longest_us",
			(double)r->gap_longest * us));
	if (!run->latency)
		return json;
	json_object_set_new(json, "latency_us", latencies(&r->latency, us));
	json_object_set_new(json, "undisturbed_us", latencies(&r->undisturbed, us));
	return json;
}

static json_t *
run_line(char *line)
{
	static struct result result;
	struct run run = {.ms = 1000, .warmup = 50, .drain = 20, .traffic.flows = 1};
	char error[512], *rest;
	json_t *answer = NULL;
	int rc = parse_routes(&run, "0:1");
	traffic_sizes(&run.traffic, "64");
	if (rc != 0)
		snprintf(error, sizeof(error), "two ports are needed");
	for (char *word = strtok_r(line, " \n", &rest); word != NULL && rc == 0;
		word = strtok_r(NULL, " \n", &rest))
		rc = parse_word(&run, word, error, sizeof(error));
	if (rc == 0 && run_traffic(&run, pool, &result) != 0) {
		snprintf(error, sizeof(error), "no packets are left");
		rc = -1;
	}
	answer = rc == 0 ? report(&run, &result) : json_pack("{s:s}", "error", error);
	traffic_free(&run.traffic);
	return answer;
}

int
main(int argc, char **argv)
{
	char line[LINE_BYTES];
	uint16_t port;
	if (rte_eal_init(argc, argv) < 0)
		return EXIT_FAILURE;
	pool = rte_pktmbuf_pool_create(
		"generator", POOL_PACKETS, 256, 0, FRAME_MAX + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
	if (pool == NULL) {
		fprintf(stderr, "msh-generator: no memory for packets: %s\n",
			rte_strerror(rte_errno));
		return EXIT_FAILURE;
	}
	RTE_ETH_FOREACH_DEV (port) {
		int rc = start_port(port);
		if (rc != 0) {
			fprintf(stderr, "msh-generator: port %u does not start: %s\n", port,
				rte_strerror(-rc));
			return EXIT_FAILURE;
		}
	}
	puts("{\"ready\": true}");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		json_t *answer = run_line(line);
		json_dumpf(answer, stdout, JSON_COMPACT);
		putchar('\n');
		fflush(stdout);
		json_decref(answer);
	}
	RTE_ETH_FOREACH_DEV (port)
		rte_eth_dev_stop(port);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
