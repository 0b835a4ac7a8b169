/* SPDX-License-Identifier: BSD-3-Clause */
#include "track.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <rte_branch_prediction.h>
#include <string.h>

#include "track_tcp.h"

#define UDP_HEADER 8
#define ICMP_HEADER 8
#define MLD2_LISTENER_REPORT 143
#define STREAM_AFTER 2 /* seconds from the first packet on which UDP may be a stream */

const struct msh_track_timeouts msh_track_timeouts_default = {
	.tcp =
		{
			[MSH_TRACK_SYN_SENT] = 120,
			[MSH_TRACK_SYN_RECV] = 60,
			[MSH_TRACK_OPEN] = 5 * 24 * 3600,
			[MSH_TRACK_FIN_WAIT] = 120,
			[MSH_TRACK_CLOSE_WAIT] = 60,
			[MSH_TRACK_LAST_ACK] = 30,
			[MSH_TRACK_TIME_WAIT] = 120,
			[MSH_TRACK_CLOSE] = 10,
			[MSH_TRACK_SYN_SENT2] = 120,
		},
	.tcp_unacknowledged = 300,
	.tcp_no_window = 300,
	.udp = 30,
	.udp_stream = 120,
	.icmp = 30,
	.icmpv6 = 30,
	.other = 600,
};

/* Bytes of the datagram that can be read, from its transport header on; 0: that is absent. */
static uint32_t
held(const struct msh_packet *p)
{
	uint32_t end = RTE_MIN(msh_packet_end(p), (uint32_t)rte_pktmbuf_data_len(p->mbuf));
	return p->l4 == 0 ? 0 : end - p->l4;
}

static inline const uint8_t *
transport(const struct msh_packet *p)
{
	return rte_pktmbuf_mtod_offset(p->mbuf, const uint8_t *, p->l4);
}

/* ---- ICMP ---- */

static inline bool
is_icmp(const struct msh_packet *p)
{
	return p->proto == (p->ip_version == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* The type of the query that a message of this type is, or answers (RFC 792, RFC 950 I; RFC 4443 4,
 * RFC 4620 4); -1: neither. */
static int
query_type(uint8_t ip_version, uint8_t type)
{
	static const uint8_t pairs[][3] = {{4, ICMP_ECHO, ICMP_ECHOREPLY},
		{4, ICMP_TIMESTAMP, ICMP_TIMESTAMPREPLY}, {4, ICMP_INFO_REQUEST, ICMP_INFO_REPLY},
		{4, ICMP_ADDRESS, ICMP_ADDRESSREPLY}, {6, ICMP6_ECHO_REQUEST, ICMP6_ECHO_REPLY},
		{6, 139, 140}};
	for (unsigned int i = 0; i < RTE_DIM(pairs); i++)
		if (pairs[i][0] == ip_version && (pairs[i][1] == type || pairs[i][2] == type))
			return pairs[i][1];
	return -1;
}

static bool
is_query(const struct msh_packet *p)
{
	return held(p) >= ICMP_HEADER && query_type(p->ip_version, *transport(p)) == *transport(p);
}

static bool
is_discovery(uint8_t ip_version, uint8_t type)
{
	return ip_version == 6 && ((type >= MLD_LISTENER_QUERY && type <= ND_REDIRECT) ||
					  type == MLD2_LISTENER_REPORT);
}

/* ---- keys ---- */

static void
fill_addresses(const struct msh_packet *p, struct msh_track_key *key)
{
	*key = (struct msh_track_key){.ip_version = p->ip_version, .proto = p->proto};
	if (p->ip_version == 4) {
		memcpy(key->source, &msh_packet_ipv4(p)->src_addr, 4);
		memcpy(key->destination, &msh_packet_ipv4(p)->dst_addr, 4);
	} else {
		memcpy(key->source, &msh_packet_ipv6(p)->src_addr, 16);
		memcpy(key->destination, &msh_packet_ipv6(p)->dst_addr, 16);
	}
}

static enum msh_track_verdict
icmp_key(const struct msh_packet *p, struct msh_track_key *key)
{
	const uint8_t *at = transport(p);
	int query = held(p) < ICMP_HEADER ? -1 : query_type(p->ip_version, at[0]);
	if (query < 0)
		return MSH_TRACK_INVALID;
	uint16_t what = (uint16_t)(query << 8 | at[1]);
	uint16_t identifier = (uint16_t)(at[4] << 8 | at[5]);
	key->sport = at[0] == query ? identifier : what;
	key->dport = at[0] == query ? what : identifier;
	return MSH_TRACK_NEW;
}

/* Of a packet that is no ICMP error. */
static enum msh_track_verdict
own_key(const struct msh_packet *p, struct msh_track_key *key)
{
	fill_addresses(p, key);
	if (is_icmp(p))
		return icmp_key(p, key);
	key->sport = p->sport;
	key->dport = p->dport;
	return p->has_ports || !msh_packet_carries_ports(p->proto) ? MSH_TRACK_NEW
								   : MSH_TRACK_INVALID;
}

static enum msh_track_verdict
quoted_key(const struct msh_packet *p, struct msh_track_key *key)
{
	struct msh_packet quoted;
	struct msh_track_key outer;
	msh_packet_parse_quoted(&quoted, p, p->l4 + (uint32_t)ICMP_HEADER);
	if (quoted.ip_version == 0 || quoted.l4 == 0 || own_key(&quoted, key) != MSH_TRACK_NEW)
		return MSH_TRACK_INVALID;
	fill_addresses(p, &outer);
	return memcmp(outer.destination, key->source, sizeof(key->source)) == 0 ? MSH_TRACK_RELATED
										: MSH_TRACK_INVALID;
}

enum msh_track_verdict
msh_track_key(const struct msh_packet *p, struct msh_track_key *key)
{
	if (p->ip_version == 0 || (p->fragment && p->l4 == 0))
		return MSH_TRACK_UNTRACKED;
	if (is_icmp(p) && held(p) >= ICMP_HEADER) {
		uint8_t type = *transport(p);
		if (msh_packet_is_error(p, type))
			return quoted_key(p, key);
		if (is_discovery(p->ip_version, type))
			return MSH_TRACK_UNTRACKED;
	}
	return own_key(p, key);
}

/* ---- connections ---- */

static inline bool
is_udp(uint8_t proto)
{
	return proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE;
}

/* RFC 768: the length counts the header, and is within the datagram. */
static bool
is_whole_udp(const struct msh_packet *p)
{
	if (held(p) < UDP_HEADER)
		return false;
	uint32_t length = (uint32_t)(transport(p)[4] << 8 | transport(p)[5]);
	return length >= UDP_HEADER && (p->fragment || length <= msh_packet_end(p) - p->l4);
}

enum msh_track_verdict
msh_track_begin(struct msh_track *t, const struct msh_packet *p, bool loose, uint32_t now)
{
	if (likely(p->proto == IPPROTO_TCP))
		return msh_tcp_begin(t, p, loose);
	if ((is_icmp(p) && !is_query(p)) || (p->proto == IPPROTO_UDP && !is_whole_udp(p)))
		return MSH_TRACK_INVALID;
	*t = (struct msh_track){.shared = {.state = MSH_TRACK_OTHER, .mark = now + STREAM_AFTER}};
	return MSH_TRACK_NEW;
}

/* Two bits that are only ever set, each by one of the directions' workers at a time and `assured`
 * not before `answered`: whichever is stored last has both. */
static enum msh_track_verdict
next_other(struct msh_track *t, enum msh_track_direction from, const struct msh_packet *p,
	uint32_t now)
{
	union msh_track_shared is,
		was = {.word = __atomic_load_n(&t->shared.word, __ATOMIC_RELAXED)};
	if ((is_icmp(p) && is_query(p) != (from == MSH_TRACK_ORIGINAL)) ||
		(p->proto == IPPROTO_UDP && !is_whole_udp(p)))
		return MSH_TRACK_INVALID;
	is = was;
	if (was.answered && is_udp(p->proto) && (int32_t)(now - was.mark) > 0)
		is.assured = 1;
	if (from == MSH_TRACK_REPLY)
		is.answered = 1;
	if (is.word != was.word)
		__atomic_store_n(&t->shared.word, is.word, __ATOMIC_RELAXED);
	return is.answered ? MSH_TRACK_ESTABLISHED : MSH_TRACK_NEW;
}

enum msh_track_verdict
msh_track_next(struct msh_track *t, enum msh_track_direction from, const struct msh_packet *p,
	uint32_t now)
{
	return likely(p->proto == IPPROTO_TCP) ? msh_tcp_next(t, from, p)
					       : next_other(t, from, p, now);
}

uint32_t
msh_track_timeout(
	const struct msh_track *t, uint8_t proto, const struct msh_track_timeouts *timeouts)
{
	union msh_track_shared s = {.word = __atomic_load_n(&t->shared.word, __ATOMIC_RELAXED)};
	if (proto == IPPROTO_TCP)
		return msh_tcp_timeout(t, &s, timeouts);
	if (is_udp(proto))
		return s.assured ? timeouts->udp_stream : timeouts->udp;
	if (proto == IPPROTO_ICMP)
		return timeouts->icmp;
	return proto == IPPROTO_ICMPV6 ? timeouts->icmpv6 : timeouts->other;
}
