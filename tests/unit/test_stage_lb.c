/* SPDX-License-Identifier: BSD-3-Clause */

/* The load balancer stage: its verb and errors, backends that get known and move, and its verdicts
 * beside a naive model that scans plain structs and reads frames byte by byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "stage.h"

extern const struct msh_stage msh_stage_lb;
static const struct msh_stage *const stage = &msh_stage_lb;

#define MAC_A "52:54:00:00:00:01"
#define MAC_B "52:54:00:00:00:02"
#define BACKEND_MAC "52:54:00:00:01:07"

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint32_t
any(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

/* ---- commands ---- */

static struct msh_answer answer;

/* Apply one line to old; the new instance goes to *result, and old stays. Returns the status. */
static int
apply(const void *old, const char *line, const void **result)
{
	char text[512], *word[32];
	int count = 0;

	assert_memory_equal(line, "R L ", 4);
	snprintf(text, sizeof(text), "%s", line + 4);
	for (char *w = strtok(text, " "); w != NULL; w = strtok(NULL, " "))
		word[count++] = w;
	msh_answer_clear(&answer);
	memset(&answer, 0, sizeof(answer));
	int rc = stage->apply(old, 0, count, word, &answer, result);
	assert_int_equal(rc, -(int)answer.status);
	assert_true(answer.text[0] != '\0');
	return (int)answer.status;
}

static void
expect(const void **instance, const char *line, int status, const char *text)
{
	const void *old = *instance, *result = NULL;
	int got = apply(old, line, &result);

	if (got != status || strstr(answer.text, text) == NULL)
		fail_msg("%s\n  got %d: %s\n  want %d: %s", line, got, answer.text, status, text);
	if (status == MSH_OK) {
		assert_non_null(result);
		*instance = result;
		if (old != NULL)
			stage->destroy(old);
	}
}

static void
resolve(const void **instance, const char *ip, const char *mac, bool changes)
{
	const void *old = *instance, *result = NULL;
	struct rte_ether_addr address;

	assert_int_equal(msh_parse_mac(mac, &address), 0);
	assert_int_equal(stage->resolved(old, inet_addr(ip), &address, &result), 0);
	assert_int_equal(result != old, changes);
	if (changes) {
		*instance = result;
		stage->destroy(old);
	}
}

static void
done(const void *instance)
{
	if (instance != NULL)
		stage->destroy(instance);
	msh_answer_clear(&answer);
}

struct lines {
	char *text;
	size_t length;
};

static void
collect(void *context, const char *line)
{
	struct lines *lines = context;
	size_t length = strlen(line);

	lines->text = realloc(lines->text, lines->length + length + 2);
	assert_non_null(lines->text);
	sprintf(lines->text + lines->length, "%s\n", line);
	lines->length += length + 1;
}

static char *
dump(const void *instance)
{
	struct lines lines = {calloc(1, 1), 0};

	if (instance != NULL)
		stage->dump(instance, collect, &lines);
	return lines.text;
}

/* What the dump makes of an empty VM must dump the same. */
static void
assert_roundtrip(const void *instance)
{
	char *first = dump(instance), *text = strdup(first), *rest = NULL;
	const void *copy = NULL;

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		expect(&copy, line, MSH_OK, "");
	char *second = dump(copy);
	assert_string_equal(first, second);
	free(text);
	free(first);
	free(second);
	done(copy);
}

static void
test_errors(void **state)
{
	static const struct {
		const char *line;
		int status;
		const char *text;
	} bad[] = {
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0", MSH_BAD, "usage"},
		{"R L 525400 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_BAD, "525400 is not a MAC"},
		{"R L 33:33:00:00:00:01 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_BAD, "group"},
		{"R L " MAC_A " 10.0.0.1 2 0.0.0.0 10.0.0.7", MSH_BAD, "type 2"},
		{"R L " MAC_A " 10.0.0.1 x 0.0.0.0 10.0.0.7", MSH_BAD, "type x"},
		{"R L " MAC_A " 10.0.0 0 0.0.0.0 10.0.0.7", MSH_BAD, "IP 10.0.0 is not"},
		{"R L " MAC_A " 10.0.0.1 0 any 10.0.0.7", MSH_BAD, "SRCIP any is not"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 web", MSH_BAD, "DSTIP web is not"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.1", MSH_BAD,
			"DSTIP 10.0.0.1 is the middle"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 0.0.0.0", MSH_BAD, "DSTIP 0.0.0.0 is not the"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 224.0.0.1", MSH_BAD,
			"DSTIP 224.0.0.1 is not the"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 255.255.255.255", MSH_BAD, "DSTIP 255"},
		{"R L " MAC_A " 239.0.0.1 0 0.0.0.0 10.0.0.7", MSH_BAD, "IP 239.0.0.1 is not the"},
		{"R L " MAC_A " ::1 0 0.0.0.0 10.0.0.7", MSH_UNSUPPORTED, "IP ::1 is an IPv6"},
		{"R L " MAC_A " 10.0.0.1 1 ::2 10.0.0.7", MSH_UNSUPPORTED, "SRCIP ::2 is an IPv6"},
		{"R L " MAC_A " 10.0.0.1 0 0.0.0.0 ::3", MSH_UNSUPPORTED, "DSTIP ::3 is an IPv6"},
	};
	const void *lb = NULL;

	for (size_t i = 0; i < RTE_DIM(bad); i++)
		expect(&lb, bad[i].line, bad[i].status, bad[i].text);
	assert_null(lb);
}

static void
test_register(void **state)
{
	const void *lb = NULL;

	expect(&lb, "R L " MAC_A " 10.0.0.1 0 9.9.9.9 10.0.0.7", MSH_OK, "redirected to 10.0.0.7");
	expect(&lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.8", MSH_EXISTS, "type 0");
	expect(&lb, "R L " MAC_A " 10.0.0.1 1 9.9.9.9 10.0.0.8", MSH_OK, "traffic from 9.9.9.9");
	expect(&lb, "R L " MAC_A " 10.0.0.1 1 9.9.9.9 10.0.0.9", MSH_EXISTS, "from 9.9.9.9");
	expect(&lb, "R L " MAC_A " 10.0.0.1 1 0.0.0.0 10.0.0.9", MSH_OK, "from 0.0.0.0");
	expect(&lb, "R L " MAC_A " 10.0.0.2 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	expect(&lb, "R L " MAC_B " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	char *text = dump(lb);
	assert_string_equal(text, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7\n"
				  "R L " MAC_A " 10.0.0.1 1 9.9.9.9 10.0.0.8\n"
				  "R L " MAC_A " 10.0.0.1 1 0.0.0.0 10.0.0.9\n"
				  "R L " MAC_A " 10.0.0.2 0 0.0.0.0 10.0.0.7\n"
				  "R L " MAC_B " 10.0.0.1 0 0.0.0.0 10.0.0.7\n");
	free(text);
	assert_roundtrip(lb);
	done(lb);
}

static void
test_show(void **state)
{
	const void *lb = NULL;
	json_t *rows = json_array();

	expect(&lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	expect(&lb, "R L " MAC_A " 10.0.0.1 1 9.9.9.9 10.0.0.8", MSH_OK, "");
	resolve(&lb, "10.0.0.8", BACKEND_MAC, true);
	stage->show(lb, rows);
	char *text = json_dumps(rows, JSON_COMPACT);
	assert_string_equal(text,
		"[{\"stage\":\"lb\",\"mac\":\"" MAC_A "\",\"ip\":\"10.0.0.1\",\"type\":0,"
		"\"source\":\"-\",\"backend\":\"10.0.0.7\",\"backend_mac\":\"-\",\"packets\":0,"
		"\"bytes\":0,\"unresolved\":0,\"ttl\":0},"
		"{\"stage\":\"lb\",\"mac\":\"" MAC_A "\",\"ip\":\"10.0.0.1\",\"type\":1,"
		"\"source\":\"9.9.9.9\",\"backend\":\"10.0.0.8\",\"backend_mac\":\"" BACKEND_MAC
		"\",\"packets\":0,\"bytes\":0,\"unresolved\":0,\"ttl\":0}]");
	free(text);
	json_decref(rows);
	done(lb);
}

static void
test_cancel(void **state)
{
	struct rte_ether_addr a, b, c = {{0x52}};
	const void *lb = NULL, *next;

	msh_parse_mac(MAC_A, &a);
	msh_parse_mac(MAC_B, &b);
	assert_int_equal(stage->cancel(NULL, &a, &next), -ENOENT);
	expect(&lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	expect(&lb, "R L " MAC_B " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	expect(&lb, "R L " MAC_A " 10.0.0.1 1 9.9.9.9 10.0.0.7", MSH_OK, "");
	assert_int_equal(stage->cancel(lb, &c, &next), -ENOENT);
	assert_int_equal(stage->cancel(lb, &a, &next), 0);
	done(lb);
	lb = next;
	char *text = dump(lb);
	assert_string_equal(text, "R L " MAC_B " 10.0.0.1 0 0.0.0.0 10.0.0.7\n");
	free(text);
	assert_int_equal(stage->cancel(lb, &b, &next), 0);
	assert_null(next);
	done(lb);
}

/* ---- neighbours ---- */

static void
collect_neighbor(void *context, rte_be32_t wanted, rte_be32_t asker,
	const struct rte_ether_addr *asker_mac, bool known)
{
	char line[128], mac[MSH_MAC_TEXT], from[INET_ADDRSTRLEN], to[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &wanted, to, sizeof(to));
	inet_ntop(AF_INET, &asker, from, sizeof(from));
	snprintf(line, sizeof(line), "%s for %s %s%s", to, from, msh_mac_text(asker_mac, mac),
		known ? " known" : "");
	collect(context, line);
}

static void
assert_neighbors(const void *lb, const char *want)
{
	struct lines lines = {calloc(1, 1), 0};

	stage->neighbors(lb, collect_neighbor, &lines);
	assert_string_equal(lines.text, want);
	free(lines.text);
}

static void
test_neighbors(void **state)
{
	const void *lb = NULL;

	expect(&lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.8", MSH_OK, "");
	expect(&lb, "R L " MAC_A " 10.0.0.2 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	expect(&lb, "R L " MAC_B " 10.0.0.3 0 0.0.0.0 10.0.0.8", MSH_OK, "");
	assert_neighbors(lb, "10.0.0.7 for 10.0.0.2 " MAC_A "\n10.0.0.8 for 10.0.0.1 " MAC_A "\n");
	resolve(&lb, "10.0.0.9", BACKEND_MAC, false);
	resolve(&lb, "10.0.0.8", BACKEND_MAC, true);
	resolve(&lb, "10.0.0.8", BACKEND_MAC, false);
	resolve(&lb, "10.0.0.8", MAC_B, true);
	/* RFC 1812 3.3.2: no host has such a MAC */
	resolve(&lb, "10.0.0.7", "ff:ff:ff:ff:ff:ff", false);
	resolve(&lb, "10.0.0.7", "01:00:5e:00:00:01", false);
	resolve(&lb, "10.0.0.7", "00:00:00:00:00:00", false);
	assert_neighbors(
		lb, "10.0.0.7 for 10.0.0.2 " MAC_A "\n10.0.0.8 for 10.0.0.1 " MAC_A " known\n");
	/* a new service of a known backend need not wait */
	expect(&lb, "R L " MAC_A " 10.0.0.4 0 0.0.0.0 10.0.0.8", MSH_OK, "");
	json_t *rows = json_array();
	stage->show(lb, rows);
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(rows, 3), "backend_mac")), MAC_B);
	json_decref(rows);
	done(lb);
}

/* ---- packets ---- */

struct frame {
	uint8_t data[96];
	uint16_t first, total; /* bytes in the first segment, and in all */
};

static struct msh_burst burst;

static void
classify(const void *instance, struct frame *frame, unsigned int count, unsigned int worker)
{
	static struct rte_mbuf m[MSH_BURST_MAX];

	memset(&burst, 0, sizeof(burst));
	burst.count = (uint16_t)count;
	burst.worker = (uint16_t)worker;
	for (unsigned int i = 0; i < count; i++) {
		memset(&m[i], 0, sizeof(m[i]));
		m[i].nb_segs = 1;
		m[i].buf_addr = frame[i].data;
		m[i].data_len = frame[i].first;
		m[i].pkt_len = frame[i].total;
		msh_packet_parse(&burst.packet[i], &m[i]);
	}
	stage->classify(instance, &burst, (1ull << count) - 1);
}

/* UDP over IPv4 to MAC 52:54:00:00:00:mac, between two addresses of 10.0.0.0/24. */
static struct frame
udp_frame(uint8_t mac, uint8_t source, uint8_t destination, uint8_t ttl)
{
	static const uint8_t data[46] = {0x52, 0x54, 0, 0, 0, 0, 0x52, 0x54, 0, 0, 0, 9, 8, 0, 0x45,
		0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 0, 10, 0, 0, 0, 0x03, 0xe8};
	struct frame f = {.first = 46, .total = 46};

	memcpy(f.data, data, sizeof(data));
	f.data[5] = mac;
	f.data[22] = ttl;
	f.data[29] = source;
	f.data[33] = destination;
	return f;
}

static long
counter(const void *lb, unsigned int row, const char *key)
{
	json_t *rows = json_array();

	stage->show(lb, rows);
	long value = (long)json_integer_value(json_object_get(json_array_get(rows, row), key));
	json_decref(rows);
	return value;
}

static void
test_redirect(void **state)
{
	struct frame f = udp_frame(1, 9, 1, 64);
	struct rte_ether_addr mac, backend_mac;
	const void *lb = NULL;

	msh_parse_mac(MAC_A, &mac);
	msh_parse_mac(BACKEND_MAC, &backend_mac);
	expect(&lb, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	classify(lb, &f, 1, 3);
	assert_int_equal(burst.verdict[0].action, MSH_DELIVER); /* not known: to the VM */
	assert_int_equal(counter(lb, 0, "unresolved"), 1);

	resolve(&lb, "10.0.0.7", BACKEND_MAC, true);
	assert_int_equal(counter(lb, 0, "unresolved"), 1); /* counters stay */
	classify(lb, &f, 1, 4);
	assert_int_equal(burst.verdict[0].action, MSH_REDIRECT);
	const struct msh_redirect *r = burst.verdict[0].redirect;
	assert_true(r->vip == inet_addr("10.0.0.1") && r->backend == inet_addr("10.0.0.7"));
	assert_memory_equal(&r->vip_mac, &mac, 6);
	assert_memory_equal(&r->backend_mac, &backend_mac, 6);
	assert_int_equal(counter(lb, 0, "packets"), 1);
	assert_int_equal(counter(lb, 0, "bytes"), 46);

	for (uint8_t ttl = 0; ttl < 3; ttl++) {
		f = udp_frame(1, 9, 1, ttl);
		classify(lb, &f, 1, 0);
		assert_int_equal(burst.verdict[0].action, ttl > 1 ? MSH_REDIRECT : MSH_DELIVER);
	}
	assert_int_equal(counter(lb, 0, "ttl"), 2);
	f = udp_frame(1, 9, 2, 64); /* another IP of the middlebox */
	classify(lb, &f, 1, 0);
	assert_int_equal(burst.verdict[0].action, MSH_DELIVER);
	f = udp_frame(2, 9, 1, 64); /* another MAC */
	classify(lb, &f, 1, 0);
	assert_int_equal(burst.verdict[0].action, MSH_DELIVER);
	assert_int_equal(counter(lb, 0, "packets"), 2);
	done(lb);
}

/* Workers that still hold the old instance must see the old redirect, whole. */
static void
test_moved_backend(void **state)
{
	struct frame f = udp_frame(1, 9, 1, 64);
	const void *old = NULL, *new;
	struct msh_redirect before;
	struct rte_ether_addr mac;

	expect(&old, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7", MSH_OK, "");
	resolve(&old, "10.0.0.7", BACKEND_MAC, true);
	classify(old, &f, 1, 0);
	const struct msh_redirect *held = burst.verdict[0].redirect;
	before = *held;
	msh_parse_mac(MAC_B, &mac);
	assert_int_equal(stage->resolved(old, inet_addr("10.0.0.7"), &mac, &new), 0);
	assert_memory_equal(held, &before, sizeof(before));
	classify(new, &f, 1, 1);
	assert_ptr_not_equal(burst.verdict[0].redirect, held);
	assert_memory_equal(&burst.verdict[0].redirect->backend_mac, &mac, 6);
	assert_memory_equal(held, &before, sizeof(before));
	stage->destroy(old);
	assert_int_equal(counter(new, 0, "packets"), 2);
	done(new);
}

/* ---- the model ---- */

struct service {
	uint8_t mac, ip, type, source, backend; /* last bytes */
	long packets, bytes, unresolved, ttl;
};

#define SERVICES 64
static struct service model[SERVICES];
static unsigned int model_count;
static uint8_t backend_mac_of[256]; /* last byte of the MAC, 0: unknown */

static struct service *
model_service(const struct frame *f)
{
	const uint8_t *b = f->data;
	unsigned int o = 12, found = SERVICES;

	for (unsigned int tags = 0; tags < 2 && b[o] == 0x81 && b[o + 1] == 0; tags++)
		o += 4;
	if (b[o] != 8 || b[o + 1] != 0)
		return NULL;
	o += 2;
	unsigned int header = (b[o] & 15u) * 4, length = b[o + 2] * 256u + b[o + 3];
	if (o + 20 > f->first || b[o] >> 4 != 4 || header < 20 || o + header > f->first ||
		length < header || o + length > f->total)
		return NULL;
	for (unsigned int i = 0; i < model_count; i++) {
		const uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, model[i].mac};
		const uint8_t ip[4] = {10, 0, 0, model[i].ip};
		const uint8_t source[4] = {10, 0, 0, model[i].source};
		if (memcmp(b, mac, 6) != 0 || memcmp(b + o + 16, ip, 4) != 0)
			continue;
		if (model[i].type == 1 && memcmp(b + o + 12, source, 4) == 0)
			return &model[i];
		if (model[i].type == 0)
			found = i;
	}
	return found < SERVICES ? &model[found] : NULL;
}

static struct frame
random_frame(void)
{
	struct frame f = {.data = {0x52, 0x54, 0, 0, 0, (uint8_t)any(4), 0x52}};
	unsigned int o = 12;

	if (any(20) == 0)
		memset(f.data, 0xff, 6);
	for (unsigned int tags = any(4) == 0 ? 1 + any(2) : 0; tags > 0; tags--, o += 4)
		f.data[o] = 0x81;
	memcpy(f.data + o, any(10) == 0 ? "\x08\x06" : any(10) == 0 ? "\x86\xdd" : "\x08\x00", 2);
	o += 2;
	f.data[o] = any(30) == 0 ? (uint8_t)any(256) : (uint8_t)(0x45 + (any(6) == 0 ? 1 : 0));
	f.data[o + 3] = 40;
	f.data[o + 6] = (uint8_t)(any(4) == 0 ? 0x20 : 0); /* fragments, first */
	f.data[o + 7] = (uint8_t)(any(4) == 0);            /* and later ones */
	f.data[o + 8] = (uint8_t)(any(4) == 0 ? any(3) : 64);
	f.data[o + 9] = 17;
	for (unsigned int at = o + 12; at <= o + 16; at += 4) {
		f.data[at] = 10;
		f.data[at + 3] = (uint8_t)any(6);
	}
	f.total = (uint16_t)(o + 40 + any(6));
	f.first = any(12) == 0 ? (uint16_t)(14 + any(f.total - 13u)) : f.total;
	if (any(20) == 0)
		f.total = f.first;
	return f;
}

static void
random_service(const void **lb)
{
	struct service s = {.mac = (uint8_t)any(3),
		.ip = (uint8_t)(1 + any(4)),
		.type = (uint8_t)any(2),
		.source = (uint8_t)any(6),
		.backend = (uint8_t)(10 + any(6))};
	bool exists = false;
	char line[128];

	for (unsigned int i = 0; i < model_count; i++)
		exists |= model[i].mac == s.mac && model[i].ip == s.ip && model[i].type == s.type &&
			  (s.type == 0 || model[i].source == s.source);
	snprintf(line, sizeof(line), "R L 52:54:00:00:00:%02x 10.0.0.%u %u 10.0.0.%u 10.0.0.%u",
		s.mac, s.ip, s.type, s.source, s.backend);
	expect(lb, line, exists ? MSH_EXISTS : MSH_OK, "");
	if (!exists)
		model[model_count++] = s;
}

static void
random_resolve(const void **lb)
{
	uint8_t ip = (uint8_t)(10 + any(6)), mac = (uint8_t)(1 + any(3));
	char ip_word[32], mac_word[32];
	bool changes = false;

	for (unsigned int i = 0; i < model_count; i++)
		changes |= model[i].backend == ip && backend_mac_of[ip] != mac;
	if (changes)
		backend_mac_of[ip] = mac;
	snprintf(ip_word, sizeof(ip_word), "10.0.0.%u", ip);
	snprintf(mac_word, sizeof(mac_word), "52:54:00:00:01:%02x", mac);
	if (*lb != NULL)
		resolve(lb, ip_word, mac_word, changes);
}

static unsigned int redirected;

static void
assert_verdict(const struct frame *f, const struct msh_packet *p, const struct msh_verdict *v)
{
	struct service *s = model_service(f);
	unsigned int o = p->l3;

	if (s != NULL && backend_mac_of[s->backend] != 0 && f->data[o + 8] > 1) {
		const uint8_t mac[6] = {0x52, 0x54, 0, 0, 1, backend_mac_of[s->backend]};
		const uint8_t backend[4] = {10, 0, 0, s->backend};
		assert_int_equal(v->action, MSH_REDIRECT);
		assert_memory_equal(&v->redirect->backend_mac, mac, 6);
		assert_memory_equal(&v->redirect->backend, backend, 4);
		assert_memory_equal(&v->redirect->vip_mac, f->data, 6);
		assert_memory_equal(&v->redirect->vip, f->data + o + 16, 4);
		s->packets++;
		s->bytes += f->total;
		redirected++;
		return;
	}
	assert_int_equal(v->action, MSH_DELIVER);
	if (s != NULL && backend_mac_of[s->backend] == 0)
		s->unresolved++;
	else if (s != NULL)
		s->ttl++;
}

static void
test_model(void **state)
{
	static struct frame frame[MSH_BURST_MAX];
	unsigned int packets = 0;

	for (unsigned int round = 0; round < 300; round++) {
		const void *lb = NULL;
		model_count = 0;
		memset(backend_mac_of, 0, sizeof(backend_mac_of));
		random_service(&lb);
		for (unsigned int turn = 0; turn < 12; turn++) {
			for (unsigned int n = any(5); n > 0; n--)
				random_service(&lb);
			for (unsigned int n = any(3); n > 0; n--)
				random_resolve(&lb);
			for (unsigned int i = 0; i < MSH_BURST_MAX; i++)
				frame[i] = random_frame();
			classify(lb, frame, MSH_BURST_MAX, any(MSH_WORKERS_MAX));
			for (unsigned int i = 0; i < MSH_BURST_MAX; i++)
				assert_verdict(&frame[i], &burst.packet[i], &burst.verdict[i]);
			packets += MSH_BURST_MAX;
		}
		for (unsigned int i = 0; i < model_count; i++) {
			assert_int_equal(counter(lb, i, "packets"), model[i].packets);
			assert_int_equal(counter(lb, i, "bytes"), model[i].bytes);
			assert_int_equal(counter(lb, i, "unresolved"), model[i].unresolved);
			assert_int_equal(counter(lb, i, "ttl"), model[i].ttl);
		}
		assert_roundtrip(lb);
		done(lb);
	}
	printf("# %u packets, %u redirected, no difference from the model\n", packets, redirected);
	assert_true(packets > 100000 && redirected > 5000);
}

/* ---- versions, and many services ---- */

#define VERSIONS 100

static void
test_versions(void **state)
{
	for (unsigned int order = 0; order < 3; order++) {
		const void *version[VERSIONS + 1];
		struct rte_ether_addr mac = {{2}};
		struct frame f = udp_frame(1, 9, 1, 64);
		char line[128];
		assert_int_equal(
			apply(NULL, "R L " MAC_A " 10.0.0.1 0 0.0.0.0 10.0.0.7", &version[0]),
			MSH_OK);
		for (unsigned int i = 1; i < VERSIONS; i++) {
			snprintf(line, sizeof(line), "R L " MAC_A " 10.0.0.1 1 9.0.0.%u 10.0.0.7",
				i);
			mac.addr_bytes[5] = (uint8_t)i;
			if (i % 2)
				assert_int_equal(apply(version[i - 1], line, &version[i]), MSH_OK);
			else
				assert_int_equal(stage->resolved(version[i - 1],
							 inet_addr("10.0.0.7"), &mac, &version[i]),
					0);
		}
		for (unsigned int i = 0; i < VERSIONS; i++) {
			unsigned int at = order == 0   ? i
					  : order == 1 ? VERSIONS - 1 - i
						       : i * 7 % VERSIONS;
			classify(version[at], &f, 1, 0);
			assert_int_equal(
				burst.verdict[0].action, at < 2 ? MSH_DELIVER : MSH_REDIRECT);
			if (at >= 2)
				assert_int_equal(
					burst.verdict[0].redirect->backend_mac.addr_bytes[5],
					at / 2 * 2);
			assert_int_equal(counter(version[at], 0, "packets") +
						 counter(version[at], 0, "unresolved"),
				i + 1);
			stage->destroy(version[at]);
		}
	}
	msh_answer_clear(&answer);
}

static void
test_many(void **state)
{
	const unsigned int count = 10000;
	struct timespec start, end;
	const void *lb = NULL;
	char line[128];

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned int i = 0; i < count; i++) {
		snprintf(line, sizeof(line), "R L " MAC_A " 10.0.0.1 1 10.1.%u.%u 10.0.0.%u",
			i / 256, i % 256, 7 + i % 8);
		expect(&lb, line, MSH_OK, "");
	}
	for (unsigned int i = 0; i < 8; i++) {
		snprintf(line, sizeof(line), "10.0.0.%u", 7 + i);
		resolve(&lb, line, BACKEND_MAC, true);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	double seconds =
		(double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9;
	printf("# %u services one by one, 8 backends resolved: %.3f s\n", count, seconds);
	assert_true(seconds < 20); /* sanitizers, valgrind, shared hosts; else well below 1 s */
	for (unsigned int i = 0; i < count + 500; i++) {
		struct frame f = udp_frame(1, 0, 1, 64);
		f.data[27] = 1;
		f.data[28] = (uint8_t)(i / 256);
		f.data[29] = (uint8_t)i;
		classify(lb, &f, 1, 0);
		assert_int_equal(burst.verdict[0].action, i < count ? MSH_REDIRECT : MSH_DELIVER);
	}
	done(lb);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_register),
		cmocka_unit_test(test_show),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_neighbors),
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_moved_backend),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
