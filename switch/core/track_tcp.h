/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The TCP part of track.h. */

#include "track.h"

/* By what a segment is for; the first flag of RST, SYN, FIN, ACK that is set. CHALLENGE: an ACK
 * that answers a SYN. */
enum msh_tcp_kind {
	MSH_TCP_SYN,
	MSH_TCP_SYN_ACK,
	MSH_TCP_FIN,
	MSH_TCP_ACK,
	MSH_TCP_RST,
	MSH_TCP_CHALLENGE
};

#define MSH_TCP_SCALE_NONE 15
#define MSH_TCP_SCALE_MAX 14 /* RFC 7323 2.3 */

/* A segment's header (RFC 9293 3.1), in host order. */
struct msh_tcp_segment {
	uint32_t seq, ack;
	uint32_t end;  /* sequence number behind it, SYN and FIN counted */
	uint32_t sack; /* highest that is acknowledged by ack or by a SACK block (RFC 2018 3) */
	uint16_t window;
	enum msh_tcp_kind kind;
	bool has_ack;
	uint8_t scale;       /* RFC 7323 2.2, at most 14; 15: no option */
	bool sack_permitted; /* RFC 2018 2 */
	bool fragment;       /* there is more of it */
};

/* False when the header is cut short, malformed, or has flags that do not go together. */
bool msh_tcp_segment_read(struct msh_tcp_segment *g, const struct msh_packet *p);

/* ---- windows: track_window.c ---- */

#define MSH_TRACK_LOAD(word) __atomic_load_n(&(word), __ATOMIC_RELAXED)
#define MSH_TRACK_STORE(word, value) __atomic_store_n(&(word), (value), __ATOMIC_RELAXED)

static inline bool
msh_seq_after(uint32_t a, uint32_t b)
{
	return (int32_t)(b - a) < 0;
}

static inline void
msh_tcp_set_options(
	union msh_track_shared *s, unsigned int side, unsigned int scale, unsigned int sack)
{
	s->scale = (s->scale & ~(15u << (4 * side))) | scale << (4 * side);
	s->sack = (s->sack & ~(1u << side)) | sack << side;
}

/* What becomes of a segment. Those that are not counted are let through: to what is known they are
 * late or out of place, but the hosts may know better. */
enum msh_tcp_outcome { MSH_TCP_ACCEPTED, MSH_TCP_NOT_COUNTED, MSH_TCP_REFUSED };

/* Hold a segment against the numbers of both sides, and take its own. A SYN's options go to *s. */
enum msh_tcp_outcome msh_tcp_window_pass(struct msh_track *t, union msh_track_shared *s,
	unsigned int from, const struct msh_tcp_segment *g);

void msh_tcp_window_begin(
	struct msh_track *t, union msh_track_shared *s, const struct msh_tcp_segment *g);

/* Begin again with both sides: this one answers a SYN of the other, which ended at `mark` and was
 * not counted. */
void msh_tcp_window_resume(struct msh_track *t, unsigned int from, uint32_t mark);

/* Something is not acknowledged. */
bool msh_tcp_window_waits(const struct msh_track *t);

/* One side has no room. */
bool msh_tcp_window_is_closed(const struct msh_track *t);

/* ---- states: track_tcp.c ---- */

enum msh_track_verdict msh_tcp_begin(struct msh_track *t, const struct msh_packet *p, bool loose);
enum msh_track_verdict msh_tcp_next(
	struct msh_track *t, enum msh_track_direction from, const struct msh_packet *p);
uint32_t msh_tcp_timeout(const struct msh_track *t, const union msh_track_shared *s,
	const struct msh_track_timeouts *timeouts);
