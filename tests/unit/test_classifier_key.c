/* SPDX-License-Identifier: BSD-3-Clause */

/* The key of a packet, of frames made by hand. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>

#include "classifier.h"

static struct msh_classifier_key
key_of(const uint8_t *frame, uint16_t length)
{
	struct rte_mbuf m = {.nb_segs = 1,
		.buf_addr = (void *)(uintptr_t)frame,
		.data_len = length,
		.pkt_len = length};
	struct msh_packet packet;
	struct msh_classifier_key key;

	msh_packet_parse(&packet, &m);
	memset(&key, 0xa5, sizeof(key)); /* nothing may be left as it was */
	msh_classifier_key(&key, &packet);
	return key;
}

#define MACS 0x52, 0x54, 0, 0, 0, 2, 0x52, 0x54, 0, 0, 0, 1
#define IP4(flags, fragment, proto) \
	0x45, 0xb8, 0, 40, 0, 0, flags, fragment, 64, proto, 0, 0, 10, 0, 0, 1, 192, 168, 1, 2

static void
assert_key(const uint8_t *frame, uint16_t length, uint64_t l4, uint64_t ip, uint64_t meta)
{
	struct msh_classifier_key key = key_of(frame, length);

	assert_int_equal(key.word[MSH_WORD_L4], l4);
	assert_int_equal(key.word[MSH_WORD_IP], ip);
	assert_int_equal(key.word[MSH_WORD_META], meta);
	assert_int_equal(key.word[MSH_WORD_MAC_DST], 0x525400000002);
	assert_int_equal(key.word[MSH_WORD_MAC_SRC], 0x525400000001);
}

#define ADDRESSES 0x0a000001c0a80102
#define META4(also) (0x0800000000000000 | MSH_META_IP4 | (also))

static void
test_key_of_ipv4(void **state)
{
	const uint8_t tcp[] = {MACS, 8, 0, IP4(0, 0, 6), 0x12, 0x34, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0,
		0x50, 0x12, 0, 0, 0, 0, 0, 0};
	const uint8_t icmp[] = {MACS, 8, 0, IP4(0, 0, 1), 8, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 0, 0};
	const uint8_t later[] = {MACS, 8, 0, IP4(0, 9, 6), 0x12, 0x34, 0, 80, 0, 0, 0, 0, 0, 0, 0,
		0, 0x50, 0x12, 0, 0, 0, 0, 0, 0};

	assert_key(tcp, sizeof(tcp), 0x12340050120006b8, ADDRESSES,
		META4(MSH_META_PORTS | MSH_META_INFO));
	assert_key(icmp, sizeof(icmp), 0x080301b8, ADDRESSES, META4(MSH_META_INFO));
	assert_key(later, sizeof(later), 0x06b8, ADDRESSES, META4(0));
	/* Of one cut short the ports are left, then nothing. */
	struct rte_mbuf m = {
		.nb_segs = 2, .buf_addr = (void *)(uintptr_t)tcp, .pkt_len = sizeof(tcp)};
	const uint16_t lengths[] = {47, 37};
	const uint64_t l4[] = {0x12340050000006b8, 0x06b8};
	for (unsigned int i = 0; i < RTE_DIM(lengths); i++) {
		struct msh_packet packet;
		struct msh_classifier_key key;
		m.data_len = lengths[i];
		msh_packet_parse(&packet, &m);
		msh_classifier_key(&key, &packet);
		assert_int_equal(key.word[MSH_WORD_L4], l4[i]);
		assert_int_equal(key.word[MSH_WORD_META], META4(i == 0 ? MSH_META_PORTS : 0));
	}
}

static void
test_key_of_tagged_ipv6(void **state)
{
	const uint8_t frame[] = {MACS, 0x81, 0, 0x60, 7, 0x86, 0xdd, 0x6b, 0x80, 0, 0, 0, 8, 17, 64,
		0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0x20, 1, 0xd, 0xb8, 0, 0, 0,
		3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 53, 0x13, 0x88, 0, 8, 0, 0};
	struct msh_classifier_key key = key_of(frame, sizeof(frame));

	assert_key(frame, sizeof(frame), 0x00351388000011b8, 0x20010db800000001,
		0x86dd000000000000 | MSH_META_TAGGED | 7ull << 32 | MSH_META_IP6 | MSH_META_PORTS);
	assert_int_equal(key.word[MSH_WORD_IP6_DST], 0x20010db800000003);
	assert_int_equal(key.word[MSH_WORD_IP6_SRC_LOW], 2);
	assert_int_equal(key.word[MSH_WORD_IP6_DST_LOW], 4);
}

static void
test_key_of_what_is_not_ip(void **state)
{
	const uint8_t frame[60] = {MACS, 8, 6};

	assert_key(frame, sizeof(frame), 0, 0, 0x0806000000000000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_key_of_ipv4),
		cmocka_unit_test(test_key_of_tagged_ipv6),
		cmocka_unit_test(test_key_of_what_is_not_ip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
