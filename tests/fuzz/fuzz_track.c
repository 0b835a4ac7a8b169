/* SPDX-License-Identifier: BSD-3-Clause */

/* Packets of hostile guests through the connection tracker: keys, quoted packets, TCP options, and
 * one connection that all of them belong to. Input: for each packet a byte with its direction and
 * how far the clock goes on, one with the length of its IP packet, and that. */

#include <rte_ether.h>
#include <stdlib.h>
#include <string.h>

#include "track.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct msh_track track;
static bool begun;
static uint16_t kind; /* IP version and protocol: a key has them, so a connection has one */

static void
judge(const struct msh_packet *p, enum msh_track_direction from, uint32_t now)
{
	struct msh_track_key key;
	struct msh_track before = track;
	if (msh_track_key(p, &key) != MSH_TRACK_NEW)
		return;
	uint16_t its_kind = (uint16_t)(key.ip_version << 8 | key.proto);
	if (begun && its_kind != kind)
		return;
	kind = its_kind;
	enum msh_track_verdict verdict = begun ? msh_track_next(&track, from, p, now)
					       : msh_track_begin(&track, p, true, now);
	if (verdict == MSH_TRACK_REOPEN)
		verdict = msh_track_begin(&track, p, true, now);
	else if (verdict == MSH_TRACK_INVALID && memcmp(&track, &before, sizeof(track)) != 0)
		abort();
	begun |= verdict == MSH_TRACK_NEW;
	if (begun && msh_track_timeout(&track, p->proto, &msh_track_timeouts_default) > 432000)
		abort();
}

static void
take(const uint8_t *ip, uint16_t length, enum msh_track_direction from, uint32_t now)
{
	uint16_t size = RTE_ETHER_HDR_LEN + length;
	uint8_t *room = malloc(size); /* the sanitizer watches its end */
	struct rte_mbuf m = {
		.buf_addr = room, .buf_len = size, .data_len = size, .pkt_len = size, .nb_segs = 1};
	struct msh_packet p;
	memset(room, 2, 12);
	memcpy(room + 12, length > 0 && ip[0] >> 4 == 6 ? "\x86\xdd" : "\x08\x00", 2);
	memcpy(room + RTE_ETHER_HDR_LEN, ip, length);
	msh_packet_parse(&p, &m);
	judge(&p, from, now);
	free(room);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t now = 0;
	memset(&track, 0, sizeof(track));
	begun = false;
	while (size >= 2) {
		uint8_t length = (uint8_t)RTE_MIN((size_t)data[1], size - 2);
		now += data[0] >> 1;
		take(data + 2, length, data[0] & 1, now);
		data += 2 + length;
		size -= 2u + length;
	}
	return 0;
}
