/* SPDX-License-Identifier: BSD-3-Clause */

/* Redirects: what goes out to the backend and what comes back, against checksums computed afresh.
 */

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "eal.h"
#include "frames.h"
#include "redirect.h"

#define VM 1
#define FRAME_MAX 2048

static const uint8_t client_mac[6] = {2, 0, 0, 0, 0, 1}, vip_mac[6] = {2, 0, 0, 0, 0, 2},
		     backend_mac[6] = {2, 0, 0, 0, 0, 3};
static const uint8_t client_ip[4] = {10, 0, 0, 1}, vip[4] = {10, 0, 0, 2},
		     backend_ip[4] = {10, 0, 0, 3};

struct bench {
	struct msh_datapath dp;
	struct msh_config config;
	struct msh_vm_stages stages;
	struct msh_redirect redirect;
	struct rte_mbuf mbuf;
	struct msh_packet packet;
	uint8_t frame[FRAME_MAX];
	uint16_t length;
};

/* RFC 1071, the plain way. */
static uint16_t
naive_sum(const uint8_t *data, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint16_t
transport_sum(const uint8_t *ip, size_t length, uint8_t proto)
{
	uint32_t pseudo = proto + (uint32_t)length;
	for (unsigned int i = 12; i < 20; i += 2)
		pseudo += (uint32_t)ip[i] << 8 | ip[i + 1];
	return naive_sum(ip + 20, length, pseudo);
}

static void
build(struct bench *b, const uint8_t *dmac, const uint8_t *smac, const uint8_t *src,
	const uint8_t *dst, uint8_t proto, uint16_t sport, uint16_t dport, size_t payload)
{
	size_t header = proto == 6 ? 20 : 8;
	uint8_t *ip = b->frame + 14, *l4 = ip + 20;
	memset(b->frame, 0, sizeof(b->frame));
	memcpy(b->frame, dmac, 6);
	memcpy(b->frame + 6, smac, 6);
	put16(b->frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(20 + header + payload));
	put16(ip + 4, 0x1234);
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, src, 4);
	memcpy(ip + 16, dst, 4);
	put16(ip + 10, naive_sum(ip, 20, 0));
	for (size_t i = 0; i < payload; i++)
		l4[header + i] = (uint8_t)rand();
	if (proto == 1) {
		l4[0] = 8;
		put16(l4 + 4, sport);
		put16(l4 + 2, naive_sum(l4, header + payload, 0));
	} else {
		put16(l4, sport);
		put16(l4 + 2, dport);
		l4[12] = 0x50;
		l4[13] = proto == 6 ? 0x10 : l4[13];
		if (proto == 17)
			put16(l4 + 4, (uint16_t)(header + payload));
		put16(l4 + (proto == 6 ? 16 : 6), transport_sum(ip, header + payload, proto));
	}
	b->length = (uint16_t)(14 + 20 + header + payload);
}

static void
parse(struct bench *b)
{
	b->mbuf = (struct rte_mbuf){
		.buf_addr = b->frame, .data_len = b->length, .pkt_len = b->length, .nb_segs = 1};
	msh_packet_parse(&b->packet, &b->mbuf);
}

static bool
forward(struct bench *b)
{
	parse(b);
	return msh_redirect_forward(&b->dp.worker[0], &b->config, &b->packet, &b->redirect, VM);
}

static void
back(struct bench *b)
{
	parse(b);
	msh_redirect_back(&b->dp.worker[0], &b->config, &b->packet);
}

static void
check_frame(const struct bench *b, const uint8_t *dmac, const uint8_t *smac, const uint8_t *src,
	const uint8_t *dst, uint8_t ttl)
{
	const uint8_t *ip = b->frame + 14;
	size_t l4 = (size_t)(ip[2] << 8 | ip[3]) - 20;
	assert_memory_equal(b->frame, dmac, 6);
	assert_memory_equal(b->frame + 6, smac, 6);
	assert_memory_equal(ip + 12, src, 4);
	assert_memory_equal(ip + 16, dst, 4);
	assert_int_equal(ip[8], ttl);
	assert_int_equal(naive_sum(ip, 20, 0), 0);
	if (ip[9] == 1)
		assert_int_equal(naive_sum(ip + 20, l4, 0), 0);
	else if (ip[9] != 17 || ip[26] != 0 || ip[27] != 0)
		assert_int_equal(transport_sum(ip, l4, ip[9]), 0);
}

static int
setup(void **state)
{
	const struct msh_hash_key secret = {0x9ae16a3b2f90404full, 0xc949c7defebe6f25ull};
	struct bench *b = aligned_alloc(64, RTE_ALIGN(sizeof(*b), 64));
	memset(b, 0, sizeof(*b));
	b->dp.worker_count = 1;
	b->dp.worker[0].datapath = &b->dp;
	b->dp.worker[0].back = msh_back_create(&secret, SOCKET_ID_ANY);
	b->dp.worker[0].now = 100;
	b->stages.mac_count = 1;
	b->stages.mac[0].epoch = 7;
	memcpy(&b->stages.mac[0].mac, vip_mac, 6);
	b->config.stages[VM] = &b->stages;
	memcpy(&b->redirect.vip, vip, 4);
	memcpy(&b->redirect.backend, backend_ip, 4);
	memcpy(&b->redirect.vip_mac, vip_mac, 6);
	memcpy(&b->redirect.backend_mac, backend_mac, 6);
	*state = b;
	return b->dp.worker[0].back == NULL;
}

static int
teardown(void **state)
{
	struct bench *b = *state;
	msh_back_free(b->dp.worker[0].back);
	free(b);
	return 0;
}

static void
round_trip(struct bench *b, uint8_t proto, bool as_hop, size_t payload)
{
	uint16_t port = (uint16_t)(1024 + rand() % 60000);
	build(b, vip_mac, client_mac, client_ip, vip, proto, port, 80, payload);
	assert_true(forward(b));
	check_frame(b, backend_mac, vip_mac, client_ip, backend_ip, 63);
	uint16_t source = proto == 1 ? port : 80;
	build(b, as_hop ? vip_mac : client_mac, backend_mac, backend_ip, client_ip, proto, source,
		port, payload);
	if (proto == 1) {
		b->frame[34] = 0; /* echo reply */
		put16(b->frame + 36, 0);
		put16(b->frame + 36, naive_sum(b->frame + 34, payload + 8, 0));
	}
	back(b);
	check_frame(b, client_mac, vip_mac, vip, client_ip, as_hop ? 63 : 64);
}

static void
test_there_and_back(void **state)
{
	static const uint8_t protos[] = {1, 6, 17};
	for (unsigned int i = 0; i < 20000; i++) {
		round_trip(*state, protos[i % 3], i & 1, (size_t)(rand() % 1400));
		((struct bench *)*state)->dp.worker[0].now +=
			100; /* lets unanswered and idle entries go */
	}
}

static void
test_udp_without_checksum(void **state)
{
	struct bench *b = *state;
	build(b, vip_mac, client_mac, client_ip, vip, 17, 5000, 53, 10);
	put16(b->frame + 40, 0);
	assert_true(forward(b));
	check_frame(b, backend_mac, vip_mac, client_ip, backend_ip, 63);
	assert_int_equal(b->frame[40] | b->frame[41], 0);
}

/* Only answers of redirected flows are turned: another port, another client, a flow of an ended
 * registration stay. */
static void
test_others_are_left_alone(void **state)
{
	struct bench *b = *state;
	uint8_t before[FRAME_MAX];
	static const uint8_t other_client[4] = {10, 0, 0, 9};
	build(b, vip_mac, client_mac, client_ip, vip, 6, 5000, 80, 0);
	assert_true(forward(b));
	for (unsigned int i = 0; i < 4; i++) {
		build(b, client_mac, backend_mac, backend_ip, i == 1 ? other_client : client_ip,
			i == 2 ? 17 : 6, 80, i == 0 ? 5001 : 5000, 0);
		if (i == 3)
			b->stages.mac[0].epoch = 8;
		memcpy(before, b->frame, sizeof(before));
		back(b);
		assert_memory_equal(before, b->frame, sizeof(before));
	}
}

static void
test_last_hop_goes_to_vm(void **state)
{
	struct bench *b = *state;
	build(b, vip_mac, client_mac, client_ip, vip, 6, 5000, 80, 0);
	assert_true(forward(b));
	build(b, vip_mac, backend_mac, backend_ip, client_ip, 6, 80, 5000, 0);
	b->frame[22] = 1;
	back(b);
	assert_memory_equal(b->frame + 26, backend_ip, 4);
}

/* Later fragments follow the first one, by the datagram's id. */
static void
test_fragments_come_back(void **state)
{
	struct bench *b = *state;
	build(b, vip_mac, client_mac, client_ip, vip, 17, 5000, 53, 8);
	assert_true(forward(b));
	build(b, client_mac, backend_mac, backend_ip, client_ip, 17, 53, 5000, 64);
	b->frame[20] = 0x20; /* more fragments */
	put16(b->frame + 24, 0);
	put16(b->frame + 24, naive_sum(b->frame + 14, 20, 0));
	back(b);
	assert_memory_equal(b->frame + 26, vip, 4);
	build(b, client_mac, backend_mac, backend_ip, client_ip, 17, 0, 0, 64);
	put16(b->frame + 20, 9); /* offset */
	put16(b->frame + 24, 0);
	put16(b->frame + 24, naive_sum(b->frame + 14, 20, 0));
	uint8_t payload[72];
	memcpy(payload, b->frame + 34, sizeof(payload));
	back(b);
	assert_memory_equal(b->frame + 26, vip, 4);
	assert_int_equal(naive_sum(b->frame + 14, 20, 0), 0);
	assert_memory_equal(payload, b->frame + 34, sizeof(payload));
}

/* An ICMP error from the backend about a redirected packet speaks of what the client knows. */
static void
test_icmp_error_comes_back(void **state)
{
	struct bench *b = *state;
	uint8_t inner[28];
	build(b, vip_mac, client_mac, client_ip, vip, 17, 5000, 53, 0);
	assert_true(forward(b));
	memcpy(inner, b->frame + 14, sizeof(inner));
	build(b, client_mac, backend_mac, backend_ip, client_ip, 1, 0, 0, sizeof(inner));
	uint8_t *icmp = b->frame + 34;
	icmp[0] = 3;
	icmp[1] = 3;
	memcpy(icmp + 8, inner, sizeof(inner));
	put16(icmp + 4, 0);
	put16(icmp + 2, 0);
	put16(icmp + 2, naive_sum(icmp, 8 + sizeof(inner), 0));
	back(b);
	check_frame(b, client_mac, vip_mac, vip, client_ip, 64);
	assert_memory_equal(icmp + 8 + 16, vip, 4);
	assert_int_equal(naive_sum(icmp + 8, 20, 0), 0);
}

/* A full table sends to the VM; nothing that lives is forgotten, and dead entries make room. */
static void
test_table_is_bounded(void **state)
{
	struct bench *b = *state;
	unsigned int kept = 0;
	for (unsigned int i = 0; i < 100000; i++) {
		uint8_t source[4] = {10, 1, (uint8_t)(i >> 8), (uint8_t)i};
		build(b, vip_mac, client_mac, source, vip, 17, (uint16_t)(i >> 16), 53, 0);
		kept += forward(b);
	}
	assert_true(kept > 20000 && kept <= MSH_BACK_BUCKETS * 4);
	b->dp.worker[0].now += MSH_BACK_IDLE_NEW + 1;
	build(b, vip_mac, client_mac, client_ip, vip, 17, 1, 53, 0);
	assert_true(forward(b));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_there_and_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_udp_without_checksum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_others_are_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_last_hop_goes_to_vm, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fragments_come_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_icmp_error_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_table_is_bounded, setup, teardown),
	};
	start_eal();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
