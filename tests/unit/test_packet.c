/* SPDX-License-Identifier: BSD-3-Clause */

/* The packet parser: frames made by hand, and random ones beside a naive parser. Frames lie at an
 * odd address at the end of a heap block of their size, so that the address sanitizer sees each
 * byte that is read behind them. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "packet.h"

/* Parse the first `first` bytes of a packet of `total`. */
static struct msh_packet
parse(const uint8_t *frame, size_t first, size_t total)
{
	struct rte_mbuf m = {.nb_segs = 1, .data_off = 1};
	struct msh_packet p;

	uint8_t *buffer = malloc(first + 1);
	assert_non_null(buffer);
	memcpy(buffer + 1, frame, first);
	m.buf_addr = buffer;
	m.data_len = (uint16_t)first;
	m.pkt_len = (uint32_t)total;
	memset(&p, 0xa5, sizeof(p)); /* nothing may be left as it was */
	msh_packet_parse(&p, &m);
	assert_ptr_equal(p.mbuf, &m);
	free(buffer);
	return p;
}

/* ---- frames made by hand: Ethernet header, then what hex digits say ---- */

struct bytes {
	uint8_t data[512];
	size_t length;
};

static void
put(struct bytes *b, const char *hex)
{
	for (; *hex != '\0'; hex++) {
		unsigned int byte;
		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		b->data[b->length++] = (uint8_t)byte;
		hex++;
	}
}

static struct msh_packet
parse_hex(const char *type_and_rest)
{
	struct bytes b = {.length = 0};

	put(&b, "525400000001 525400000002");
	put(&b, type_and_rest);
	return parse(b.data, b.length, b.length);
}

#define IPV4_UDP "4500001c 00000000 40110000 0a000001 0a000002 "
#define UDP "04d2 0035 0008 0000"
#define ADDRESSES6 "20010db8000000000000000000000001 20010db8000000000000000000000002 "

static void
test_ipv4(void **state)
{
	struct msh_packet p = parse_hex("0800" IPV4_UDP UDP);

	assert_int_equal(p.ether_type, 0x800);
	assert_false(p.tagged);
	assert_int_equal(p.ip_version, 4);
	assert_int_equal(p.l3, 14);
	assert_int_equal(p.l4, 34);
	assert_int_equal(p.proto, 17);
	assert_int_equal(p.tos, 0);
	assert_false(p.fragment);
	assert_true(p.has_ports);
	assert_int_equal(p.sport, 1234);
	assert_int_equal(p.dport, 53);

	/* TOS, options, ICMP: no ports */
	p = parse_hex(
		"0800 46b80020 00000000 40010000 0a000001 0a000002 94040000 0800f7ff00000000");
	assert_int_equal(p.ip_version, 4);
	assert_int_equal(p.tos, 0xb8);
	assert_int_equal(p.l4, 38);
	assert_false(p.has_ports);

	/* don't fragment is no fragment; the first fragment has ports, a later one has none */
	p = parse_hex("0800 4500001c 00004000 40110000 0a000001 0a000002" UDP);
	assert_false(p.fragment);
	p = parse_hex("0800 4500001c 00002000 40110000 0a000001 0a000002" UDP);
	assert_true(p.fragment && p.has_ports);
	p = parse_hex("0800 4500001c 00000001 40110000 0a000001 0a000002" UDP);
	assert_true(p.fragment && !p.has_ports && p.l4 == 0 && p.ip_version == 4);
}

static void
test_ipv4_bounds(void **state)
{
	struct msh_packet p;
	static const char *const malformed[] = {
		"0800 5500001c 00000000 40110000 0a000001 0a000002" UDP, /* version */
		"0800 4400001c 00000000 40110000 0a000001 0a000002" UDP, /* ihl below 5 */
		"0800 4f00001c 00000000 40110000 0a000001 0a000002" UDP, /* ihl beyond the frame */
		"0800 45000013 00000000 40110000 0a000001 0a000002" UDP, /* total below the header
									  */
		"0800 4500001d 00000000 40110000 0a000001 0a000002" UDP, /* total beyond the frame
									  */
		"0800 4500001c 00000000 40110000 0a000001 0a0000",       /* header cut short */
		"0800",
		"86dd" IPV4_UDP UDP,
	};

	for (size_t i = 0; i < RTE_DIM(malformed); i++) {
		p = parse_hex(malformed[i]);
		assert_int_equal(p.ip_version, 0);
		assert_int_equal(p.l3, 0);
		assert_int_equal(p.l4, 0);
		assert_false(p.has_ports);
	}
	/* Ethernet padding is not a transport header */
	p = parse_hex("0800 45000014 00000000 40110000 0a000001 0a000002" UDP);
	assert_true(p.ip_version == 4 && p.l4 == 0 && !p.has_ports);
	p = parse_hex("0800 45000017 00000000 40110000 0a000001 0a000002" UDP);
	assert_true(p.l4 == 34 && !p.has_ports);
	p = parse_hex("0800 45000018 00000000 40110000 0a000001 0a000002" UDP);
	assert_true(p.l4 == 34 && p.has_ports);
}

static void
test_first_segment(void **state)
{
	struct bytes b = {.length = 0};
	struct msh_packet p;

	put(&b, "525400000001 525400000002 0800" IPV4_UDP UDP);
	p = parse(b.data, 38, b.length);
	assert_true(p.has_ports);
	p = parse(b.data, 37, b.length);
	assert_true(p.ip_version == 4 && p.l4 == 34 && !p.has_ports);
	p = parse(b.data, 34, b.length);
	assert_true(p.ip_version == 4 && p.l4 == 0);
	p = parse(b.data, 33, b.length);
	assert_true(p.ip_version == 0 && p.ether_type == 0x800);
	/* the datagram ends in a later segment: fine; behind the last: malformed */
	p = parse(b.data, 34, b.length - 1);
	assert_int_equal(p.ip_version, 0);
}

static void
test_tags(void **state)
{
	struct msh_packet p = parse_hex("8100 a00a 0800" IPV4_UDP UDP);

	assert_true(p.tagged && p.tci == 0xa00a && p.ether_type == 0x800 && p.l3 == 18);
	p = parse_hex("88a8 6001 8100 a00a 0800" IPV4_UDP UDP);
	assert_true(p.tagged && p.tci == 0x6001 && p.l3 == 22 && p.l4 == 42);
	p = parse_hex("9100 0001 9100 0002 0806 0001");
	assert_true(p.tagged && p.tci == 1 && p.ether_type == 0x806 && p.ip_version == 0);
	/* of three tags, the third is what the frame carries */
	p = parse_hex("8100 0001 8100 0002 8100 0003 0800" IPV4_UDP UDP);
	assert_true(p.tagged && p.ether_type == 0x8100 && p.l3 == 0);
	p = parse_hex("8100 0001 08");
	assert_true(!p.tagged && p.ether_type == 0);
	p = parse_hex("88a8 0001 8100 0002");
	assert_true(p.tagged && p.tci == 1 && p.ether_type == 0);
	p = parse_hex("0026 4242 03"); /* 802.3 length */
	assert_true(!p.tagged && p.ether_type == 0x26 && p.l3 == 0);
}

static void
test_ipv6(void **state)
{
	struct msh_packet p = parse_hex("86dd 6b800000 0008 11 40" ADDRESSES6 UDP);

	assert_true(p.ip_version == 6 && p.l3 == 14 && p.l4 == 54 && p.proto == 17);
	assert_int_equal(p.tos, 0xb8);
	assert_true(p.has_ports && p.sport == 1234 && p.dport == 53 && !p.fragment);
	/* hop-by-hop, routing, destination options, AH of 16 bytes, then TCP */
	p = parse_hex("86dd 60000000 0030 00 40" ADDRESSES6
		      "2b00000000000000 3c00000000000000 3300000000000000"
		      "0602000000000000 0000000000000000 0050 1f90 00000000");
	assert_true(p.proto == 6 && p.l4 == 54 + 40 && p.sport == 80 && p.dport == 8080);
	/* first, later and atomic fragment */
	p = parse_hex("86dd 60000000 0010 2c 40" ADDRESSES6 "1100000100000001" UDP);
	assert_true(p.fragment && p.proto == 17 && p.has_ports);
	p = parse_hex("86dd 60000000 0010 2c 40" ADDRESSES6 "1100000800000001" UDP);
	assert_true(p.fragment && p.proto == 17 && !p.has_ports && p.l4 == 0);
	p = parse_hex("86dd 60000000 0010 2c 40" ADDRESSES6 "1100000000000001" UDP);
	assert_true(!p.fragment && p.has_ports);
	/* no next header, and an extension header that runs out of the datagram */
	p = parse_hex("86dd 60000000 0008 3b 40" ADDRESSES6 UDP);
	assert_true(p.ip_version == 6 && p.proto == 59 && p.l4 == 0);
	p = parse_hex("86dd 60000000 0008 00 40" ADDRESSES6 "1101000000000000" UDP);
	assert_true(p.ip_version == 6 && p.proto == 0 && p.l4 == 0);
	/* payload beyond the frame, wrong version */
	p = parse_hex("86dd 60000000 0009 11 40" ADDRESSES6 UDP);
	assert_true(p.ip_version == 0 && p.l3 == 0);
	p = parse_hex("86dd 40000000 0008 11 40" ADDRESSES6 UDP);
	assert_true(p.ip_version == 0 && p.l3 == 0);
}

static void
test_ipv6_walk_is_bounded(void **state)
{
	for (unsigned int n = 7; n <= 9; n++) {
		struct bytes b = {.length = 0};
		put(&b, "525400000001 525400000002 86dd 60000000 0000 3c 40" ADDRESSES6);
		b.data[19] = (uint8_t)(n * 8 + 8);
		for (unsigned int i = 0; i < n; i++)
			put(&b, i + 1 < n ? "3c00000000000000" : "1100000000000000");
		put(&b, UDP);
		struct msh_packet p = parse(b.data, b.length, b.length);
		assert_int_equal(p.ip_version, 6);
		assert_int_equal(p.has_ports, n <= 8);
		assert_int_equal(p.proto, n <= 8 ? 17 : 60);
		assert_int_equal(p.l4, n <= 8 ? 54 + n * 8 : 0);
	}
}

/* ---- a naive parser: bytes of the first segment, -1 behind its end ---- */

struct naive {
	const uint8_t *data;
	size_t end, total;
};

static long
at(const struct naive *n, size_t offset, unsigned int bytes)
{
	long value = 0;

	for (unsigned int i = 0; i < bytes; i++) {
		if (offset + i >= n->end)
			return -1;
		value = value * 256 + n->data[offset + i];
	}
	return value;
}

static void
naive_ports(const struct naive *n, size_t l4, size_t datagram_end, struct msh_packet *p)
{
	if (at(n, l4, 1) < 0 || l4 >= datagram_end)
		return;
	p->l4 = (uint16_t)l4;
	if (strchr("\x06\x11\x21\x84\x88", p->proto) == NULL || p->proto == 0)
		return;
	if (at(n, l4, 4) >= 0 && l4 + 4 <= datagram_end) {
		p->has_ports = true;
		p->sport = (uint16_t)at(n, l4, 2);
		p->dport = (uint16_t)at(n, l4 + 2, 2);
	}
}

static void
naive_ip6(const struct naive *n, size_t l3, struct msh_packet *p)
{
	size_t at6 = l3 + 40, end = at6 + (size_t)at(n, l3 + 4, 2), size;
	long next = at(n, l3 + 6, 1);

	p->tos = (uint8_t)(at(n, l3, 2) >> 4 & 255);
	for (int walked = 0;; walked++, at6 += size) {
		p->proto = (uint8_t)next;
		if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60)
			break;
		if (walked == 8 || at(n, at6 + 7, 1) < 0 || at6 + 8 > end)
			return;
		size = next == 44   ? 8
		       : next == 51 ? 8 + 4 * (size_t)at(n, at6 + 1, 1)
				    : 8 + 8 * (size_t)at(n, at6 + 1, 1);
		if (at6 + size > end || at6 + size > n->end)
			return;
		if (next == 44) {
			p->fragment |= (at(n, at6 + 2, 2) & ~6) != 0;
			if (at(n, at6 + 2, 2) >> 3 != 0) {
				p->proto = (uint8_t)at(n, at6, 1);
				return;
			}
		}
		next = at(n, at6, 1);
	}
	if (next != 59)
		naive_ports(n, at6, end, p);
}

static struct msh_packet
naive_parse(const uint8_t *frame, size_t first, size_t total)
{
	struct naive n = {frame, first, total};
	struct msh_packet p = {0};
	size_t l3 = 14;
	long type = at(&n, 12, 2);

	while ((type == 0x8100 || type == 0x88a8 || type == 0x9100) && l3 < 22) {
		if (at(&n, l3, 4) < 0) {
			type = 0;
			break;
		}
		if (l3 == 14)
			p.tci = (uint16_t)at(&n, l3, 2);
		p.tagged = true;
		type = at(&n, l3 + 2, 2);
		l3 += 4;
	}
	p.ether_type = (uint16_t)type;
	long first_byte = at(&n, l3, 1);
	if (type == 0x800 && first_byte >> 4 == 4) {
		size_t header = (size_t)(first_byte & 15) * 4, length = (size_t)at(&n, l3 + 2, 2);
		if (header < 20 || l3 + header > first || length < header || l3 + length > total)
			return p;
		long fragment = at(&n, l3 + 6, 2);
		p.ip_version = 4;
		p.l3 = (uint16_t)l3;
		p.tos = (uint8_t)at(&n, l3 + 1, 1);
		p.proto = (uint8_t)at(&n, l3 + 9, 1);
		p.fragment = (fragment & 0x3fff) != 0;
		if ((fragment & 0x1fff) == 0)
			naive_ports(&n, l3 + header, l3 + length, &p);
	} else if (type == 0x86dd && first_byte >> 4 == 6 && l3 + 40 <= first &&
		   l3 + 40 + (size_t)at(&n, l3 + 4, 2) <= total) {
		p.ip_version = 6;
		p.l3 = (uint16_t)l3;
		naive_ip6(&n, l3, &p);
	}
	return p;
}

static void
assert_same(const struct msh_packet *p, const struct msh_packet *want)
{
	assert_int_equal(p->ether_type, want->ether_type);
	assert_int_equal(p->tagged, want->tagged);
	assert_int_equal(p->tci, want->tci);
	assert_int_equal(p->l3, want->l3);
	assert_int_equal(p->l4, want->l4);
	assert_int_equal(p->ip_version, want->ip_version);
	assert_int_equal(p->proto, want->proto);
	assert_int_equal(p->tos, want->tos);
	assert_int_equal(p->fragment, want->fragment);
	assert_int_equal(p->has_ports, want->has_ports);
	assert_int_equal(p->sport, want->sport);
	assert_int_equal(p->dport, want->dport);
}

/* A frame that is mostly well formed, so that the parser gets far. */
static size_t
random_frame(uint8_t *frame)
{
	static const uint8_t kinds[] = {0, 43, 44, 51, 60, 60, 6, 17, 33, 50, 58, 59, 132, 136, 1};
	static const uint16_t tpids[] = {0x8100, 0x88a8, 0x9100};
	size_t length = 14 + any(120), l3 = 12;

	for (size_t i = 0; i < 140; i++)
		frame[i] = (uint8_t)(any(3) == 0 ? any(256) : 0);
	for (unsigned int tags = any(4) == 0 ? any(4) : 0; tags > 0; tags--, l3 += 4) {
		uint16_t tpid = tpids[any(3)];
		frame[l3] = (uint8_t)(tpid >> 8);
		frame[l3 + 1] = (uint8_t)tpid;
	}
	bool six = any(2) == 0;
	memcpy(frame + l3, six ? "\x86\xdd\x60" : "\x08\x00\x45", 3);
	l3 += 2;
	size_t left = length > l3 ? length - l3 : 0;
	if (six) {
		frame[l3 + 4] = 0;
		frame[l3 + 5] = (uint8_t)(left > 40 ? left - 40 : any(4));
		frame[l3 + 6] = kinds[any(RTE_DIM(kinds))];
		for (size_t i = l3 + 40; i < 132; i += 8) {
			frame[i] = kinds[any(RTE_DIM(kinds))];
			frame[i + 1] = (uint8_t)any(2);
		}
	} else {
		frame[l3] = (uint8_t)(0x45 + (any(4) == 0 ? any(11) : 0));
		frame[l3 + 2] = 0;
		frame[l3 + 3] = (uint8_t)left;
		frame[l3 + 9] = kinds[any(RTE_DIM(kinds))];
	}
	if (any(4) == 0)
		frame[any(140)] ^= (uint8_t)(1u << any(8));
	return length;
}

static void
test_random(void **state)
{
	unsigned int four = 0, six = 0, ports = 0;

	for (unsigned int i = 0; i < 300000; i++) {
		uint8_t frame[140];
		size_t length = random_frame(frame), first = length;
		if (any(3) == 0)
			first = 14 + any((uint32_t)length - 13);
		size_t total = any(2) == 0 ? first : length;
		struct msh_packet p = parse(frame, first, total);
		struct msh_packet want = naive_parse(frame, first, total);
		assert_same(&p, &want);
		four += p.ip_version == 4;
		six += p.ip_version == 6;
		ports += p.has_ports;
	}
	/* the generator reaches what it is for */
	assert_true(four > 10000 && six > 10000 && ports > 10000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv4_bounds),
		cmocka_unit_test(test_first_segment),
		cmocka_unit_test(test_tags),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_ipv6_walk_is_bounded),
		cmocka_unit_test(test_random),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
