/* SPDX-License-Identifier: BSD-3-Clause */

/* Checksums and segments that a guest left to us, against naive sums over the bytes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <netinet/in.h>
#include <rte_ether.h>
#include <string.h>

#include "frames.h"
#include "unfinished.h"
#include "vring_guest.h"

#define LONGEST 65557

/* A packet as bytes, and where its parts begin. */
struct sample {
	uint8_t data[LONGEST];
	uint32_t length, l3, l4, behind; /* behind: the transport header */
	bool v6, tcp;
};

/* RFC 1071, byte by byte. */
static uint32_t
add(uint32_t sum, const uint8_t *data, uint32_t length)
{
	for (uint32_t i = 0; i < length; i++)
		sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static uint32_t
pseudo(const struct sample *s)
{
	uint8_t tail[4] = {0, s->tcp ? IPPROTO_TCP : IPPROTO_UDP};
	put16(tail + 2, (uint16_t)(s->length - s->l4));
	return add(add(0, tail, 4), s->data + s->l3 + (s->v6 ? 8 : 12), s->v6 ? 32 : 8);
}

static uint16_t
get16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t
get32(const uint8_t *at)
{
	return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static uint8_t *
checksum_of(struct sample *s)
{
	return s->data + s->l4 + (s->tcp ? 16 : 6);
}

/* TCP or UDP with `tags` VLAN tags, all else random, as a guest leaves it. */
static void
make_sample(struct sample *s, bool v6, bool tcp, unsigned int tags, uint32_t payload)
{
	uint32_t options = v6 ? 0 : any(11) * 4, header = tcp ? 20 + any(11) * 4 : 8;
	s->v6 = v6;
	s->tcp = tcp;
	s->l3 = 14 + 4 * tags;
	s->l4 = s->l3 + (v6 ? 40 : 20 + options);
	s->behind = s->l4 + header;
	s->length = s->behind + payload;
	for (uint32_t i = 0; i < s->length; i++)
		s->data[i] = (uint8_t)any(256);
	for (unsigned int t = 0; t < tags; t++)
		put16(s->data + 12 + 4 * t, RTE_ETHER_TYPE_VLAN);
	put16(s->data + s->l3 - 2, v6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4);
	uint8_t *ip = s->data + s->l3;
	if (v6) {
		ip[0] = 0x60;
		ip[6] = tcp ? IPPROTO_TCP : IPPROTO_UDP;
		put16(ip + 4, (uint16_t)(s->length - s->l4));
	} else {
		ip[0] = (uint8_t)(0x45 + options / 4);
		ip[9] = tcp ? IPPROTO_TCP : IPPROTO_UDP;
		put16(ip + 2, (uint16_t)(s->length - s->l3));
		put16(ip + 6, 0x4000);
	}
	if (tcp)
		s->data[s->l4 + 12] = (uint8_t)(header / 4 << 4);
	put16(checksum_of(s), (uint16_t)pseudo(s));
}

static struct virtio_net_hdr_v1
header_of(const struct sample *s, uint16_t segment)
{
	struct virtio_net_hdr_v1 h = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)s->l4,
		.csum_offset = s->tcp ? 16 : 6,
		.num_buffers = 1,
	};
	if (segment > 0) {
		h.gso_type = s->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		h.gso_size = segment;
		h.hdr_len = (uint16_t)s->behind;
	}
	return h;
}

/* The head of the sample in an mbuf, the rest in pieces that lie in the sample itself. */
static struct rte_mbuf *
receive(struct sample *s, const struct virtio_net_hdr_v1 *header)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint32_t head = RTE_MIN(s->length, MSH_HEAD_BYTES), at = head;
	assert_non_null(m);
	memcpy(rte_pktmbuf_append(m, (uint16_t)head), s->data, head);
	struct msh_rest *rest = msh_rest_of(m);
	rest->parts = 0;
	for (uint32_t most = 1 + any(MSH_REST_PARTS); at < s->length;
		at += rest->part[rest->parts++].length) {
		uint32_t left = s->length - at;
		rest->part[rest->parts].bytes = s->data + at;
		rest->part[rest->parts].length =
			rest->parts + 1 == most ? left : 1 + any(RTE_MIN(left, 8000u));
	}
	m->pkt_len = s->length;
	rest->raw = *header;
	m->ol_flags |= MSH_RAW_HEADER;
	return m;
}

static void
copy_out(struct sample *to, const struct sample *like, struct rte_mbuf *m)
{
	*to = (struct sample){.v6 = like->v6,
		.tcp = like->tcp,
		.l3 = like->l3,
		.l4 = like->l4,
		.behind = like->behind,
		.length = m->pkt_len};
	rte_mbuf_sanity_check(m, 1);
	const uint8_t *bytes = rte_pktmbuf_read(m, 0, m->pkt_len, to->data);
	assert_non_null(bytes);
	if (bytes != to->data)
		memcpy(to->data, bytes, m->pkt_len);
}

static void
check_sum(const struct sample *s)
{
	assert_int_equal(add(pseudo(s), s->data + s->l4, s->length - s->l4), 0xffff);
}

static void
sums(void **state)
{
	static struct sample s, out;
	for (unsigned int i = 0; i < 2000; i++) {
		make_sample(&s, i & 1, i & 2, i / 4 % 3, any(9000));
		struct virtio_net_hdr_v1 header = header_of(&s, 0);
		struct rte_mbuf *m = receive(&s, &header);
		assert_true(msh_unfinished_accept(m));
		/* Who takes it so is told the same. */
		struct virtio_net_hdr_v1 told = msh_unfinished_header(m);
		assert_memory_equal(&told, &header, sizeof(header));
		assert_false(msh_unfinished_for(m, MSH_TAKES_CSUM));
		assert_true(msh_unfinished_for(m, 0));
		assert_int_equal(msh_unfinished_sum(m), 0);
		assert_false(msh_unfinished_for(m, 0));
		copy_out(&out, &s, m);
		check_sum(&out);
		memcpy(checksum_of(&s), checksum_of(&out), 2);
		assert_memory_equal(out.data, s.data, s.length);
		rte_pktmbuf_free(m);
	}
}

/* One segment of what was cut: right by itself, and the next part of the whole. */
static void
check_segment(
	struct sample *out, const struct sample *s, uint32_t *done, unsigned int index, bool last)
{
	const uint8_t *ip = out->data + out->l3, *tcp = out->data + out->l4;
	uint8_t flags = s->data[s->l4 + 13], want = flags;
	if (!out->v6) {
		assert_int_equal(get16(ip + 2), out->length - out->l3);
		assert_int_equal(add(0, ip, out->l4 - out->l3), 0xffff);
		assert_int_equal(get16(ip + 4), (uint16_t)(get16(s->data + s->l3 + 4) + index));
	} else {
		assert_int_equal(get16(ip + 4), out->length - out->l4);
	}
	check_sum(out);
	assert_int_equal(get32(tcp + 4), get32(s->data + s->l4 + 4) + *done);
	if (!last)
		want &= 0xf6; /* FIN, PSH */
	if (index > 0)
		want &= 0x7f; /* CWR */
	assert_int_equal(tcp[13], want);
	assert_memory_equal(
		out->data + out->behind, s->data + s->behind + *done, out->length - out->behind);
	*done += out->length - out->behind;
}

static void
segments(void **state)
{
	static struct sample s, out;
	for (unsigned int i = 0; i < 600; i++) {
		struct rte_mbuf *cut[MSH_SEGMENTS_MAX];
		uint16_t size = (uint16_t)(520 + any(9000));
		uint32_t done = 0, payload = 1 + any(65535 - 160);
		make_sample(&s, i & 1, true, i / 2 % 3, payload);
		struct virtio_net_hdr_v1 header = header_of(&s, size);
		struct rte_mbuf *m = receive(&s, &header);
		assert_true(msh_unfinished_accept(m));
		struct virtio_net_hdr_v1 told = msh_unfinished_header(m);
		assert_memory_equal(&told, &header, sizeof(header));
		assert_true(msh_unfinished_for(m, MSH_TAKES_CSUM));
		assert_true(msh_unfinished_for(
			m, MSH_TAKES_CSUM | (s.v6 ? MSH_TAKES_TSO4 : MSH_TAKES_TSO6)));
		assert_int_equal(msh_frame_length(m), s.behind + RTE_MIN(payload, size));
		int n = msh_unfinished_cut(m, pool, cut);
		assert_int_equal(n, (payload + size - 1) / size);
		for (int j = 0; j < n; j++) {
			copy_out(&out, &s, cut[j]);
			assert_int_equal(cut[j]->ol_flags & MSH_UNFINISHED, 0);
			check_segment(&out, &s, &done, (unsigned int)j, j == n - 1);
		}
		assert_int_equal(done, payload);
		rte_pktmbuf_free_bulk(cut, (unsigned int)n);
		rte_pktmbuf_free(m);
	}
}

/* An inner checksum, as of a tunnel: computed at once, wherever it is. */
static void
other_places(void **state)
{
	static struct sample s, out;
	for (unsigned int i = 0; i < 500; i++) {
		make_sample(&s, false, true, 0, 200 + any(2000));
		struct virtio_net_hdr_v1 header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
			.csum_start = (uint16_t)(s.behind + any(40)),
			.csum_offset = (uint16_t)any(20)};
		uint32_t at = (uint32_t)header.csum_start + header.csum_offset;
		struct rte_mbuf *m = receive(&s, &header);
		assert_true(msh_unfinished_accept(m));
		assert_false(msh_unfinished_for(m, 0));
		copy_out(&out, &s, m);
		uint32_t want =
			0xffff & ~add(0, s.data + header.csum_start, s.length - header.csum_start);
		assert_true(get16(out.data + at) == want ||
			    (want == 0 && get16(out.data + at) == 0xffff));
		put16(out.data + at, get16(s.data + at));
		assert_memory_equal(out.data, s.data, s.length);
		rte_pktmbuf_free(m);
	}
}

static void
refused(struct sample *s, struct virtio_net_hdr_v1 header)
{
	struct rte_mbuf *m = receive(s, &header);
	assert_false(msh_unfinished_accept(m));
	rte_pktmbuf_free(m);
}

static void
nonsense(void **state)
{
	static struct sample s;
	make_sample(&s, false, true, 0, 3000);
	struct virtio_net_hdr_v1 good = header_of(&s, 1000), bad = good;
	bad.flags = 0; /* segments without a checksum */
	refused(&s, bad);
	bad = good, bad.gso_size = 0;
	refused(&s, bad);
	bad = good, bad.gso_size = 3000 / (MSH_SEGMENTS_MAX + 1);
	refused(&s, bad);
	bad = good, bad.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	refused(&s, bad);
	bad = good, bad.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	refused(&s, bad);
	bad = good, bad.gso_type |= VIRTIO_NET_HDR_GSO_ECN; /* not offered */
	refused(&s, bad);
	bad = good, bad.csum_start += 2;
	refused(&s, bad);
	bad = header_of(&s, 0), bad.csum_start = (uint16_t)(s.length - 17);
	refused(&s, bad);
	bad.csum_start = 0xffff, bad.csum_offset = 0xffff;
	refused(&s, bad);
	bad = header_of(&s, 0), bad.csum_offset = 2900; /* beyond what was looked at, or not */
	struct rte_mbuf *m = receive(&s, &bad);
	msh_unfinished_accept(m);
	rte_pktmbuf_free(m);
	s.data[s.l4 + 12] = 0x40; /* a TCP header of 16 bytes */
	refused(&s, good);
	s.data[s.l4 + 12] = 0xf0;
	s.length = s.l4 + 40; /* of 60 in 40 */
	put16(s.data + s.l3 + 2, (uint16_t)(s.length - s.l3));
	refused(&s, good);
}

/* Whatever a guest writes, nothing beyond the packet is touched, and no mbuf is lost. */
static void
random_headers(void **state)
{
	static struct sample s;
	unsigned int accepted = 0;
	for (unsigned int i = 0; i < 20000; i++) {
		struct rte_mbuf *cut[MSH_SEGMENTS_MAX];
		make_sample(&s, any(2), any(2), any(3), any(any(2) ? 50 : 3000));
		struct virtio_net_hdr_v1 header = header_of(&s, any(2) ? (uint16_t)any(3000) : 0);
		uint8_t *bytes = (uint8_t *)&header;
		for (unsigned int changes = any(3); changes > 0; changes--)
			bytes[any(sizeof(header))] = (uint8_t)any(256);
		if (any(2))
			s.data[any(RTE_MIN(s.length, 100u))] = (uint8_t)any(256);
		struct rte_mbuf *m = receive(&s, &header);
		if (msh_unfinished_accept(m)) {
			accepted++;
			int n = m->ol_flags & RTE_MBUF_F_TX_TCP_SEG
					? msh_unfinished_cut(m, pool, cut)
					: 0;
			assert_true(n >= 0 && n <= MSH_SEGMENTS_MAX);
			rte_pktmbuf_free_bulk(cut, (unsigned int)n);
			if (n == 0 && msh_unfinished_for(m, 0))
				assert_int_equal(msh_unfinished_sum(m), 0);
		}
		rte_pktmbuf_free(m);
	}
	assert_true(accepted > 2000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums),
		cmocka_unit_test(segments),
		cmocka_unit_test(other_places),
		cmocka_unit_test(nonsense),
		cmocka_unit_test(random_headers),
	};
	return cmocka_run_group_tests(tests, vring_setup, vring_teardown);
}
