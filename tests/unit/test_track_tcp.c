/* SPDX-License-Identifier: BSD-3-Clause */

/* The connection tracker on TCP, one promise after the other. The client's first sequence number is
 * 1000, the server's 5000, unless a test says otherwise. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <string.h>

#include "segments.h"

#define CLIENT MSH_TRACK_ORIGINAL
#define SERVER MSH_TRACK_REPLY
#define DAYS5 (5 * 24 * 3600)

/* segment(...) with the names of its fields. */
#define says(from, ...) next(&t, from, (struct segment){__VA_ARGS__})
#define assert_new(verdict) assert_int_equal(verdict, MSH_TRACK_NEW)
#define assert_established(verdict) assert_int_equal(verdict, MSH_TRACK_ESTABLISHED)
#define assert_invalid(verdict) assert_int_equal(verdict, MSH_TRACK_INVALID)
#define assert_timeout(seconds) \
	assert_int_equal(msh_track_timeout(&t, IPPROTO_TCP, &msh_track_timeouts_default), seconds)

static struct msh_track t;

static void
handshake(const char *client_options, const char *server_options)
{
	assert_new(begin(
		&t, (struct segment){SYN, .seq = 1000, .window = 8000, .options = client_options}));
	assert_established(says(SERVER, SYN | ACK, .seq = 5000, .ack = 1001, .window = 4000,
		.options = server_options));
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5001, .window = 8000));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1001, .window = 4000));
}

static void
test_handshake(void **state)
{
	assert_new(begin(&t, (struct segment){SYN, .seq = 1000, .window = 8000}));
	assert_timeout(120);
	assert_new(says(CLIENT, SYN, .seq = 1000, .window = 8000));
	assert_invalid(says(CLIENT, ACK, .seq = 1001, .ack = 5001));
	assert_established(says(SERVER, SYN | ACK, .seq = 5000, .ack = 1001, .window = 4000));
	assert_timeout(60);
	assert_false(msh_track_is_assured(&t));
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5001, .window = 8000));
	assert_timeout(DAYS5);
	assert_true(msh_track_is_assured(&t));
	/* lost beyond us, and sent again */
	assert_established(says(SERVER, SYN | ACK, .seq = 5000, .ack = 1001, .window = 4000));
	assert_timeout(DAYS5);
}

/* Only what may begin a connection does. */
static void
test_begin(void **state)
{
	struct msh_packet p = take_segment(CLIENT, (struct segment){ACK, .seq = 7, .ack = 9});
	assert_invalid(begin(&t, (struct segment){.flags = SYN | ACK}));
	assert_invalid(begin(&t, (struct segment){.flags = FIN | ACK}));
	assert_invalid(begin(&t, (struct segment){.flags = RST}));
	assert_invalid(begin(&t, (struct segment){.flags = RST | ACK}));
	assert_invalid(msh_track_begin(&t, &p, false, 0));
	assert_new(msh_track_begin(&t, &p, true, 0));
	drop_packet(&p);
}

/* Picked up on its way: the numbers are not held against it, and it is not kept for long before
 * both sides were seen. */
static void
test_pickup(void **state)
{
	assert_new(begin(&t, (struct segment){ACK, .seq = 7, .ack = 9, .window = 100}));
	assert_timeout(300);
	assert_established(says(SERVER, ACK, .seq = 9000, .ack = 100000, .payload = 1000));
	assert_established(says(CLIENT, ACK, .seq = 100000, .ack = 99000));
	assert_established(says(CLIENT, FIN | ACK, .seq = 100000, .ack = 99000));
	assert_timeout(120);
}

static void
test_flags(void **state)
{
	static const uint8_t valid[] = {SYN, SYN | URG, SYN | ACK, FIN | ACK, FIN | ACK | URG, ACK,
		ACK | URG, RST, RST | ACK};
	for (unsigned int flags = 0; flags < 256; flags++) {
		bool is_valid = memchr(valid, (int)(flags & 0x37), sizeof(valid)) != NULL;
		handshake(NULL, NULL);
		enum msh_track_verdict verdict = says(
			SERVER, .flags = (uint8_t)flags, .seq = 5001, .ack = 1001, .window = 4000);
		/* a server does not begin */
		if ((flags & (SYN | ACK | RST)) == SYN)
			is_valid = false;
		assert_int_equal(verdict, is_valid ? MSH_TRACK_ESTABLISHED : MSH_TRACK_INVALID);
	}
}

static void
test_close(void **state)
{
	handshake(NULL, NULL);
	assert_established(says(CLIENT, FIN | ACK, .seq = 1001, .ack = 5001, .window = 8000));
	assert_timeout(120);
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1002, .window = 4000));
	assert_timeout(60);
	/* the other half stays open */
	assert_established(
		says(SERVER, ACK, .seq = 5001, .ack = 1002, .window = 4000, .payload = 500));
	assert_established(says(CLIENT, ACK, .seq = 1002, .ack = 5501, .window = 8000));
	assert_established(says(SERVER, FIN | ACK, .seq = 5501, .ack = 1002, .window = 4000));
	assert_timeout(30);
	assert_established(says(CLIENT, ACK, .seq = 1002, .ack = 5502, .window = 8000));
	assert_timeout(120);
	/* The same ports again, from either side. */
	assert_int_equal(says(SERVER, SYN, .seq = 90000), MSH_TRACK_REOPEN);
	assert_int_equal(says(CLIENT, SYN, .seq = 90000), MSH_TRACK_REOPEN);
}

static void
test_simultaneous_open(void **state)
{
	assert_new(begin(&t, (struct segment){SYN, .seq = 1000, .window = 8000}));
	assert_established(says(SERVER, SYN, .seq = 5000, .window = 4000));
	assert_established(says(CLIENT, SYN | ACK, .seq = 1000, .ack = 5001, .window = 8000));
	assert_established(says(SERVER, SYN | ACK, .seq = 5000, .ack = 1001, .window = 4000));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1001, .window = 4000));
	assert_established(
		says(CLIENT, ACK, .seq = 1001, .ack = 5001, .window = 8000, .payload = 100));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1101, .window = 4000));
	assert_timeout(DAYS5);
}

static void
test_window(void **state)
{
	handshake(NULL, NULL);
	/* up to where the server permits, but no further */
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5001, .payload = 4000));
	assert_timeout(300);
	assert_invalid(says(CLIENT, ACK, .seq = 9002, .ack = 5001, .payload = 1));
	assert_invalid(says(CLIENT, ACK, .seq = 1001 + (1u << 30), .ack = 5001, .payload = 1));
	/* again, late, and a keepalive */
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5001, .payload = 1000));
	assert_established(says(CLIENT, ACK, .seq = 1000 - 50000, .ack = 5001, .payload = 1));
	assert_established(says(CLIENT, ACK, .seq = 5000, .ack = 5001));
	/* what was not sent cannot be acknowledged */
	assert_invalid(says(SERVER, ACK, .seq = 5001, .ack = 5002, .window = 4000));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 5001, .window = 4000));
	assert_timeout(DAYS5);
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1001, .window = 4000));
}

/* What is late is let through, and nothing is learned from it. */
static void
test_late(void **state)
{
	handshake("030307", "030307");
	assert_established(says(CLIENT, ACK, .seq = 1001 - 600000, .ack = 5001, .window = 65535));
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5001 - 2000000, .window = 65535));
	assert_invalid(says(SERVER, ACK, .seq = 5001 + 5000000, .ack = 1001, .window = 4000));
}

/* The client begins again before it was answered. */
static void
test_begin_again(void **state)
{
	assert_new(begin(&t, (struct segment){SYN, .seq = 1000, .window = 8000}));
	assert_new(says(CLIENT, SYN, .seq = 500000, .window = 8000));
	assert_established(says(SERVER, SYN | ACK, .seq = 5000, .ack = 500001, .window = 4000));
	assert_established(says(CLIENT, ACK, .seq = 500001, .ack = 5001, .window = 8000));
	assert_timeout(DAYS5);
}

static void
test_closed_window(void **state)
{
	handshake(NULL, NULL);
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5001, .payload = 4000));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 5001, .window = 0));
	assert_timeout(300);
	/* a probe (RFC 9293 3.8.6.1) */
	assert_established(says(CLIENT, ACK, .seq = 5001, .ack = 5001, .payload = 1));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 5001, .window = 0));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 5001, .window = 2000));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 5002, .window = 2000));
	assert_timeout(DAYS5);
}

/* Segments of what a host hands over to be cut: the length is that of the IP header. */
static void
test_large_segments(void **state)
{
	handshake("030307 00", "030307 00");
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1001, .window = 4000));
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5001, .payload = 65000));
	assert_invalid(says(SERVER, ACK, .seq = 5001, .ack = 66002, .window = 4000));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 66001, .window = 4000));
}

static void
test_scaling(void **state)
{
	static const struct {
		const char *client, *server;
		unsigned int shift; /* of the server's window */
	} cases[] = {{NULL, NULL, 0}, {"030307", NULL, 0}, {NULL, "030302", 0},
		{"030307", "030302", 2}, {"030300", "01 0303 0a", 10}, {"030300", "0303ff", 14},
		{"030300", "0303 07 00 0303 00", 7}, {"030300", "0304 0700", 0},
		{"030300", "0101 02040203 0303", 0}, {"030300", "0300 030307", 0}};
	for (unsigned int i = 0; i < RTE_DIM(cases); i++) {
		uint32_t limit = 1001 + (4000u << cases[i].shift);
		handshake(cases[i].client, cases[i].server);
		/* more than that window was the peer's offer never */
		assert_invalid(says(CLIENT, ACK, .seq = limit + (8000u << 14), .ack = 5001));
		assert_invalid(says(CLIENT, ACK, .seq = 2 * limit, .ack = 5001, .payload = limit));
		assert_established(says(CLIENT, ACK, .seq = limit, .ack = 5001));
	}
}

static void
test_sack(void **state)
{
	/* of what was sent; of what was not; the same in the second block; not permitted */
	const char *good = "0101 050a 000007d0 00000bb8", *bad = "0101 050a 000007d0 00000fff",
		   *worse = "0101 0512 000007d0 00000bb8 00000fa0 00001388",
		   *cut = "0101 0512 000007d0 00000fff", *odd = "0101 0509 000007d0 00000f";
	handshake("0402", "0402");
	assert_established(says(CLIENT, ACK, .seq = 2000, .ack = 5001, .payload = 1000));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1001, .options = good));
	assert_invalid(says(SERVER, ACK, .seq = 5001, .ack = 1001, .options = bad));
	assert_invalid(says(SERVER, ACK, .seq = 5001, .ack = 1001, .options = worse));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1001, .options = cut));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1001, .options = odd));
	handshake(NULL, "0402");
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1001, .options = bad));
}

static void
test_wraparound(void **state)
{
	uint32_t first = (uint32_t)-100;
	assert_new(begin(&t, (struct segment){SYN, .seq = first, .window = 8000}));
	assert_established(says(SERVER, SYN | ACK, .seq = first, .ack = first + 1, .window = 4000));
	assert_established(says(CLIENT, ACK, .seq = first + 1, .ack = first + 1, .payload = 500));
	assert_established(says(SERVER, ACK, .seq = first + 1, .ack = 401, .window = 4000));
	assert_invalid(says(SERVER, ACK, .seq = first + 1, .ack = 402, .window = 4000));
	assert_established(says(CLIENT, ACK, .seq = 401, .ack = first + 1, .payload = 500));
}

static void
test_reset(void **state)
{
	handshake(NULL, NULL);
	assert_established(
		says(SERVER, ACK, .seq = 5001, .ack = 1001, .window = 4000, .payload = 9));
	/* before what is acknowledged: blind or old */
	assert_invalid(says(SERVER, RST, .seq = 5000));
	assert_invalid(says(SERVER, RST, .seq = 5001 + 8001 + 8001));
	/* within the window: the client will challenge it (RFC 5961 3.2), the connection stays */
	assert_established(says(SERVER, RST, .seq = 5002));
	assert_timeout(10);
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5010, .window = 8000));
	assert_timeout(DAYS5);
	/* exact */
	assert_established(says(SERVER, RST, .seq = 5010));
	assert_timeout(10);
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5010, .window = 8000));
	assert_timeout(10);
}

/* Right behind what was sent last and is not acknowledged yet; after a FIN, whatever its numbers;
 * in answer to a SYN that was let through. */
static void
test_other_resets(void **state)
{
	handshake(NULL, NULL);
	assert_established(
		says(SERVER, ACK, .seq = 5001, .ack = 1001, .window = 4000, .payload = 9));
	assert_established(says(SERVER, RST, .seq = 5010));
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5010, .window = 8000));
	assert_timeout(10);

	handshake(NULL, NULL);
	assert_established(says(SERVER, FIN | ACK, .seq = 5001, .ack = 1001, .window = 4000));
	assert_established(says(SERVER, RST, .seq = 900000000));
	assert_timeout(10);

	handshake(NULL, NULL);
	assert_established(says(CLIENT, SYN, .seq = 300000, .window = 8000));
	assert_established(says(SERVER, RST | ACK, .seq = 0, .ack = 300001));
	assert_timeout(10);
}

/* Nobody there: nothing to remember. */
static void
test_refused(void **state)
{
	assert_new(begin(&t, (struct segment){SYN, .seq = 1000, .window = 8000}));
	assert_invalid(says(SERVER, RST | ACK, .seq = 0, .ack = 1002));
	assert_established(says(SERVER, RST | ACK, .seq = 0, .ack = 1001));
	assert_timeout(0);
	assert_int_equal(says(CLIENT, SYN, .seq = 2000), MSH_TRACK_REOPEN);
	/* some stacks forget the number */
	assert_new(begin(&t, (struct segment){SYN, .seq = 4000000000, .window = 8000}));
	assert_established(says(SERVER, RST | ACK, .seq = 0, .ack = 0));
	assert_timeout(0);
}

/* After an abort of the same host its next SYN begins anew; another's is only followed when it is
 * answered. */
static void
test_reopen_after_reset(void **state)
{
	handshake(NULL, NULL);
	assert_established(says(CLIENT, RST, .seq = 1001));
	assert_int_equal(says(CLIENT, SYN, .seq = 2000), MSH_TRACK_REOPEN);
	handshake(NULL, NULL);
	assert_established(says(SERVER, RST, .seq = 5001));
	assert_established(says(CLIENT, SYN, .seq = 100000, .window = 8000));
	assert_established(says(SERVER, SYN | ACK, .seq = 700000, .ack = 100001, .window = 4000));
	assert_established(says(CLIENT, ACK, .seq = 100001, .ack = 700001, .window = 8000));
	assert_timeout(DAYS5);
	assert_invalid(says(CLIENT, ACK, .seq = 1001, .ack = 800000, .window = 8000));
}

/* The client has lost the connection that the server has still (RFC 9293 3.5.1, figure 9). */
static void
test_half_open(void **state)
{
	handshake(NULL, NULL);
	assert_established(says(CLIENT, SYN, .seq = 300000, .window = 8000, .options = "030303"));
	assert_timeout(DAYS5);
	/* a forged answer does nothing */
	assert_established(says(SERVER, SYN | ACK, .seq = 7000, .ack = 300009, .window = 4000));
	assert_timeout(DAYS5);
	/* the server answers with an ACK, the client resets, and begins again */
	assert_established(says(CLIENT, SYN, .seq = 300000, .window = 8000));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 1001, .window = 4000));
	assert_established(says(CLIENT, RST, .seq = 1001));
	assert_timeout(10);
	assert_int_equal(says(CLIENT, SYN, .seq = 300000), MSH_TRACK_REOPEN);
	/* and if the server took it: from now on the new numbers count */
	handshake(NULL, NULL);
	assert_established(says(CLIENT, SYN, .seq = 300000, .window = 8000, .options = "030303"));
	assert_established(says(SERVER, SYN | ACK, .seq = 7000, .ack = 300001, .window = 4000,
		.options = "030304"));
	assert_timeout(60);
	assert_established(says(CLIENT, ACK, .seq = 300001, .ack = 7001, .window = 8000));
	assert_established(says(SERVER, ACK, .seq = 7001, .ack = 300001, .window = 4000));
	assert_established(says(CLIENT, ACK, .seq = 300001 + 64000, .ack = 7001, .window = 8000));
	assert_invalid(says(SERVER, ACK, .seq = 7001 + 140000, .ack = 300001, .window = 4000));
}

/* To a SYN in LAST_ACK the answer may be a challenge, which acknowledges no FIN (RFC 5961 4). */
static void
test_challenge(void **state)
{
	handshake(NULL, NULL);
	assert_established(says(SERVER, FIN | ACK, .seq = 5001, .ack = 1001, .window = 4000));
	assert_established(says(CLIENT, FIN | ACK, .seq = 1001, .ack = 5001, .window = 8000));
	assert_timeout(30);
	assert_established(says(CLIENT, SYN, .seq = 300000, .window = 8000));
	assert_established(says(SERVER, ACK, .seq = 5002, .ack = 1001, .window = 4000));
	assert_timeout(30);
	/* the server knows of another connection: the client resets that, and its SYN comes through
	 */
	assert_new(begin(&t, (struct segment){SYN, .seq = 300000, .window = 8000}));
	assert_established(says(SERVER, ACK, .seq = 77, .ack = 900000, .window = 4000));
	assert_established(says(CLIENT, RST, .seq = 900000));
	assert_timeout(10);
}

/* A forged answer to a SYN changes nothing for the true one. */
static void
test_forged_answer(void **state)
{
	assert_new(begin(&t, (struct segment){SYN, .seq = 1000, .window = 8000}));
	assert_invalid(says(SERVER, SYN | ACK, .seq = 2000000000, .ack = 999999, .window = 1));
	assert_established(says(SERVER, SYN | ACK, .seq = 5000, .ack = 1001, .window = 4000));
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5001, .window = 8000));
	assert_timeout(DAYS5);
}

/* Of a fragmented segment the end is not known: what acknowledges it is believed. */
static void
test_fragment(void **state)
{
	handshake(NULL, NULL);
	assert_established(
		says(CLIENT, ACK, .seq = 1001, .ack = 5001, .payload = 800, .more = true));
	assert_established(says(SERVER, ACK, .seq = 5001, .ack = 4001, .window = 4000));
}

/* The header is read only where it is whole, and within the datagram. */
static void
test_cut_short(void **state)
{
	struct msh_packet p = take_segment(
		CLIENT, (struct segment){SYN, .seq = 1000, .window = 8000, .options = "030307 00"});
	uint8_t ip[44];
	memcpy(ip, rte_pktmbuf_mtod_offset(p.mbuf, void *, 14), sizeof(ip));
	drop_packet(&p);
	for (size_t first = 20; first <= sizeof(ip); first++) {
		p = take_packet(ip, first, sizeof(ip));
		assert_int_equal(msh_track_begin(&t, &p, true, 0),
			first == sizeof(ip) ? MSH_TRACK_NEW : MSH_TRACK_INVALID);
		drop_packet(&p);
	}
	for (unsigned int words = 0; words < 16; words++) {
		ip[32] = (uint8_t)(words << 4);
		p = take_packet(ip, sizeof(ip), sizeof(ip));
		assert_int_equal(msh_track_begin(&t, &p, true, 0),
			words == 5 || words == 6 ? MSH_TRACK_NEW : MSH_TRACK_INVALID);
		drop_packet(&p);
	}
	ip[3] = 43; /* the datagram ends before the options do */
	ip[32] = 6 << 4;
	p = take_packet(ip, sizeof(ip), sizeof(ip));
	assert_invalid(msh_track_begin(&t, &p, true, 0));
	drop_packet(&p);
}

static void
test_timeouts_can_be_changed(void **state)
{
	struct msh_track_timeouts own = msh_track_timeouts_default;
	own.tcp[MSH_TRACK_OPEN] = 7440;
	own.tcp_unacknowledged = 20;
	handshake(NULL, NULL);
	assert_int_equal(msh_track_timeout(&t, IPPROTO_TCP, &own), 7440);
	assert_established(says(CLIENT, ACK, .seq = 1001, .ack = 5001, .payload = 100));
	assert_int_equal(msh_track_timeout(&t, IPPROTO_TCP, &own), 20);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_handshake),
		cmocka_unit_test(test_begin),
		cmocka_unit_test(test_pickup),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_close),
		cmocka_unit_test(test_simultaneous_open),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_begin_again),
		cmocka_unit_test(test_closed_window),
		cmocka_unit_test(test_large_segments),
		cmocka_unit_test(test_scaling),
		cmocka_unit_test(test_sack),
		cmocka_unit_test(test_wraparound),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_other_resets),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_reopen_after_reset),
		cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_challenge),
		cmocka_unit_test(test_forged_answer),
		cmocka_unit_test(test_fragment),
		cmocka_unit_test(test_cut_short),
		cmocka_unit_test(test_timeouts_can_be_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
