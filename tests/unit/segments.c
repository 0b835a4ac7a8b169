/* SPDX-License-Identifier: BSD-3-Clause */
#include "segments.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"

size_t
from_hex(uint8_t *at, const char *hex)
{
	size_t n = 0;
	for (; *hex != '\0'; hex++) {
		unsigned int byte;
		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		at[n++] = (uint8_t)byte;
		hex++;
	}
	return n;
}

struct msh_packet
take_packet(const uint8_t *ip, size_t first, size_t total)
{
	struct rte_mbuf *m = calloc(1, sizeof(*m));
	struct msh_packet p;
	m->buf_addr = malloc(14 + first);
	m->nb_segs = 1;
	m->data_len = (uint16_t)(14 + first);
	m->pkt_len = (uint32_t)(14 + total);
	uint8_t *frame = m->buf_addr;
	memset(frame, 2, 12);
	put16(frame + 12, ip[0] >> 4 == 6 ? 0x86dd : 0x0800);
	memcpy(frame + 14, ip, first);
	msh_packet_parse(&p, m);
	return p;
}

void
drop_packet(struct msh_packet *p)
{
	free(p->mbuf->buf_addr);
	free(p->mbuf);
}

static void
put32(uint8_t *at, uint32_t value)
{
	put16(at, (uint16_t)(value >> 16));
	put16(at + 2, (uint16_t)value);
}

struct msh_packet
take_segment(enum msh_track_direction from, struct segment s)
{
	uint8_t ip[20 + 60] = {0x45, [8] = 64, 6};
	uint8_t *tcp = ip + 20;
	size_t header = 20 + (s.options == NULL ? 0 : from_hex(tcp + 20, s.options));
	header = (header + 3) & ~(size_t)3;
	put16(ip + 2, (uint16_t)(20 + header + s.payload));
	ip[6] = s.more ? 0x20 : 0;
	put32(ip + 12, from == MSH_TRACK_ORIGINAL ? 0x0a000001 : 0x0a000002);
	put32(ip + 16, from == MSH_TRACK_ORIGINAL ? 0x0a000002 : 0x0a000001);
	put16(tcp, from == MSH_TRACK_ORIGINAL ? 1000 : 2000);
	put16(tcp + 2, from == MSH_TRACK_ORIGINAL ? 2000 : 1000);
	put32(tcp + 4, s.seq);
	put32(tcp + 8, s.ack);
	tcp[12] = (uint8_t)(header / 4 << 4);
	tcp[13] = s.flags;
	put16(tcp + 14, s.window);
	return take_packet(ip, 20 + header, 20 + header + s.payload);
}

enum msh_track_verdict
begin(struct msh_track *t, struct segment s)
{
	struct msh_packet p = take_segment(MSH_TRACK_ORIGINAL, s);
	enum msh_track_verdict verdict = msh_track_begin(t, &p, true, 0);
	drop_packet(&p);
	return verdict;
}

enum msh_track_verdict
next(struct msh_track *t, enum msh_track_direction from, struct segment s)
{
	struct msh_packet p = take_segment(from, s);
	struct msh_track before = *t;
	enum msh_track_verdict verdict = msh_track_next(t, from, &p, 0);
	if (verdict == MSH_TRACK_INVALID)
		assert_memory_equal(&before, t, sizeof(before));
	drop_packet(&p);
	return verdict;
}
