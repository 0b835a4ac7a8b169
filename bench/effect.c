/* SPDX-License-Identifier: BSD-3-Clause */

/* How long until a command has effect? One process is both a sender at full speed (port 0) and a VM
 * (port 1, with its region): it stores a command that drops the sender's packets, or the one that
 * lets them pass again, and takes the time to the last packet that did not obey, or to the first
 * that did.
 *
 * usage: msh-effect EAL-ARGUMENTS -- REGION MAC SAMPLES
 * The EAL arguments make two virtio_user devices, of which the second has MAC. Prints JSON; times
 * in microseconds. */

#include <inttypes.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libmsh.h"

#define BURST 32
#define FRAME_BYTES 60
#define QUIET_US 3000 /* no packet for so long: none comes any more */
#define PATIENCE_US 500000
#define SOURCE RTE_IPV4(10, 0, 0, 9)

struct bench {
	struct msh_guest *guest;
	struct rte_mempool *pool;
	const char *mac;
	struct rte_ether_addr address;
	uint64_t cookie, sent, received, answered;
};

static int __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	fputs("msh-effect: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	va_end(list);
	exit(EXIT_FAILURE);
}

static void
start_port(uint16_t port, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {0};
	int rc = rte_eth_dev_configure(port, 1, 1, &conf);
	if (rc == 0)
		rc = rte_eth_rx_queue_setup(port, 0, 256, 0, NULL, pool);
	if (rc == 0)
		rc = rte_eth_tx_queue_setup(port, 0, 256, 0, NULL);
	if (rc == 0)
		rc = rte_eth_dev_start(port);
	if (rc != 0)
		fail("port %u does not start: %s", port, rte_strerror(-rc));
}

static void
fill_frame(const struct bench *b, uint8_t *frame)
{
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)frame;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(ether + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	memset(frame, 0, FRAME_BYTES);
	ether->dst_addr = b->address;
	rte_eth_macaddr_get(0, &ether->src_addr);
	ether->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->total_length = RTE_BE16(FRAME_BYTES - sizeof(*ether));
	ip->time_to_live = 64;
	ip->next_proto_id = IPPROTO_UDP;
	ip->src_addr = RTE_BE32(SOURCE);
	ip->dst_addr = RTE_BE32(RTE_IPV4(10, 0, 0, 1));
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	udp->dst_port = RTE_BE16(9);
	udp->dgram_len = RTE_BE16(FRAME_BYTES - sizeof(*ether) - sizeof(*ip));
}

/* Send a burst and take what came. Returns the number of packets received. */
static uint16_t
turn(struct bench *b)
{
	struct rte_mbuf *out[BURST], *in[BURST];
	if (rte_pktmbuf_alloc_bulk(b->pool, out, BURST) == 0) {
		for (unsigned int i = 0; i < BURST; i++)
			fill_frame(b, (uint8_t *)rte_pktmbuf_append(out[i], FRAME_BYTES));
		uint16_t n = rte_eth_tx_burst(0, 0, out, BURST);
		rte_pktmbuf_free_bulk(out + n, BURST - n);
		b->sent += n;
	}
	uint16_t n = rte_eth_rx_burst(1, 0, in, BURST);
	rte_pktmbuf_free_bulk(in, n);
	b->received += n;
	return n;
}

static void
take_answers(struct bench *b)
{
	struct msh_guest_message message;
	struct msh_guest_why why;
	while (msh_guest_receive(b->guest, &message, 0, &why) == 1) {
		if (message.kind != MSH_WIRE_ANSWER)
			continue;
		b->answered++;
		if (message.status != MSH_OK)
			fail("refused: %s", message.text);
	}
}

static uint64_t
microseconds(uint64_t cycles)
{
	return cycles * 1000000 / rte_get_tsc_hz();
}

/* Store the command; returns the time of the store. */
static uint64_t
store(struct bench *b, const char *format)
{
	char text[128];
	struct msh_guest_why why;
	int length = snprintf(text, sizeof(text), format, b->mac);
	uint64_t start = rte_rdtsc();
	if (msh_guest_submit(b->guest, b->cookie++, text, (uint32_t)length, &why) != 0)
		fail("%s", why.text);
	return start;
}

/* Cycles from the store of a drop to the last packet that came through in spite of it. */
static uint64_t
measure_drop(struct bench *b)
{
	uint64_t start = store(b, "A %s I 4 s 10.0.0.9"), last = start;
	while (microseconds(rte_rdtsc() - last) < QUIET_US) {
		if (turn(b) > 0)
			last = rte_rdtsc();
		if (microseconds(last - start) > PATIENCE_US)
			fail("the command has no effect");
	}
	return last - start;
}

/* Cycles from the store of the end of the drop to the first packet that comes through. */
static uint64_t
measure_pass(struct bench *b)
{
	uint64_t start = store(b, "D %s I 4 s");
	while (turn(b) == 0)
		if (microseconds(rte_rdtsc() - start) > PATIENCE_US)
			fail("the command has no effect");
	return rte_rdtsc() - start;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void
print_percentiles(const char *name, double *us, unsigned int n, const char *end)
{
	qsort(us, n, sizeof(*us), compare);
	printf("\"%s\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}%s", name,
		us[n / 2], us[n * 9 / 10], us[n * 99 / 100], us[n - 1], end);
}

int
main(int argc, char **argv)
{
	struct bench b = {0};
	struct msh_guest_why why;
	int skip = rte_eal_init(argc, argv);
	if (skip < 0 || argc - skip != 4)
		fail("usage: msh-effect EAL-ARGUMENTS -- REGION MAC SAMPLES");
	const char *region = argv[skip + 1];
	b.mac = argv[skip + 2];
	unsigned int samples = (unsigned int)strtoul(argv[skip + 3], NULL, 10);
	double *drop = calloc(samples, sizeof(double)), *pass = calloc(samples, sizeof(double));
	b.pool = rte_pktmbuf_pool_create(
		"frames", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (samples == 0 || drop == NULL || pass == NULL || b.pool == NULL ||
		rte_ether_unformat_addr(b.mac, &b.address) != 0)
		fail("no samples, no memory, or no MAC");
	start_port(0, b.pool);
	start_port(1, b.pool);
	if (msh_guest_open(&b.guest, region, &why) != 0 ||
		msh_guest_attach(b.guest, 1000, &why) != 0)
		fail("%s", why.text);
	store(&b, "R F %s 10.0.0.1");
	uint64_t begin = rte_rdtsc(), base = 0;
	for (unsigned int i = 0; i < samples; i++) {
		uint64_t pause =
			rte_rdtsc() + rte_get_tsc_hz() / 1000 * (1 + (unsigned int)rand() % 4);
		while (rte_rdtsc() < pause)
			turn(&b);
		if (i == 0) {
			begin = rte_rdtsc();
			base = b.sent;
		}
		drop[i] = (double)measure_drop(&b) * 1e6 / (double)rte_get_tsc_hz();
		take_answers(&b);
		pass[i] = (double)measure_pass(&b) * 1e6 / (double)rte_get_tsc_hz();
		take_answers(&b);
	}
	double seconds = (double)(rte_rdtsc() - begin) / (double)rte_get_tsc_hz();
	printf("{\"samples\": %u, \"offered_mpps\": %.2f, \"answers\": %" PRIu64 ", ", samples,
		(double)(b.sent - base) / seconds / 1e6, b.answered);
	print_percentiles("drop_us", drop, samples, ", ");
	print_percentiles("pass_us", pass, samples, "}\n");
	msh_guest_close(b.guest);
	for (uint16_t port = 0; port < 2; port++)
		rte_eth_dev_stop(port);
	rte_eal_cleanup();
	return 0;
}
