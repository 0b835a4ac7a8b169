/* SPDX-License-Identifier: BSD-3-Clause */

/* What the connection tracker says of each packet, for tests/e2e/test_track.py. From stdin: IP
 * packets, each behind its length (16 bits, network order). To stdout: a line for each. The
 * connections are kept in a list, the plainest table that there is. */

#include <arpa/inet.h>
#include <rte_ether.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "track.h"

#define MAX (65535 + 40)

struct connection {
	struct msh_track_key key;
	struct msh_track track;
	struct connection *next;
};

static struct connection *connections;

/* Where the pointer to it is, or would be. */
static struct connection **
find(const struct msh_track_key *key, enum msh_track_direction *from)
{
	struct msh_track_key back = *key;
	memcpy(back.source, key->destination, sizeof(back.source));
	memcpy(back.destination, key->source, sizeof(back.destination));
	back.sport = key->dport;
	back.dport = key->sport;
	struct connection **c = &connections;
	for (; *c != NULL; c = &(*c)->next) {
		*from = memcmp(&(*c)->key, key, sizeof(*key)) == 0 ? MSH_TRACK_ORIGINAL
								   : MSH_TRACK_REPLY;
		if (*from == MSH_TRACK_ORIGINAL || memcmp(&(*c)->key, &back, sizeof(back)) == 0)
			break;
	}
	return c;
}

static enum msh_track_verdict
begin(const struct msh_packet *p, const struct msh_track_key *key)
{
	struct connection *c = calloc(1, sizeof(*c));
	enum msh_track_verdict verdict = msh_track_begin(&c->track, p, true, 0);
	if (verdict != MSH_TRACK_NEW) {
		free(c);
		return verdict;
	}
	c->key = *key;
	c->next = connections;
	connections = c;
	return verdict;
}

static enum msh_track_verdict
judge(const struct msh_packet *p)
{
	struct msh_track_key key;
	enum msh_track_direction from;
	enum msh_track_verdict verdict = msh_track_key(p, &key);
	if (verdict != MSH_TRACK_NEW && verdict != MSH_TRACK_RELATED)
		return verdict;
	struct connection **at = find(&key, &from), *c = *at;
	if (verdict == MSH_TRACK_RELATED)
		return c == NULL ? MSH_TRACK_INVALID : MSH_TRACK_RELATED;
	if (c == NULL)
		return begin(p, &key);
	verdict = msh_track_next(&c->track, from, p, 0);
	if (verdict != MSH_TRACK_REOPEN)
		return verdict;
	*at = c->next;
	free(c);
	return begin(p, &key);
}

int
main(void)
{
	static const char *const names[] = {
		"invalid", "new", "established", "related", "untracked"};
	static uint8_t frame[RTE_ETHER_HDR_LEN + MAX];
	uint8_t *ip = frame + RTE_ETHER_HDR_LEN;
	uint16_t length;

	while (fread(&length, sizeof(length), 1, stdin) == 1) {
		length = ntohs(length);
		if (fread(ip, 1, length, stdin) != length)
			return 1;
		memcpy(frame + 12, ip[0] >> 4 == 6 ? "\x86\xdd" : "\x08\x00", 2);
		uint32_t total = RTE_ETHER_HDR_LEN + (uint32_t)length;
		struct rte_mbuf m = {.buf_addr = frame,
			.data_len = (uint16_t)RTE_MIN(total, (uint32_t)UINT16_MAX),
			.pkt_len = total,
			.nb_segs = 1};
		struct msh_packet p;
		msh_packet_parse(&p, &m);
		puts(names[judge(&p)]);
	}
	return 0;
}
