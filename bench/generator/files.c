/* SPDX-License-Identifier: BSD-3-Clause */

/* Traffic from files: captures and lists of headers. */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "traffic.h"

/* 0 or -1: no memory. */
static int
add_frame(struct traffic *t, const uint8_t *bytes, uint16_t length)
{
	if (t->frames == t->frame_slots) {
		t->frame_slots = t->frame_slots * 2 + 1024;
		struct frame *more = realloc(t->frame, t->frame_slots * sizeof(*more));
		if (more == NULL)
			return -1;
		t->frame = more;
	}
	if (t->captured + length > t->capture_room) {
		t->capture_room = t->capture_room * 2 + (1 << 20);
		uint8_t *more = realloc(t->capture, t->capture_room);
		if (more == NULL)
			return -1;
		t->capture = more;
	}
	memcpy(t->capture + t->captured, bytes, length);
	t->frame[t->frames++] = (struct frame){.offset = t->captured, .length = length};
	t->captured += length;
	return 0;
}

int
traffic_capture(struct traffic *traffic, const char *path, char *error, size_t size)
{
	char why[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_open_offline(path, why);
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	uint32_t before = traffic->frames;
	if (pcap == NULL) {
		snprintf(error, size, "%s", why);
		return -1;
	}
	int rc = pcap_datalink(pcap) == DLT_EN10MB ? 0 : -1;
	while (rc == 0 && pcap_next_ex(pcap, &header, &bytes) == 1)
		if (header->caplen >= sizeof(struct rte_ether_hdr) && header->caplen <= FRAME_MAX)
			rc = add_frame(traffic, bytes, (uint16_t)header->caplen);
	pcap_close(pcap);
	if (rc == 0 && traffic->frames > before)
		return 0;
	snprintf(error, size, "%s has no Ethernet frames, or more than there is memory for", path);
	return -1;
}

/* One line. 0 or -1. */
static int
parse_header(const char *line, struct header *h)
{
	char source[INET_ADDRSTRLEN], destination[INET_ADDRSTRLEN];
	uint16_t port[2];
	if (sscanf(line, "%" SCNu8 " %15s %" SCNu16 " %15s %" SCNu16, &h->proto, source, &port[0],
		    destination, &port[1]) != 5 ||
		inet_pton(AF_INET, source, &h->source) != 1 ||
		inet_pton(AF_INET, destination, &h->destination) != 1)
		return -1;
	h->source_port = htons(port[0]);
	h->destination_port = htons(port[1]);
	return 0;
}

int
traffic_headers(struct traffic *traffic, const char *path, char *error, size_t size)
{
	char line[128];
	uint32_t slots = 0;
	FILE *in = fopen(path, "re");
	if (in == NULL) {
		snprintf(error, size, "%s: %s", path, strerror(errno));
		return -1;
	}
	free(traffic->header);
	traffic->header = NULL;
	traffic->headers = 0;
	*error = '\0';
	while (*error == '\0' && fgets(line, sizeof(line), in) != NULL) {
		if (traffic->headers == slots) {
			slots = slots * 2 + 1024;
			struct header *more = realloc(traffic->header, slots * sizeof(*more));
			if (more == NULL) {
				snprintf(error, size, "%s: no memory", path);
				break;
			}
			traffic->header = more;
		}
		if (parse_header(line, &traffic->header[traffic->headers++]) != 0)
			snprintf(error, size, "%s:%u is no header", path, traffic->headers);
	}
	fclose(in);
	if (*error == '\0' && traffic->headers == 0)
		snprintf(error, size, "%s is empty", path);
	return *error == '\0' ? 0 : -1;
}
