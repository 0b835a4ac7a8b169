/* SPDX-License-Identifier: BSD-3-Clause */

/* TCP's states, those of nf_conntrack. */

#include "track_tcp.h"

#include <rte_branch_prediction.h>

enum {
	XX = 0, /* refused */
	SS = MSH_TRACK_SYN_SENT,
	SR = MSH_TRACK_SYN_RECV,
	ES = MSH_TRACK_OPEN,
	FW = MSH_TRACK_FIN_WAIT,
	CW = MSH_TRACK_CLOSE_WAIT,
	LA = MSH_TRACK_LAST_ACK,
	TW = MSH_TRACK_TIME_WAIT,
	CL = MSH_TRACK_CLOSE,
	S2 = MSH_TRACK_SYN_SENT2,
	NC, /* not counted */
};

/* Where a segment leads: by state, direction, and kind: SYN, SYN and ACK, FIN, ACK, RST. */
static const uint8_t next_state[MSH_TRACK_STATES][2][MSH_TCP_CHALLENGE] = {
	[SS] = {{SS, XX, XX, XX, CL}, {S2, SR, XX, NC, CL}},
	[S2] = {{S2, SR, XX, XX, CL}, {S2, SR, XX, NC, CL}},
	[SR] = {{NC, SR, FW, ES, CL}, {XX, NC, FW, SR, CL}},
	[ES] = {{NC, XX, FW, ES, CL}, {XX, NC, FW, ES, CL}},
	[FW] = {{NC, XX, LA, CW, CL}, {XX, NC, LA, CW, CL}},
	[CW] = {{NC, XX, LA, CW, CL}, {XX, NC, LA, CW, CL}},
	[LA] = {{NC, XX, LA, TW, CL}, {XX, NC, LA, TW, CL}},
	[TW] = {{SS, XX, TW, TW, CL}, {SS, NC, TW, TW, CL}},
	[CL] = {{SS, XX, CL, CL, CL}, {XX, NC, CL, CL, CL}},
};

static inline bool
is_closing(const union msh_track_shared *s)
{
	return s->state >= MSH_TRACK_FIN_WAIT && s->state <= MSH_TRACK_CLOSE;
}

/* Let through without being counted. It may be that the hosts know of a connection that we do not
 * know: remember enough of a SYN to follow them when it is answered, and of an ACK that may
 * answer a SYN to understand the RST that follows (RFC 5961 4). */
static void
note(union msh_track_shared *s, unsigned int from, const struct msh_tcp_segment *g)
{
	s->last = g->kind;
	s->last_from = from;
	if (g->kind == MSH_TCP_SYN) {
		s->mark = g->end;
		s->offered_scale = g->scale;
		s->offered_sack = g->sack_permitted;
		s->challenge = s->state == MSH_TRACK_LAST_ACK;
	} else if (g->kind == MSH_TCP_ACK) {
		s->last = MSH_TCP_CHALLENGE;
		s->mark = g->ack;
	}
}

/* A SYN and ACK that answers a SYN which was not counted: the hosts were right. Begin again with
 * both. */
static bool
resume(struct msh_track *t, union msh_track_shared *s, unsigned int from,
	const struct msh_tcp_segment *g)
{
	if (g->kind != MSH_TCP_SYN_ACK || s->last != MSH_TCP_SYN || s->last_from == from ||
		g->ack != s->mark)
		return false;
	msh_tcp_set_options(s, !from, s->offered_scale, s->offered_sack);
	s->state = MSH_TRACK_SYN_SENT;
	s->liberal &= 1u << from;
	s->challenge = s->simultaneous = 0;
	msh_tcp_window_resume(t, from, s->mark);
	return true;
}

/* RFC 5961 3.2. What an RST is to be taken for: to be let through as any ACK, so that the host that
 * it is for may answer with a challenge (NEXT), to end the connection if its numbers are within
 * the window (WINDOW) or whatever they are (SURE), or nothing (BAD). */
enum reset { RESET_BAD, RESET_NEXT, RESET_WINDOW, RESET_SURE };

static enum reset
judge_reset(const struct msh_track *t, const union msh_track_shared *s, unsigned int from,
	const struct msh_tcp_segment *g)
{
	uint32_t expected = MSH_TRACK_LOAD(t->side[!from].ack);
	bool open = s->state == MSH_TRACK_OPEN;
	enum reset reset = RESET_WINDOW;

	/* The hosts may be in another connection already, of which the numbers are not known. */
	if (is_closing(s))
		return RESET_SURE;
	if (expected != 0 && s->last != MSH_TCP_SYN) {
		if (msh_seq_after(expected, g->seq))
			return RESET_BAD;
		/* Exact, or right behind all that its sender had sent. */
		if (open && g->seq != expected && g->seq != MSH_TRACK_LOAD(t->side[from].end))
			reset = RESET_NEXT;
	}
	/* It answers a SYN, or an ACK to a SYN, that was let through. */
	if (s->answered && s->last == MSH_TCP_SYN && g->ack == s->mark)
		return RESET_SURE;
	if (s->state == MSH_TRACK_SYN_SENT && s->last == MSH_TCP_CHALLENGE && g->seq == s->mark)
		return RESET_SURE;
	return reset;
}

/* An accepted segment leads to this state. */
static void
advance(union msh_track_shared *s, unsigned int to, unsigned int from,
	const struct msh_tcp_segment *g)
{
	if (to == MSH_TRACK_FIN_WAIT)
		s->finished = 1;
	if (to == MSH_TRACK_SYN_SENT2)
		s->simultaneous = 1;
	if (s->answered && to == MSH_TRACK_OPEN &&
		(s->state == MSH_TRACK_SYN_RECV || s->state == MSH_TRACK_OPEN))
		s->assured = 1;
	/* Nobody but the one that was refused knows of the connection. */
	if (!s->answered && g->kind == MSH_TCP_RST)
		to = MSH_TRACK_OVER;
	s->state = to & 15;
	/* Of ACKs in a row, the first: the word need not change with each. */
	if (g->kind != MSH_TCP_ACK || s->last != MSH_TCP_ACK) {
		s->last = g->kind;
		s->last_from = from;
	}
	if (g->kind == MSH_TCP_SYN)
		s->mark = g->end;
	if (g->fragment) /* how much data it has is not known: its end cannot be held against it */
		s->liberal = 3;
}

/* What looks like the acknowledgment of a FIN may be the answer to a SYN (RFC 5961 4). */
static bool
is_challenge(const union msh_track_shared *s, unsigned int from, const struct msh_tcp_segment *g)
{
	return s->state == MSH_TRACK_LAST_ACK && g->kind == MSH_TCP_ACK && s->challenge &&
	       s->last == MSH_TCP_SYN && s->last_from != from;
}

/* A segment that leads to this state if its numbers are right. False: they are not. */
static bool
pass(struct msh_track *t, union msh_track_shared *s, unsigned int to, unsigned int from,
	const struct msh_tcp_segment *g)
{
	enum reset reset = RESET_WINDOW;
	enum msh_tcp_outcome outcome = MSH_TCP_ACCEPTED;

	if (to == SR && s->simultaneous && from == MSH_TRACK_REPLY && g->kind == MSH_TCP_ACK)
		to = ES;
	if (g->kind == MSH_TCP_RST) {
		reset = judge_reset(t, s, from, g);
		if (reset == RESET_BAD)
			return false;
		if (reset == RESET_NEXT)
			to = s->state;
	}
	if (reset != RESET_SURE)
		outcome = msh_tcp_window_pass(t, s, from, g);
	if (outcome == MSH_TCP_ACCEPTED)
		advance(s, to, from, g);
	return outcome != MSH_TCP_REFUSED;
}

/* Judge g by *s, and make of *s what it is after g. */
static enum msh_track_verdict
judge(struct msh_track *t, union msh_track_shared *s, unsigned int from,
	const struct msh_tcp_segment *g)
{
	unsigned int to = next_state[s->state][from][g->kind];

	if (to == XX)
		return MSH_TRACK_INVALID;
	/* Between the same ports again: RFC 9293 3.6.1, or after an RST of the same host. */
	if (to == SS && is_closing(s)) {
		if (s->finished || (s->last == MSH_TCP_RST && s->last_from == from))
			return MSH_TRACK_REOPEN;
		to = NC;
	}
	if (to == NC && resume(t, s, from, g))
		to = SR;
	if (to == NC || is_challenge(s, from, g))
		note(s, from, g);
	else if (!pass(t, s, to, from, g))
		return MSH_TRACK_INVALID;
	if (from == MSH_TRACK_REPLY)
		s->answered = 1;
	return s->answered ? MSH_TRACK_ESTABLISHED : MSH_TRACK_NEW;
}

enum msh_track_verdict
msh_tcp_next(struct msh_track *t, enum msh_track_direction from, const struct msh_packet *p)
{
	struct msh_tcp_segment g;
	union msh_track_shared is, was = {.word = MSH_TRACK_LOAD(t->shared.word)};
	enum msh_track_verdict verdict;

	if (unlikely(!msh_tcp_segment_read(&g, p)))
		return MSH_TRACK_INVALID;
	do { /* again if the other direction's worker was faster; numbers are taken twice as once */
		is = was;
		if (was.state == MSH_TRACK_OVER)
			return MSH_TRACK_REOPEN;
		verdict = judge(t, &is, from, &g);
		if (verdict != MSH_TRACK_NEW && verdict != MSH_TRACK_ESTABLISHED)
			return verdict;
	} while (
		is.word != was.word && !__atomic_compare_exchange_n(&t->shared.word, &was.word,
					       is.word, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return verdict;
}

enum msh_track_verdict
msh_tcp_begin(struct msh_track *t, const struct msh_packet *p, bool loose)
{
	struct msh_tcp_segment g;
	union msh_track_shared s = {.word = 0};

	if (!msh_tcp_segment_read(&g, p) ||
		(g.kind != MSH_TCP_SYN && !(g.kind == MSH_TCP_ACK && loose)))
		return MSH_TRACK_INVALID;
	s.last = g.kind;
	s.mark = g.end;
	if (g.kind == MSH_TCP_SYN) {
		s.state = MSH_TRACK_SYN_SENT;
		msh_tcp_set_options(&s, MSH_TRACK_REPLY, MSH_TCP_SCALE_NONE, 0);
	} else {
		/* What the hosts agreed on is lost: the most that it can have been. */
		s.state = MSH_TRACK_OPEN;
		s.liberal = 3;
		s.scale = MSH_TCP_SCALE_MAX << 4 | MSH_TCP_SCALE_MAX;
		s.sack = 3;
	}
	if (g.fragment)
		s.liberal = 3;
	msh_tcp_window_begin(t, &s, &g);
	t->shared = s;
	return MSH_TRACK_NEW;
}

uint32_t
msh_tcp_timeout(const struct msh_track *t, const union msh_track_shared *s,
	const struct msh_track_timeouts *timeouts)
{
	if (s->state == MSH_TRACK_OVER)
		return 0;
	uint32_t limit =
		timeouts->tcp[s->last == MSH_TCP_RST ? (unsigned int)MSH_TRACK_CLOSE : s->state];
	if (msh_tcp_window_waits(t) || (s->state == MSH_TRACK_OPEN && !s->answered))
		limit = RTE_MIN(limit, timeouts->tcp_unacknowledged);
	if (msh_tcp_window_is_closed(t))
		limit = RTE_MIN(limit, timeouts->tcp_no_window);
	return limit;
}
