/* SPDX-License-Identifier: BSD-3-Clause */
#include "traffic.h"

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>
#include <stdlib.h>
#include <string.h>

#define CRC_BYTES 4

int
traffic_sizes(struct traffic *traffic, const char *text)
{
	if (strcmp(text, "imix") == 0)
		text = "64,64,594,64,64,594,64,1518,594,64,64,594";
	traffic->sizes = 0;
	for (char *end; traffic->sizes < SIZES_MAX; text = end + 1) {
		unsigned long bytes = strtoul(text, &end, 10);
		if (end == text || bytes < FRAME_MIN + CRC_BYTES || bytes > FRAME_MAX + CRC_BYTES)
			return -1;
		traffic->size[traffic->sizes++] = (uint16_t)(bytes - CRC_BYTES);
		if (*end == '\0')
			return 0;
		if (*end != ',')
			return -1;
	}
	return -1;
}

void
traffic_free(struct traffic *traffic)
{
	free(traffic->frame);
	free(traffic->capture);
	free(traffic->header);
	memset(traffic, 0, sizeof(*traffic));
}

/* xorshift64 (Marsaglia 2003): no two flows of a run in a row by plan. */
static uint32_t
draw(struct traffic *traffic, uint32_t count)
{
	if (!traffic->random) {
		uint32_t n = traffic->next++;
		if (traffic->next >= count)
			traffic->next = 0;
		return n;
	}
	uint64_t x = traffic->state != 0 ? traffic->state : 0x9e3779b97f4a7c15;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	traffic->state = x;
	return (uint32_t)(((x >> 32) * count) >> 32);
}

static void
from_capture(struct traffic *traffic, const struct route *route, struct rte_mbuf *packet)
{
	const struct frame *frame = &traffic->frame[draw(traffic, traffic->frames)];
	uint8_t *bytes = rte_pktmbuf_mtod(packet, uint8_t *);
	memcpy(bytes, traffic->capture + frame->offset, frame->length);
	memcpy(bytes, &route->destination, sizeof(route->destination));
	memcpy(bytes + sizeof(route->destination), &route->source, sizeof(route->source));
	packet->data_len = frame->length;
	packet->pkt_len = frame->length;
}

static struct header
next_header(struct traffic *traffic, const struct route *route)
{
	if (traffic->headers > 0)
		return traffic->header[draw(traffic, traffic->headers)];
	uint32_t flow = draw(traffic, traffic->flows);
	return (struct header){
		.source = rte_cpu_to_be_32(rte_be_to_cpu_32(route->source_ip) + (flow >> 12)),
		.destination = route->destination_ip,
		.source_port = rte_cpu_to_be_16((uint16_t)(1024 + (flow & 0xfff))),
		.destination_port = RTE_BE16(9),
		.proto = IPPROTO_UDP};
}

/* Behind the IPv4 header; of other protocols only the words that would be ports. */
static void
write_transport(void *at, const struct header *h, uint16_t length)
{
	struct rte_udp_hdr *udp = at;
	struct rte_tcp_hdr *tcp = at;
	if (h->proto == IPPROTO_TCP) {
		*tcp = (struct rte_tcp_hdr){.data_off = 5 << 4, .tcp_flags = RTE_TCP_ACK_FLAG};
		tcp->src_port = h->source_port;
		tcp->dst_port = h->destination_port;
	} else {
		*udp = (struct rte_udp_hdr){.src_port = h->source_port,
			.dst_port = h->destination_port,
			.dgram_len = rte_cpu_to_be_16(length)};
	}
}

/* The headers are written anew for each packet: 42 bytes of UDP, one cache line, as a guest's stack
 * does. */
static void
from_flow(struct traffic *traffic, const struct route *route, struct rte_mbuf *packet)
{
	const struct header h = next_header(traffic, route);
	uint16_t size = traffic->size[traffic->next_size];
	if (++traffic->next_size == traffic->sizes)
		traffic->next_size = 0;
	struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, struct rte_ether_hdr *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(ether + 1);
	ether->dst_addr = route->destination;
	ether->src_addr = route->source;
	ether->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = rte_cpu_to_be_16((uint16_t)(size - sizeof(*ether))),
		.time_to_live = 64,
		.next_proto_id = h.proto,
		.src_addr = h.source,
		.dst_addr = h.destination,
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	write_transport(ip + 1, &h, (uint16_t)(size - sizeof(*ether) - sizeof(*ip)));
	packet->data_len = size;
	packet->pkt_len = size;
}

void
traffic_next(struct traffic *traffic, const struct route *route, struct rte_mbuf *packet)
{
	if (traffic->frames > 0)
		from_capture(traffic, route, packet);
	else
		from_flow(traffic, route, packet);
}
