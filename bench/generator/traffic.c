/* SPDX-License-Identifier: BSD-3-Clause */
#include "traffic.h"

#include <pcap.h>
#include <rte_ip.h>
#include <rte_udp.h>
#include <stdio.h>
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

int
traffic_capture(struct traffic *traffic, const char *path, char *error, size_t size)
{
	char why[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_open_offline(path, why);
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	size_t used = 0, room = 0;
	uint32_t slots = 0;
	if (pcap == NULL) {
		snprintf(error, size, "%s", why);
		return -1;
	}
	while (pcap_next_ex(pcap, &header, &bytes) == 1) {
		if (header->caplen < sizeof(struct rte_ether_hdr) || header->caplen > FRAME_MAX)
			continue;
		if (traffic->frames == slots) {
			slots = slots * 2 + 1024;
			traffic->frame = realloc(traffic->frame, slots * sizeof(*traffic->frame));
		}
		if (used + header->caplen > room) {
			room = room * 2 + (1 << 20);
			traffic->capture = realloc(traffic->capture, room);
		}
		if (traffic->frame == NULL || traffic->capture == NULL) {
			pcap_close(pcap);
			snprintf(error, size, "%s: no memory", path);
			return -1;
		}
		memcpy(traffic->capture + used, bytes, header->caplen);
		traffic->frame[traffic->frames].bytes = (const uint8_t *)used; /* an offset yet */
		traffic->frame[traffic->frames++].length = (uint16_t)header->caplen;
		used += header->caplen;
	}
	pcap_close(pcap);
	for (uint32_t i = 0; i < traffic->frames; i++)
		traffic->frame[i].bytes = traffic->capture + (size_t)traffic->frame[i].bytes;
	if (traffic->frames == 0)
		snprintf(error, size, "%s has no Ethernet frames", path);
	return traffic->frames > 0 ? 0 : -1;
}

void
traffic_free(struct traffic *traffic)
{
	free(traffic->frame);
	free(traffic->capture);
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
	memcpy(bytes, frame->bytes, frame->length);
	memcpy(bytes, &route->destination, sizeof(route->destination));
	memcpy(bytes + sizeof(route->destination), &route->source, sizeof(route->source));
	packet->data_len = frame->length;
	packet->pkt_len = frame->length;
}

/* The headers are written anew for each packet: 42 bytes, one cache line, as a guest's stack does.
 * The IPv4 checksum is that of a route and size, and the source's part is added. */
static void
from_flow(struct traffic *traffic, const struct route *route, struct rte_mbuf *packet)
{
	uint32_t flow = draw(traffic, traffic->flows);
	uint16_t size = traffic->size[traffic->next_size];
	if (++traffic->next_size == traffic->sizes)
		traffic->next_size = 0;
	struct rte_ether_hdr *ether = rte_pktmbuf_mtod(packet, struct rte_ether_hdr *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(ether + 1);
	struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(ip + 1);
	ether->dst_addr = route->destination;
	ether->src_addr = route->source;
	ether->ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	*ip = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		.total_length = rte_cpu_to_be_16((uint16_t)(size - sizeof(*ether))),
		.time_to_live = 64,
		.next_proto_id = IPPROTO_UDP,
		.src_addr = rte_cpu_to_be_32(rte_be_to_cpu_32(route->source_ip) + (flow >> 12)),
		.dst_addr = route->destination_ip,
	};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	*udp = (struct rte_udp_hdr){
		.src_port = rte_cpu_to_be_16((uint16_t)(1024 + (flow & 0xfff))),
		.dst_port = RTE_BE16(9),
		.dgram_len = rte_cpu_to_be_16((uint16_t)(size - sizeof(*ether) - sizeof(*ip))),
	};
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
