/* SPDX-License-Identifier: BSD-3-Clause */
#include "workload.h"

#include <netinet/in.h>
#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stdio.h>
#include <string.h>

#define IP(g) RTE_IPV4(10, 0, 0, (g) + 1)
#define CLIENTS RTE_IPV4(10, 2, 0, 0)
#define BLOCKED RTE_IPV4(10, 1, 0, 0)
#define DISCARD 9 /* UDP port */
#define BLOCKED_PORT 7000

static struct rte_ether_addr
mac_of(unsigned int guest, unsigned int host)
{
	return (struct rte_ether_addr){
		{2, 0, 0, (uint8_t)(host >> 8), (uint8_t)host, (uint8_t)(guest + 1)}};
}

static struct rte_ipv4_hdr *
write_udp(const struct workload *w, uint8_t *frame, struct rte_ether_addr from,
	struct rte_ether_addr to, uint32_t source, uint32_t destination, uint16_t source_port,
	uint16_t destination_port)
{
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)frame;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(ether + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	uint16_t length = (uint16_t)(w->size - RTE_ETHER_CRC_LEN - sizeof(*ether));
	*ether = (struct rte_ether_hdr){to, from, RTE_BE16(RTE_ETHER_TYPE_IPV4)};
	*ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = rte_cpu_to_be_16(length),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_UDP,
		.src_addr = rte_cpu_to_be_32(source),
		.dst_addr = rte_cpu_to_be_32(destination)};
	*udp = (struct rte_udp_hdr){.src_port = rte_cpu_to_be_16(source_port),
		.dst_port = rte_cpu_to_be_16(destination_port),
		.dgram_len = rte_cpu_to_be_16((uint16_t)(length - sizeof(*ip)))};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	return ip;
}

/* From hosts of guest 0 to hosts of guest 1; the pairs change. */
static void
write_forward(const struct workload *w, unsigned int sender, uint64_t n, uint8_t *frame)
{
	uint64_t flow = n % w->flows;
	write_udp(w, frame, mac_of(0, n % w->hosts), mac_of(1, (n * 7 + n / w->hosts) % w->hosts),
		CLIENTS + (uint32_t)flow, IP(1), (uint16_t)(1024 + flow), DISCARD);
}

static void
write_broadcast(const struct workload *w, unsigned int sender, uint64_t n, uint8_t *frame)
{
	write_forward(w, sender, n, frame);
	memset(frame, 0xff, RTE_ETHER_ADDR_LEN);
}

/* Each packet meets another filter. */
static void
write_blocked(const struct workload *w, unsigned int sender, uint64_t n, uint8_t *frame)
{
	uint32_t filter = (uint32_t)(n % w->filters);
	bool by_port = filter % 4 == 3;
	write_udp(w, frame, mac_of(0, 0), mac_of(1, 0), by_port ? CLIENTS : BLOCKED + filter, IP(1),
		1024, (uint16_t)(by_port ? BLOCKED_PORT + filter : DISCARD));
}

/* Guest 0: clients of guest 1, a load balancer. Guest 2: its backend's answers. */
static void
write_balanced(const struct workload *w, unsigned int sender, uint64_t n, uint8_t *frame)
{
	uint64_t flow = n % w->flows;
	uint32_t client = CLIENTS + (uint32_t)flow;
	uint16_t port = (uint16_t)(1024 + flow);
	if (sender == 0)
		write_udp(w, frame, mac_of(0, 0), mac_of(1, 0), client, IP(1), port, DISCARD);
	else
		write_udp(w, frame, mac_of(2, 0), mac_of(0, 0), IP(2), client, DISCARD, port);
}

void
workload_frame(unsigned int from, unsigned int to, uint8_t *frame)
{
	const struct workload shortest = {.size = FRAME_BYTES + RTE_ETHER_CRC_LEN};
	memset(frame, 0, FRAME_BYTES);
	write_udp(
		&shortest, frame, mac_of(from, 0), mac_of(to, 0), IP(from), IP(to), 1024, DISCARD);
}

void
workload_filter(unsigned int n, char *line, uint64_t size)
{
	const char *mac = "02:00:00:00:00:02";
	unsigned int source = n & 0xff;
	if (n % 4 == 3)
		snprintf(line, size, "A %s T 3 d %u p udp", mac, BLOCKED_PORT + n);
	else if (n % 4 == 2)
		snprintf(line, size, "A %s I 7 s 10.1.0.%u d 10.0.0.2 p udp", mac, source);
	else
		snprintf(line, size, "A %s I 4 s 10.1.0.%u", mac, source);
}

void
workload_announce(unsigned int guest, unsigned int host, uint8_t *frame)
{
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)frame;
	struct rte_arp_hdr *arp = (struct rte_arp_hdr *)(ether + 1);
	memset(frame, 0, FRAME_BYTES);
	memset(&ether->dst_addr, 0xff, sizeof(ether->dst_addr));
	ether->src_addr = mac_of(guest, host);
	ether->ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP);
	*arp = (struct rte_arp_hdr){.arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER),
		.arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4),
		.arp_hlen = sizeof(struct rte_ether_addr),
		.arp_plen = sizeof(rte_be32_t),
		.arp_opcode = RTE_BE16(RTE_ARP_OP_REPLY),
		.arp_data = {.arp_sha = ether->src_addr,
			.arp_sip = rte_cpu_to_be_32(IP(guest)),
			.arp_tha = ether->src_addr,
			.arp_tip = rte_cpu_to_be_32(IP(guest))}};
}

#define VM "vm add vm port b mac 02:00:00:00:00:02\n"

const struct workload workloads[] = {
	{"64 B", .size = 64, .hosts = 1, .flows = 1, .senders = 1, .expect = {0, 1, 0},
		.write = write_forward},
	{"1518 B", .size = 1518, .hosts = 1, .flows = 1, .senders = 1, .expect = {0, 1, 0},
		.write = write_forward},
	{"1518 B, checksum left to the receiver", .size = 1518, .hosts = 1, .flows = 1,
		.leaves_sum = true, .takes_sum = true, .senders = 1, .expect = {0, 1, 0},
		.write = write_forward},
	{"1518 B, checksum left to the switch", .size = 1518, .hosts = 1, .flows = 1,
		.leaves_sum = true, .senders = 1, .expect = {0, 1, 0}, .write = write_forward},
	{"64 B, 2 x 1024 MACs", .size = 64, .hosts = 1024, .flows = 4096, .senders = 1,
		.expect = {0, 1, 0}, .write = write_forward},
	{"64 B, broadcast to 2", .size = 64, .hosts = 1, .flows = 1, .senders = 1,
		.expect = {0, 1, 1}, .write = write_broadcast},
	{"64 B, 100 filters, none matches", .size = 64, .hosts = 1, .flows = 1024, .senders = 1,
		.commands = VM "R F 02:00:00:00:00:02 10.0.0.2\n", .filters = 100,
		.expect = {0, 1, 0}, .write = write_forward},
	{"64 B, 100 filters, each matches", .size = 64, .hosts = 1, .flows = 1, .senders = 1,
		.commands = VM "R F 02:00:00:00:00:02 10.0.0.2\n", .filters = 100,
		.expect = {0, 0, 0}, .write = write_blocked},
	{"64 B, redirect, both ways", .size = 64, .hosts = 1, .flows = 1024, .senders = 1 | 4,
		.commands = VM "R L 02:00:00:00:00:02 10.0.0.2 0 0.0.0.0 10.0.0.3\n",
		.expect = {1, 0, 1}, .write = write_balanced},
};
const unsigned int workload_count = RTE_DIM(workloads);
