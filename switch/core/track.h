/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What a packet is to its connection: begins it, belongs to it, is related to it, or fits none.
 * The protocols only, as Linux' conntrack judges them; where connections are kept is the caller's
 * business. Data plane.
 *
 * Both directions of a connection may be judged by two workers at once. A side's words are written
 * by the worker of that direction, and `shared` by compare-and-exchange; only a handshake, a
 * connection picked up on its way and a segment that overshoots its window write the other side's.
 * A worker may so see an older word than it would have under a lock. That makes no packet of an
 * honest host invalid: what is INVALID depends on two words, up to where the peer has sent and up
 * to where it permits, and a host can only answer or use what was stored before the packet that
 * says it was sent on. The caller must store before it sends. Else a late word costs no more than
 * one packet that is not taken into account. Two workers that judge one direction at once may lose
 * a packet's numbers likewise, until that direction's next packet. */

#include <stdbool.h>
#include <stdint.h>

#include "packet.h"

enum msh_track_verdict {
	MSH_TRACK_INVALID,     /* fits no connection, or not where this one is */
	MSH_TRACK_NEW,         /* begins one, or goes on with one that nobody has answered */
	MSH_TRACK_ESTABLISHED, /* of one that has been seen in both directions */
	MSH_TRACK_RELATED,     /* an ICMP error about one */
	MSH_TRACK_UNTRACKED,   /* of what has no connections */
	MSH_TRACK_REOPEN,      /* of none any more: forget the state, and begin */
};

/* TCP's states, as nf_conntrack names them; of the others only OVER, and what follows CLOSE. */
enum msh_track_state {
	MSH_TRACK_OVER, /* may be forgotten at once */
	MSH_TRACK_SYN_SENT,
	MSH_TRACK_SYN_RECV,
	MSH_TRACK_OPEN, /* ESTABLISHED */
	MSH_TRACK_FIN_WAIT,
	MSH_TRACK_CLOSE_WAIT,
	MSH_TRACK_LAST_ACK,
	MSH_TRACK_TIME_WAIT,
	MSH_TRACK_CLOSE,
	MSH_TRACK_SYN_SENT2, /* both sides sent a SYN (RFC 9293 3.5, figure 7) */
	MSH_TRACK_STATES,
	MSH_TRACK_OTHER = MSH_TRACK_STATES, /* not TCP */
};

/* Who sent it: the side whose packet began the connection, or the other. */
enum msh_track_direction { MSH_TRACK_ORIGINAL, MSH_TRACK_REPLY };

/* Sequence numbers of one side, as its own packets tell them. */
struct msh_track_side {
	uint32_t end;    /* behind the highest octet sent */
	uint32_t limit;  /* up to where the other side may send */
	uint32_t window; /* largest ever advertised, in octets; 0: this side has not been seen */
	uint32_t ack;    /* highest acknowledgment; 0: none */
};

/* What both sides move, in one word. */
union msh_track_shared {
	uint64_t word;
	struct {
		uint32_t mark; /* TCP: of the last SYN, its end; of a challenge ACK, its
				  acknowledgment. UDP: second from which on it is a stream */
		uint32_t state : 4;
		uint32_t last : 3;          /* kind of TCP segment, of ACKs in a row the first */
		uint32_t last_from : 1;     /* its direction */
		uint32_t answered : 1;      /* both directions were seen */
		uint32_t assured : 1;       /* and the first one again: no mere probe */
		uint32_t liberal : 2;       /* TCP: of each side, no bounds: numbers are guessed */
		uint32_t finished : 1;      /* TCP: a FIN was seen */
		uint32_t simultaneous : 1;  /* TCP: was in SYN_SENT2 */
		uint32_t challenge : 1;     /* TCP: an ACK in LAST_ACK may answer a SYN */
		uint32_t scale : 8;         /* TCP: of each side, 4 bits; 15: no option */
		uint32_t sack : 2;          /* TCP: each side permits SACK */
		uint32_t offered_scale : 4; /* TCP: by the last SYN that was let through */
		uint32_t offered_sack : 1;
	};
};

struct msh_track {
	union msh_track_shared shared;
	struct msh_track_side side[2]; /* by enum msh_track_direction */
};
_Static_assert(sizeof(struct msh_track) == 40, "leaves room for a key in a cache line");

/* Whom a packet is between, as it travels: the other direction has both pairs swapped. Without
 * padding, for hashing. */
struct msh_track_key {
	uint8_t source[16], destination[16]; /* IPv4: the first 4, the others 0 */
	/* Host order. An ICMP query has its identifier and then its type and code, a reply the type
	 * and code of its query and then the identifier. Protocols without ports: 0. */
	uint16_t sport, dport;
	uint8_t ip_version, proto;
	uint16_t zero;
};

/* Seconds without a packet after which a connection may be forgotten. */
struct msh_track_timeouts {
	uint32_t tcp[MSH_TRACK_STATES];
	uint32_t tcp_unacknowledged; /* at most, while data or a first answer is outstanding */
	uint32_t tcp_no_window;      /* at most, while a side has closed its window */
	uint32_t udp, udp_stream;    /* UDP and UDP-Lite */
	uint32_t icmp, icmpv6;
	uint32_t other;
};

/* Those of Linux. */
extern const struct msh_track_timeouts msh_track_timeouts_default;

/* Fill *key with what to look for. Returns NEW: the packet's own connection. RELATED: the packet is
 * an ICMP error (RFC 792, RFC 5508 7; RFC 4443 3), the key that of the packet it quotes, which went
 * to where the quotation says; INVALID if there is none of that key. INVALID: malformed, or has
 * not the headers that it should. UNTRACKED: not IP, a later fragment, multicast listener or
 * neighbor discovery (RFC 2710, RFC 3810, RFC 4861). */
enum msh_track_verdict msh_track_key(const struct msh_packet *p, struct msh_track_key *key);

/* p, whose key is its own and unknown, may begin a connection: NEW, and *t is its first state; or
 * INVALID. loose: also TCP that is on its way already, as nf_conntrack_tcp_loose. now: seconds. */
enum msh_track_verdict msh_track_begin(
	struct msh_track *t, const struct msh_packet *p, bool loose, uint32_t now);

/* Judge p by its connection, and the connection by p: NEW, ESTABLISHED, INVALID (nothing has
 * changed) or REOPEN. */
enum msh_track_verdict msh_track_next(struct msh_track *t, enum msh_track_direction from,
	const struct msh_packet *p, uint32_t now);

/* Seconds that this connection of IP protocol `proto` may stay without a packet. Any thread. */
uint32_t msh_track_timeout(
	const struct msh_track *t, uint8_t proto, const struct msh_track_timeouts *timeouts);

/* Not to be given up for a newer connection while others can be. Any thread. */
static inline bool
msh_track_is_assured(const struct msh_track *t)
{
	union msh_track_shared s = {.word = __atomic_load_n(&t->shared.word, __ATOMIC_RELAXED)};
	return s.assured;
}
