/* SPDX-License-Identifier: BSD-3-Clause */

/* TCP's windows, as seen between the hosts: Guido van Rooij, "Real Stateful TCP Packet Filtering in
 * IP Filter" (2000), of which the names I to IV of the bounds are, with what nf_conntrack has added
 * since. */

#include "track_tcp.h"

#include <rte_branch_prediction.h>

#define ACK_WINDOW_MIN 66000 /* how late an acknowledgment may be, whatever the window */

static inline unsigned int
scale_of(const union msh_track_shared *s, unsigned int side)
{
	return s->scale >> (4 * side) & 15;
}

/* Both must have offered it (RFC 7323 2.2), and what a SYN says is not scaled. */
static inline uint32_t
scaled_window(const union msh_track_shared *s, unsigned int from, const struct msh_tcp_segment *g)
{
	if (g->kind <= MSH_TCP_SYN_ACK || scale_of(s, !from) == MSH_TCP_SCALE_NONE ||
		scale_of(s, from) == MSH_TCP_SCALE_NONE)
		return g->window;
	return (uint32_t)g->window << scale_of(s, from);
}

/* The numbers of both sides, as the sender of a segment sees them. */
struct numbers {
	struct msh_track_side own, peer;
};

static inline struct msh_track_side
load_side(const struct msh_track_side *side)
{
	return (struct msh_track_side){MSH_TRACK_LOAD(side->end), MSH_TRACK_LOAD(side->limit),
		MSH_TRACK_LOAD(side->window), MSH_TRACK_LOAD(side->ack)};
}

/* Only words that changed: the other direction's worker has the same line. */
static inline void
store_side(struct msh_track_side *side, const struct msh_track_side *was,
	const struct msh_track_side *is)
{
	if (is->end != was->end)
		MSH_TRACK_STORE(side->end, is->end);
	if (is->limit != was->limit)
		MSH_TRACK_STORE(side->limit, is->limit);
	if (is->window != was->window)
		MSH_TRACK_STORE(side->window, is->window);
	if (is->ack != was->ack)
		MSH_TRACK_STORE(side->ack, is->ack);
}

/* A side's first segment, or a SYN that begins again: all that is known of its numbers. How far it
 * may send will be known when the other side acknowledges a SYN; of a connection picked up on its
 * way it is guessed. */
static void
init_numbers(struct numbers *n, union msh_track_shared *s, unsigned int from,
	const struct msh_tcp_segment *g)
{
	bool syn = g->kind <= MSH_TCP_SYN_ACK;
	if (syn)
		msh_tcp_set_options(s, from, g->scale, g->sack_permitted);
	n->own.end = g->end;
	n->own.ack = 0;
	n->own.window = RTE_MAX(scaled_window(s, from, g), 1u);
	n->peer.limit = g->end + (syn ? 0 : n->own.window);
}

/* What of a segment is held against the bounds. */
struct claim {
	uint32_t seq, end, ack, sack;
};

static inline struct claim
claim_of(const struct numbers *n, const union msh_track_shared *s, unsigned int from,
	const struct msh_tcp_segment *g)
{
	bool sack_counts = s->sack >> !from & 1;
	struct claim c = {g->seq, g->end, g->ack, sack_counts ? g->sack : g->ack};
	/* Some stacks set the flag in an RST without a number. */
	if (!g->has_ack || (g->kind == MSH_TCP_RST && g->ack == 0))
		c.ack = c.sack = n->peer.end;
	return c;
}

static enum msh_tcp_outcome
check_bounds(const struct numbers *n, const struct claim *c)
{
	const uint32_t late = RTE_MAX(n->own.window, (uint32_t)ACK_WINDOW_MIN);
	bool permitted = !msh_seq_after(c->seq, n->peer.limit); /* I */
	bool recent = n->peer.window == 0 ||
		      msh_seq_after(c->end, n->own.end - n->peer.window - 1); /* II */
	bool sent = !msh_seq_after(c->sack, n->peer.end);                     /* III */
	bool prompt = msh_seq_after(c->sack, n->peer.end - late - 1);         /* IV */
	if (likely(permitted && recent && sent && prompt))
		return MSH_TCP_ACCEPTED;
	if (permitted)
		return sent ? MSH_TCP_NOT_COUNTED : MSH_TCP_REFUSED;
	/* A peer may take a little more than it said, and acknowledge it. */
	bool little = c->end - n->peer.limit + 1 <= n->peer.window;
	return recent && sent && prompt && little ? MSH_TCP_NOT_COUNTED : MSH_TCP_REFUSED;
}

static inline void
raise_to(uint32_t *number, uint32_t to)
{
	if (msh_seq_after(to, *number))
		*number = to;
}

static inline void
take_claim(struct numbers *n, const struct claim *c, uint32_t window, bool has_ack)
{
	if (unlikely(msh_seq_after(c->end, n->peer.limit)) && n->peer.window != 0)
		n->peer.window += c->end - n->peer.limit;
	raise_to(&n->own.end, c->end);
	n->own.window = RTE_MAX(n->own.window, window + (c->sack - c->ack));
	/* RFC 9293 3.8.6.1: into a window of 0, an octet may be sent to probe it. */
	raise_to(&n->own.limit, c->sack + RTE_MAX(window, 1u));
	if (has_ack && (n->own.ack == 0 || msh_seq_after(c->ack, n->own.ack)))
		n->own.ack = c->ack != 0 ? c->ack : UINT32_MAX; /* nearly */
}

static enum msh_tcp_outcome
judge_numbers(struct numbers *n, union msh_track_shared *s, unsigned int from,
	const struct msh_tcp_segment *g)
{
	bool first = n->own.window == 0;
	bool again = g->kind <= MSH_TCP_SYN_ACK && s->state <= MSH_TRACK_SYN_RECV &&
		     msh_seq_after(g->end, n->own.end);
	if (unlikely(first || again)) {
		init_numbers(n, s, from, g);
		if (g->kind == MSH_TCP_SYN && (first || from == MSH_TRACK_REPLY))
			return MSH_TCP_ACCEPTED; /* it says nothing of the other side */
	}
	struct claim c = claim_of(n, s, from, g);
	enum msh_tcp_outcome outcome = check_bounds(n, &c);
	if (likely(outcome == MSH_TCP_ACCEPTED))
		take_claim(n, &c, scaled_window(s, from, g), g->has_ack);
	else if (outcome == MSH_TCP_NOT_COUNTED && msh_seq_after(c.seq, n->peer.limit))
		raise_to(&n->own.end, c.end);
	return s->liberal >> from & 1 ? MSH_TCP_ACCEPTED : outcome;
}

enum msh_tcp_outcome
msh_tcp_window_pass(struct msh_track *t, union msh_track_shared *s, unsigned int from,
	const struct msh_tcp_segment *g)
{
	struct numbers was = {load_side(&t->side[from]), load_side(&t->side[!from])}, is = was;
	enum msh_tcp_outcome outcome = judge_numbers(&is, s, from, g);
	if (likely(outcome != MSH_TCP_REFUSED)) {
		store_side(&t->side[from], &was.own, &is.own);
		store_side(&t->side[!from], &was.peer, &is.peer);
	}
	return outcome;
}

void
msh_tcp_window_begin(
	struct msh_track *t, union msh_track_shared *s, const struct msh_tcp_segment *g)
{
	struct numbers n = {.own.window = 0};
	init_numbers(&n, s, MSH_TRACK_ORIGINAL, g);
	t->side[MSH_TRACK_ORIGINAL] = n.own;
	t->side[MSH_TRACK_REPLY] = n.peer;
}

void
msh_tcp_window_resume(struct msh_track *t, unsigned int from, uint32_t mark)
{
	MSH_TRACK_STORE(t->side[!from].end, mark);
	MSH_TRACK_STORE(t->side[!from].ack, 0);
	MSH_TRACK_STORE(t->side[!from].window, UINT16_MAX); /* at most: it was not scaled */
	MSH_TRACK_STORE(t->side[from].limit, mark);
	MSH_TRACK_STORE(t->side[from].window, 0);
}

/* Only where the other side has acknowledged anything: before, the states' own limits are short. */
static inline bool
is_outstanding(const struct msh_track_side *side, const struct msh_track_side *peer)
{
	uint32_t acked = MSH_TRACK_LOAD(peer->ack);
	return acked != 0 && acked != MSH_TRACK_LOAD(side->end);
}

static inline bool
is_closed(const struct msh_track_side *side)
{
	uint32_t ack = MSH_TRACK_LOAD(side->ack);
	return ack != 0 && MSH_TRACK_LOAD(side->limit) == ack + 1;
}

bool
msh_tcp_window_waits(const struct msh_track *t)
{
	return is_outstanding(&t->side[0], &t->side[1]) || is_outstanding(&t->side[1], &t->side[0]);
}

bool
msh_tcp_window_is_closed(const struct msh_track *t)
{
	return is_closed(&t->side[0]) || is_closed(&t->side[1]);
}
