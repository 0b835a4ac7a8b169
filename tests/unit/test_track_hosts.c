/* SPDX-License-Identifier: BSD-3-Clause */

/* The connection tracker between two naive TCP hosts, on a path that loses, repeats and reorders
 * before it and behind it. Whatever the hosts send, by RFC 9293, 7323 and 2018, is valid; what
 * somebody forges who does not know their numbers is not, and changes nothing. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "frames.h"
#include "segments.h"

#define STREAM_MAX 4000 /* octets each way */
#define FLIGHT_MAX 64

/* One end. Offsets count octets of the stream; the SYN is before 0, the FIN is at `total`. */
struct host {
	uint32_t isn;
	uint32_t total, sent, acked, edge; /* edge: up to where the other one permits */
	uint32_t got_to, read_to, room;
	bool got[STREAM_MAX + 2];
	unsigned int shift;
	bool scales, sacks;                /* offers it */
	bool syn_sent, syn_got, syn_acked; /* the last: of its own */
	bool fin_got, over;
};

struct flying {
	enum msh_track_direction from;
	struct segment s;
	char options[128];
};

/* Counts, so that each case is known to have been met. */
static struct {
	unsigned int retransmitted, keepalives, probes, sacks, scaled, simultaneous, half_closed,
		resets, reopened, resumed, forged, wrapped;
} met;

static struct host host[2];
static struct flying flight[FLIGHT_MAX];
static unsigned int flying;
static struct msh_track track;
static uint32_t seen_ack[2]; /* highest offset + 1 that this side's segments acknowledged to the
				tracker */
static enum msh_track_direction opener; /* whose SYN came first */
static bool may_open;                   /* host 1, too */
static bool seen_end;                   /* it has seen a FIN or an RST */

static bool
both_scale(void)
{
	return host[0].scales && host[1].scales;
}

static uint32_t
free_room(const struct host *h)
{
	return h->room - (h->got_to - h->read_to - h->fin_got);
}

static struct flying *
add(enum msh_track_direction from, uint8_t flags, uint32_t offset, uint32_t length)
{
	struct host *h = &host[from], *peer = &host[!from];
	struct flying *f = &flight[flying++];
	unsigned int shift = both_scale() && !(flags & SYN) ? h->shift : 0;
	*f = (struct flying){.from = from,
		.s = {.flags = flags,
			.seq = h->isn + 1 + offset,
			.ack = flags & ACK ? peer->isn + 1 + h->got_to : 0,
			.window = (uint16_t)RTE_MIN(free_room(h) >> shift, 65535u),
			.payload = length}};
	met.scaled += shift > 0;
	met.wrapped += f->s.seq + length < f->s.seq;
	return f;
}

/* The first octets that came out of order. */
static void
add_sack(struct flying *f)
{
	const struct host *h = &host[f->from];
	uint32_t left = h->got_to;
	if (!host[0].sacks || !host[1].sacks)
		return;
	while (left < STREAM_MAX && !h->got[left])
		left++;
	uint32_t right = left;
	while (right < STREAM_MAX && h->got[right])
		right++;
	if (left == right)
		return;
	uint32_t base = host[!f->from].isn + 1;
	snprintf(f->options, sizeof(f->options), "0101 050a %08x %08x", base + left, base + right);
	met.sacks++;
}

static void
send_syn(enum msh_track_direction from)
{
	struct host *h = &host[from];
	struct flying *f = add(from, h->syn_got ? SYN | ACK : SYN, (uint32_t)-1, 0);
	char scale[16] = "";
	if (h->scales)
		snprintf(scale, sizeof(scale), "01 0303 %02x", h->shift);
	snprintf(f->options, sizeof(f->options), "%s%s", scale, h->sacks ? "0402" : "");
	h->syn_sent = true;
}

static void
send_data(enum msh_track_direction from, uint32_t offset, uint32_t length)
{
	struct host *h = &host[from];
	met.retransmitted += offset < h->sent;
	add_sack(add(from, ACK | PSH, offset, length));
	h->sent = RTE_MAX(h->sent, offset + length);
}

/* Something that this host may say now. */
static void
speak(enum msh_track_direction from)
{
	struct host *h = &host[from];
	uint32_t open = RTE_MIN(h->edge, h->total);
	bool waits = from == MSH_TRACK_REPLY && !h->syn_got && !h->syn_sent;
	uint32_t unacked = RTE_MIN(h->sent, h->total) - RTE_MIN(h->acked, h->total);

	if (h->over || (waits && (!may_open || any(30) != 0)))
		return;
	if (!h->syn_acked) {
		met.simultaneous += waits;
		send_syn(from);
		return;
	}
	h->read_to += any(h->got_to - h->fin_got - h->read_to + 1);
	switch (any(12)) {
	case 0:
	case 1:
		add_sack(add(from, ACK, h->sent, 0));
		break;
	case 2:
		met.keepalives++;
		add(from, ACK, h->sent - 1, 0);
		break;
	case 3:
	case 4:
		if (unacked > 0) {
			uint32_t skip = any(unacked);
			send_data(from, h->acked + skip, 1 + any(unacked - skip));
		}
		break;
	case 5:
		if (h->sent >= h->total && h->edge > h->total) {
			met.half_closed += !host[!from].fin_got;
			add(from, FIN | ACK, h->total, 0);
			h->sent = h->total + 1;
		}
		break;
	case 6:
		if (any(200) == 0) {
			met.resets++;
			add(from, any(2) ? RST : RST | ACK, h->sent, 0);
			h->over = true;
		}
		break;
	default:
		if (h->sent < open) {
			send_data(from, h->sent, 1 + any(open - h->sent));
		} else if (h->edge == h->acked && h->sent == h->acked && h->sent < h->total) {
			met.probes++;
			send_data(from, h->sent, 1);
		}
	}
}

/* RFC 9293 3.10, as far as hosts that mean well need it. */
static void
hear(const struct flying *f)
{
	struct host *h = &host[!f->from], *peer = &host[f->from];
	const struct segment *s = &f->s;
	uint32_t offset = s->seq - peer->isn - 1, acked = s->ack - h->isn - 1;

	if (h->over)
		return;
	if (s->flags & RST) {
		h->over = offset >= h->got_to && offset < h->got_to + h->room;
		return;
	}
	if (s->flags & SYN) {
		h->syn_got = true;
		h->syn_acked |= (s->flags & ACK) != 0;
		h->edge = RTE_MAX(h->edge, (uint32_t)s->window);
		return;
	}
	if (!h->syn_got)
		return;
	h->syn_acked = true;
	if (acked <= h->sent) {
		h->acked = RTE_MAX(h->acked, acked);
		uint32_t shift = both_scale() ? peer->shift : 0;
		h->edge = RTE_MAX(h->edge, acked + ((uint32_t)s->window << shift));
	}
	for (uint32_t i = 0; i < s->payload; i++)
		if (offset + i < h->read_to + h->room)
			h->got[offset + i] = true;
	while (h->got_to < peer->total && h->got[h->got_to])
		h->got_to++;
	if ((s->flags & FIN) && h->got_to == peer->total && offset == peer->total) {
		h->fin_got = true;
		h->got_to++;
	}
}

/* What the tracker says of a segment that a host has sent. */
static void
judge(struct flying *f)
{
	struct segment s = f->s;
	s.options = f->options;
	enum msh_track_verdict verdict = next(&track, f->from != opener, s);
	/* Once the opener has answered it, another SYN of the other side is of no use. */
	if (s.flags == SYN && f->from != opener && track.shared.state == MSH_TRACK_SYN_RECV)
		return;
	if (verdict == MSH_TRACK_REOPEN) {
		met.reopened++;
		assert_int_equal(s.flags, SYN);
		verdict = begin(&track, s);
		opener = f->from;
		seen_end = false;
	}
	assert_true(verdict == MSH_TRACK_NEW || verdict == MSH_TRACK_ESTABLISHED);
	if (f->from != opener)
		assert_int_equal(verdict, MSH_TRACK_ESTABLISHED);
	if (s.flags & ACK)
		seen_ack[f->from] = RTE_MAX(seen_ack[f->from], s.ack - host[!f->from].isn);
	seen_end |= (s.flags & (FIN | RST)) != 0;
}

/* From a stranger, who has guessed the ports but not the numbers. */
static void
forge(void)
{
	enum msh_track_direction from = any(2);
	const struct host *h = &host[from], *peer = &host[!from];
	uint32_t far = 200000 + any(1u << 30);
	struct segment s = {ACK, .seq = h->isn + 1 + h->sent, .ack = peer->isn + 1, .window = 1000,
		.payload = any(100)};
	if (!host[0].syn_acked || !host[1].syn_acked || seen_end || seen_ack[0] * seen_ack[1] == 0)
		return;
	switch (any(3)) {
	case 0:
		s.seq += far;
		break;
	case 1:
		s.ack += peer->sent + 2 + any(1u << 30);
		break;
	default:
		s.flags = RST;
		s.seq = h->isn + seen_ack[!from] - 1 - any(1u << 30);
	}
	met.forged++;
	assert_int_equal(
		next(&track, from != opener, s), MSH_TRACK_INVALID); /* which has changed nothing */
}

static void
prepare(struct host *h)
{
	*h = (struct host){.isn = any(2) ? any(UINT32_MAX) : UINT32_MAX - any(3000),
		.total = any(3) ? any(STREAM_MAX) : 0,
		.room = 1 + any(STREAM_MAX - 1),
		.shift = any(6),
		.scales = any(2),
		.sacks = any(2)};
}

static bool
is_done(void)
{
	bool closed = true;
	for (unsigned int i = 0; i < 2; i++)
		closed &= host[i].fin_got && host[i].acked > host[i].total;
	return closed || (host[0].over && host[1].over);
}

/* Take one of those on the way; while a connection opens, in order. */
static struct flying
pick(void)
{
	bool opening = !host[0].syn_acked || !host[1].syn_acked;
	unsigned int i = opening ? 0 : any(flying);
	struct flying f = flight[i];
	if (any(10) != 0) { /* else it comes again */
		flying--;
		memmove(&flight[i], &flight[i + 1], (flying - i) * sizeof(f));
	}
	return f;
}

/* Returns whether both ends have come to an end. */
static bool
converse(void)
{
	for (unsigned int step = 0; step < 6000 && !is_done(); step++) {
		if (flying < FLIGHT_MAX && any(3) != 0)
			speak(any(2));
		if (flying == 0)
			continue;
		struct flying f = pick();
		if (any(10) == 0)
			continue; /* lost before the tracker */
		judge(&f);
		if (any(8) == 0)
			forge();
		if (any(10) != 0)
			hear(&f);
	}
	return is_done();
}

static void
test_hosts(void **state)
{
	unsigned int done = 0;
	for (unsigned int round = 0; round < 2000; round++) {
		track = (struct msh_track){.shared = {.state = MSH_TRACK_OVER}};
		opener = MSH_TRACK_ORIGINAL;
		for (unsigned int again = 0; again < 3 && opener == MSH_TRACK_ORIGINAL; again++) {
			prepare(&host[0]);
			prepare(&host[1]);
			may_open = again == 0;
			memset(seen_ack, 0, sizeof(seen_ack));
			flying = 0;
			/* of a connection before this one */
			met.resumed += again > 0 && track.shared.state != MSH_TRACK_TIME_WAIT;
			done += converse();
		}
	}
	assert_true(done > 3000);
	assert_true(met.retransmitted > 1000 && met.keepalives > 1000 && met.probes > 100);
	assert_true(met.sacks > 1000 && met.scaled > 1000 && met.simultaneous > 10);
	assert_true(met.half_closed > 100 && met.resets > 100 && met.reopened > 100);
	assert_true(met.resumed > 100 && met.forged > 1000 && met.wrapped > 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hosts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
