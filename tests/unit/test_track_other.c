/* SPDX-License-Identifier: BSD-3-Clause */

/* The connection tracker: keys, ICMP errors, and what has no sequence numbers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "frames.h"
#include "segments.h"

#define A6 "fd000000000000000000000000000001 "
#define B6 "fd000000000000000000000000000002 "
#define C6 "fd000000000000000000000000000003 "
#define A4 "0a000001 "
#define B4 "0a000002 "
#define C4 "0a000003 "
#define UDP "03e8 07d0 0008 0000 "

static struct msh_track t;

/* An IP packet from hex digits; its length is put in. */
static struct msh_packet
packet(const char *hex)
{
	uint8_t ip[256];
	size_t length = from_hex(ip, hex);
	if (ip[0] >> 4 == 4)
		put16(ip + 2, (uint16_t)length);
	else
		put16(ip + 4, (uint16_t)(length - 40));
	return take_packet(ip, length, length);
}

static enum msh_track_verdict
key_of(const char *hex, struct msh_track_key *key)
{
	struct msh_packet p = packet(hex);
	memset(key, 0xa5, sizeof(*key));
	enum msh_track_verdict verdict = msh_track_key(&p, key);
	drop_packet(&p);
	return verdict;
}

static enum msh_track_verdict
begin_hex(const char *hex, uint32_t now)
{
	struct msh_packet p = packet(hex);
	enum msh_track_verdict verdict = msh_track_begin(&t, &p, true, now);
	drop_packet(&p);
	return verdict;
}

static enum msh_track_verdict
next_hex(enum msh_track_direction from, const char *hex, uint32_t now)
{
	struct msh_packet p = packet(hex);
	enum msh_track_verdict verdict = msh_track_next(&t, from, &p, now);
	drop_packet(&p);
	return verdict;
}

static uint32_t
timeout(uint8_t proto)
{
	return msh_track_timeout(&t, proto, &msh_track_timeouts_default);
}

/* The key of a packet is this one's, in the same direction or the other. */
static void
assert_key(const char *hex, enum msh_track_verdict verdict, const struct msh_track_key *want,
	enum msh_track_direction direction)
{
	struct msh_track_key key, back = *want;
	memcpy(back.source, want->destination, 16);
	memcpy(back.destination, want->source, 16);
	back.sport = want->dport;
	back.dport = want->sport;
	assert_int_equal(key_of(hex, &key), verdict);
	assert_memory_equal(&key, direction == MSH_TRACK_ORIGINAL ? want : &back, sizeof(key));
}

#define V4(proto, from, to) "45000000 00000000 40" proto "0000" from to
/* as an error quotes it, of 28 bytes once */
#define Q4(proto, from, to) "4500001c 00000000 40" proto "0000" from to
#define V6(next, from, to) "60000000 0000" next "40" from to

static void
test_keys(void **state)
{
	struct msh_track_key key;
	assert_int_equal(key_of(V4("11", A4, B4) UDP, &key), MSH_TRACK_NEW);
	assert_int_equal(key.ip_version, 4);
	assert_int_equal(key.proto, IPPROTO_UDP);
	assert_int_equal(key.sport, 1000);
	assert_int_equal(key.dport, 2000);
	assert_memory_equal(key.source, "\x0a\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_memory_equal(key.destination, "\x0a\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	assert_key(V4("11", B4, A4) "07d0 03e8 0008 0000", MSH_TRACK_NEW, &key, MSH_TRACK_REPLY);
	assert_int_equal(key_of(V6("11", A6, B6) UDP, &key), MSH_TRACK_NEW);
	assert_key(V6("11", B6, A6) "07d0 03e8 0008 0000", MSH_TRACK_NEW, &key, MSH_TRACK_REPLY);
	/* GRE has no ports; those of TCP are missing; a later fragment */
	assert_int_equal(key_of(V4("2f", A4, B4) "00000800", &key), MSH_TRACK_NEW);
	assert_int_equal(key.sport, 0);
	assert_int_equal(key_of(V4("06", A4, B4) "03e807", &key), MSH_TRACK_INVALID);
	assert_int_equal(key_of("45000000 00000001 40110000" A4 B4 UDP, &key), MSH_TRACK_UNTRACKED);
	assert_int_equal(key_of("45000000 00002000 40110000" A4 B4 UDP, &key), MSH_TRACK_NEW);
}

static void
test_icmp(void **state)
{
	struct msh_track_key key;
	assert_int_equal(key_of(V4("01", A4, B4) "0800 0000 0102 0001", &key), MSH_TRACK_NEW);
	assert_key(V4("01", B4, A4) "0000 0000 0102 0009", MSH_TRACK_NEW, &key, MSH_TRACK_REPLY);
	/* the other's own query is another connection */
	struct msh_track_key other;
	assert_int_equal(key_of(V4("01", B4, A4) "0800 0000 0102 0001", &other), MSH_TRACK_NEW);
	assert_int_not_equal(other.sport, key.dport);
	assert_int_equal(key_of(V4("01", A4, B4) "0a00 0000 0102 0001", &key), MSH_TRACK_INVALID);
	assert_int_equal(key_of(V4("01", A4, B4) "0800 0000 0102", &key), MSH_TRACK_INVALID);

	assert_int_equal(begin_hex(V4("01", A4, B4) "0000 0000 0102 0001", 0), MSH_TRACK_INVALID);
	assert_int_equal(begin_hex(V4("01", A4, B4) "0d00 0000 0102 0001", 0), MSH_TRACK_NEW);
	assert_int_equal(timeout(IPPROTO_ICMP), 30);
	assert_int_equal(next_hex(0, V4("01", A4, B4) "0d00 0000 0102 0002", 0), MSH_TRACK_NEW);
	assert_int_equal(
		next_hex(1, V4("01", B4, A4) "0e00 0000 0102 0001", 0), MSH_TRACK_ESTABLISHED);
	assert_int_equal(
		next_hex(0, V4("01", A4, B4) "0d00 0000 0102 0003", 0), MSH_TRACK_ESTABLISHED);
	assert_int_equal(next_hex(1, V4("01", B4, A4) "0d00 0000 0102 0001", 0), MSH_TRACK_INVALID);

	assert_int_equal(begin_hex(V6("3a", A6, B6) "8000 0000 0102 0001", 0), MSH_TRACK_NEW);
	assert_int_equal(
		next_hex(1, V6("3a", B6, A6) "8100 0000 0102 0001", 0), MSH_TRACK_ESTABLISHED);
	assert_int_equal(begin_hex(V6("3a", A6, B6) "8100 0000 0102 0001", 0), MSH_TRACK_INVALID);
	/* ICMP of the other version is some protocol */
	assert_int_equal(key_of(V6("01", A6, B6) "0800 0000 0102 0001", &key), MSH_TRACK_NEW);
	assert_int_equal(key.sport, 0);
}

/* Neighbor and multicast listener discovery must work before anything is known. */
static void
test_discovery(void **state)
{
	struct msh_track_key key;
	for (unsigned int type = 128; type < 256; type++) {
		char hex[256];
		bool known = (type >= 130 && type <= 137) || type == 143;
		bool query = type <= 129 || type == 139 || type == 140;
		snprintf(hex, sizeof(hex), V6("3a", A6, B6) "%02x00 0000 0000 0000", type);
		assert_int_equal(key_of(hex, &key), known   ? MSH_TRACK_UNTRACKED
						    : query ? MSH_TRACK_NEW
							    : MSH_TRACK_INVALID);
	}
}

static void
test_udp(void **state)
{
	const char *there = V4("11", A4, B4) UDP, *back = V4("11", B4, A4) UDP;
	assert_int_equal(begin_hex(there, 100), MSH_TRACK_NEW);
	assert_int_equal(timeout(IPPROTO_UDP), 30);
	assert_int_equal(next_hex(0, there, 110), MSH_TRACK_NEW);
	assert_int_equal(timeout(IPPROTO_UDP), 30);
	assert_int_equal(next_hex(1, back, 110), MSH_TRACK_ESTABLISHED);
	assert_int_equal(timeout(IPPROTO_UDP), 30);
	assert_false(msh_track_is_assured(&t));
	assert_int_equal(next_hex(0, there, 110), MSH_TRACK_ESTABLISHED);
	assert_int_equal(timeout(IPPROTO_UDP), 120);
	assert_true(msh_track_is_assured(&t));

	/* A question and its answer are no stream; the clock may wrap. */
	assert_int_equal(begin_hex(there, UINT32_MAX), MSH_TRACK_NEW);
	assert_int_equal(next_hex(1, back, UINT32_MAX), MSH_TRACK_ESTABLISHED);
	assert_int_equal(next_hex(0, there, 1), MSH_TRACK_ESTABLISHED);
	assert_int_equal(timeout(IPPROTO_UDP), 30);
	assert_int_equal(next_hex(0, there, 2), MSH_TRACK_ESTABLISHED);
	assert_int_equal(timeout(IPPROTO_UDP), 120);

	/* RFC 768: the length */
	assert_int_equal(begin_hex(V4("11", A4, B4) "03e8 07d0 0007 0000", 0), MSH_TRACK_INVALID);
	assert_int_equal(begin_hex(V4("11", A4, B4) "03e8 07d0 0009 0000", 0), MSH_TRACK_INVALID);
	assert_int_equal(begin_hex(V4("11", A4, B4) "03e8 07d0 0008", 0), MSH_TRACK_INVALID);
	assert_int_equal(next_hex(0, V4("11", A4, B4) "03e8 07d0 0009 0000", 9), MSH_TRACK_INVALID);
	assert_int_equal(begin_hex("45000000 00002000 40110000" A4 B4 "03e8 07d0 ffff 0000", 0),
		MSH_TRACK_NEW);
}

static void
test_others(void **state)
{
	assert_int_equal(begin_hex(V4("2f", A4, B4) "00000800", 0), MSH_TRACK_NEW);
	assert_int_equal(next_hex(0, V4("2f", A4, B4) "00000800", 100), MSH_TRACK_NEW);
	assert_int_equal(next_hex(1, V4("2f", B4, A4) "00000800", 100), MSH_TRACK_ESTABLISHED);
	assert_int_equal(next_hex(0, V4("2f", A4, B4) "00000800", 100), MSH_TRACK_ESTABLISHED);
	assert_int_equal(timeout(IPPROTO_GRE), 600);
}

/* ---- ICMP errors ---- */

static void
test_related4(void **state)
{
	static const uint8_t errors[] = {3, 4, 5, 11, 12};
	struct msh_track_key key, icmp;
	key_of(V4("11", A4, B4) UDP, &key);
	for (unsigned int type = 0; type < 256; type++) {
		char hex[256];
		/* a router C about what went from A to B */
		snprintf(hex, sizeof(hex),
			V4("01", C4, A4) "%02x01 0000 00000000" Q4("11", A4, B4) UDP, type);
		if (memchr(errors, (int)type, sizeof(errors)) != NULL)
			assert_key(hex, MSH_TRACK_RELATED, &key, MSH_TRACK_ORIGINAL);
		else
			assert_int_not_equal(key_of(hex, &icmp), MSH_TRACK_RELATED);
	}
	/* of a larger packet the first 8 bytes; of a query; of a packet with IP options */
	assert_key(V4("01", C4, A4) "0301 0000 00000000 450005dc 00004000 40110000" A4 B4 UDP,
		MSH_TRACK_RELATED, &key, MSH_TRACK_ORIGINAL);
	assert_key(V4("01", C4, A4) "0301 0000 00000000 460005dc 00004000 40110000" A4 B4
				    "01010101" UDP,
		MSH_TRACK_RELATED, &key, MSH_TRACK_ORIGINAL);
	key_of(V4("01", A4, B4) "0800 0000 0102 0001", &icmp);
	assert_key(V4("01", C4, A4) "0301 0000 00000000" Q4("01", A4, B4) "0800 0000 0102 0001",
		MSH_TRACK_RELATED, &icmp, MSH_TRACK_ORIGINAL);
}

static void
test_not_related(void **state)
{
	static const char *const bad[] = {
		/* to somebody else than who sent it */
		V4("01", C4, B4) "0301 0000 00000000" Q4("11", A4, B4) UDP,
		/* about an error; about a later fragment; about no IP; about IPv6 */
		V4("01", C4, A4) "0301 0000 00000000" Q4("01", A4, B4) "0301 0000 00000000",
		V4("01", C4, A4) "0301 0000 00000000 4500001c 00000001 40110000" A4 B4 UDP,
		V4("01", C4, A4) "0301 0000 00000000 0500001c 00000000 40110000" A4 B4 UDP,
		V4("01", C4, A4) "0301 0000 00000000" V6("11", A6, B6) UDP,
		/* a header length beyond the end, and one too short */
		V4("01", C4, A4) "0301 0000 00000000 4f00001c 00000000 40110000" A4 B4 UDP,
		V4("01", C4, A4) "0301 0000 00000000 4400001c 00000000 40110000" A4 B4 UDP,
		/* the quoted datagram ends before its ports do */
		V4("01", C4, A4) "0301 0000 00000000 45000017 00000000 40110000" A4 B4 UDP,
	};
	struct msh_track_key key;
	for (size_t i = 0; i < RTE_DIM(bad); i++)
		assert_int_equal(key_of(bad[i], &key), MSH_TRACK_INVALID);
}

static void
test_related6(void **state)
{
	struct msh_track_key key, other;
	key_of(V6("11", A6, B6) UDP, &key);
	for (unsigned int type = 0; type < 256; type++) {
		char hex[512];
		snprintf(hex, sizeof(hex),
			V6("3a", C6, A6) "%02x00 0000 00000000 60000000 05dc 1140" A6 B6 UDP, type);
		if (type < 128)
			assert_key(hex, MSH_TRACK_RELATED, &key, MSH_TRACK_ORIGINAL);
		else
			assert_int_not_equal(key_of(hex, &other), MSH_TRACK_RELATED);
	}
	/* behind extension headers, within and without */
	assert_key("60000000 0000 00 40" C6 A6 "3a00 000000000000"
		   "0100 0000 00000000 60000000 05dc 3c40" A6 B6
		   "2c00000000000000 1100000100000007" UDP,
		MSH_TRACK_RELATED, &key, MSH_TRACK_ORIGINAL);
	assert_int_equal(
		key_of(V6("3a", C6, A6) "0100 0000 00000000 60000000 05dc 3c40" A6 B6 "1101",
			&other),
		MSH_TRACK_INVALID);
}

/* However much of it there is, and whatever the outer header says of that. */
static void
test_quoted_bounds(void **state)
{
	static const char *const whole[] = {V4("01", C4, A4) "0301 0000 00000000" Q4("11", A4, B4)
						    UDP,
		V6("3a", C6, A6) "0100 0000 00000000 60000000 0010 3c40" A6 B6
				 "1100000000000000" UDP};
	for (unsigned int v = 0; v < 2; v++) {
		uint8_t ip[256];
		struct msh_track_key key;
		size_t length = from_hex(ip, whole[v]), ports_end = length - 4;
		put16(ip + (v == 0 ? 2 : 4), (uint16_t)(v == 0 ? length : length - 40));
		for (size_t first = 20; first <= length; first++) {
			struct msh_packet p = take_packet(ip, first, length);
			assert_int_equal(
				msh_track_key(&p, &key) == MSH_TRACK_RELATED, first >= ports_end);
			drop_packet(&p);
		}
		for (size_t total = v == 0 ? 20 : 40; total <= length; total++) {
			put16(ip + (v == 0 ? 2 : 4), (uint16_t)(v == 0 ? total : total - 40));
			struct msh_packet p = take_packet(ip, length, length);
			assert_int_equal(
				msh_track_key(&p, &key) == MSH_TRACK_RELATED, total >= ports_end);
			drop_packet(&p);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_icmp),
		cmocka_unit_test(test_discovery),
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_related4),
		cmocka_unit_test(test_not_related),
		cmocka_unit_test(test_related6),
		cmocka_unit_test(test_quoted_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
