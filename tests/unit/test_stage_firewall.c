/* SPDX-License-Identifier: BSD-3-Clause */

/* The firewall stage: each verb and error, and its verdicts beside a naive model that scans plain
 * structs and reads frames byte by byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cowset.h"
#include "stage.h"

extern const struct msh_stage msh_stage_firewall;
static const struct msh_stage *const stage = &msh_stage_firewall;

#define MAC_A "52:54:00:00:00:01"
#define MAC_B "52:54:00:00:00:02"

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
	unsigned int verb = 0;
	int count = 0;

	while (strncmp(line, stage->verbs[verb].name, strlen(stage->verbs[verb].name)) != 0 ||
		line[strlen(stage->verbs[verb].name)] != ' ')
		assert_true(++verb < stage->verb_count);
	snprintf(text, sizeof(text), "%s", line + strlen(stage->verbs[verb].name));
	for (char *w = strtok(text, " "); w != NULL; w = strtok(NULL, " "))
		word[count++] = w;
	msh_answer_clear(&answer);
	memset(&answer, 0, sizeof(answer));
	int rc = stage->apply(old, verb, count, word, &answer, result);
	assert_int_equal(rc, -(int)answer.status);
	if (rc != 0)
		assert_true(answer.text[0] != '\0');
	return (int)answer.status;
}

/* The same, in place of *instance. */
static int
run(const void **instance, const char *line)
{
	const void *old = *instance, *result = NULL;
	int status = apply(old, line, &result);

	if (status == MSH_OK && result != old) {
		*instance = result;
		if (old != NULL)
			stage->destroy(old);
	}
	return status;
}

static void
expect(const void **instance, const char *line, int status, const char *text)
{
	const void *before = *instance;
	int got = run(instance, line);

	if (got != status || strstr(answer.text, text) == NULL)
		fail_msg("%s\n  got %d: %s\n  want %d: %s", line, got, answer.text, status, text);
	if (status != MSH_OK)
		assert_ptr_equal(*instance, before);
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
	unsigned int count;
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
	lines->count++;
}

static struct lines
dump(const void *instance)
{
	struct lines lines = {calloc(1, 1), 0, 0};

	if (instance != NULL)
		stage->dump(instance, collect, &lines);
	return lines;
}

/* What the dump makes of an empty VM must dump the same. */
static void
assert_roundtrip(const void *instance)
{
	struct lines first = dump(instance), second;
	const void *copy = NULL;
	char *rest = NULL, *text = strdup(first.text);

	for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		assert_int_equal(run(&copy, line), MSH_OK);
	second = dump(copy);
	assert_string_equal(first.text, second.text);
	free(text);
	free(first.text);
	free(second.text);
	done(copy);
}

/* ---- verbs ---- */

static void
test_register(void **state)
{
	const void *fw = NULL;

	expect(&fw, "R F 52:54:00:00:00 10.0.0.1", MSH_BAD, "52:54:00:00:00 is not a MAC");
	expect(&fw, "R F " MAC_A " 10.0.0.256", MSH_BAD, "10.0.0.256 is not");
	expect(&fw, "R F 01:00:5e:00:00:01 10.0.0.1", MSH_BAD, "group");
	expect(&fw, "R F " MAC_A, MSH_BAD, "usage");
	assert_null(fw);
	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "registered for firewall");
	expect(&fw, "R F " MAC_A " 10.0.0.2", MSH_EXISTS, MAC_A);
	expect(&fw, "R F " MAC_B " 2001:db8::1", MSH_OK, "2001:db8::1");
	assert_roundtrip(fw);
	for (unsigned int i = 2; i < MSH_VM_MACS_MAX; i++) {
		char line[64];
		snprintf(line, sizeof(line), "R F 52:54:00:00:01:%02x 10.0.1.%u", i, i);
		expect(&fw, line, MSH_OK, "");
	}
	expect(&fw, "R F 52:54:00:00:02:00 10.0.0.1", MSH_FULL, "no room");
	done(fw);
}

static void
test_cancel(void **state)
{
	struct rte_ether_addr a, b;
	const void *fw = NULL, *next;

	msh_parse_mac(MAC_A, &a);
	msh_parse_mac(MAC_B, &b);
	next = &a;
	assert_int_equal(stage->cancel(NULL, &a, &next), -ENOENT);
	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	expect(&fw, "A " MAC_A " T 2 d 80", MSH_OK, "");
	assert_int_equal(stage->cancel(fw, &b, &next), -ENOENT);
	expect(&fw, "R F " MAC_B " 10.0.0.2", MSH_OK, "");
	expect(&fw, "A " MAC_B " T 2 d 81", MSH_OK, "");
	assert_int_equal(stage->cancel(fw, &a, &next), 0);
	done(fw);
	fw = next;
	expect(&fw, "T " MAC_A, MSH_NOTFOUND, "not registered for firewall");
	struct lines lines = dump(fw);
	assert_string_equal(lines.text, "R F " MAC_B " 10.0.0.2\nA " MAC_B " T 2 d 81\n");
	free(lines.text);
	assert_int_equal(stage->cancel(fw, &b, &next), 0);
	assert_null(next);
	done(fw);
}

static void
test_add_errors(void **state)
{
	static const struct {
		const char *rest, *text;
	} bad[] = {
		{"X 4 s 10.0.0.1", "X is none of the layers"},
		{"i 4 s 10.0.0.1", "i is none of the layers"},
		{"IM 4 s 10.0.0.1", "IM is none of the layers"},
		{"I 16 s 10.0.0.1", "value 16"},
		{"I x s 10.0.0.1", "value x"},
		{"I 4", "value 4 names s, but the command gives no field"},
		{"I 6 s 10.0.0.1", "value 6 names s d, but the command gives s"},
		{"I 4 d 10.0.0.1", "value 4 names s, but the command gives d"},
		{"I 0 p 6", "value 0 names no field, but the command gives p"},
		{"I 15 p 6 t 1 d ::1", "value 15 names s d t p, but the command gives d t p"},
		{"I 4 s 10.0.0.1 s 10.0.0.1", "field s is given more than once"},
		{"I 4 q 10.0.0.1", "q is none of the fields"},
		{"I 4 S 10.0.0.1", "S is none of the fields"},
		{"I 4 s 10.0.0.1 10.0.0.2", "10.0.0.2 is none of the fields"},
		{"I 4 s", "no value given for s"},
		{"I 12 s t 3", "no value given for s"},
		{"I 4 s 10.0.0", "s 10.0.0 is not an IP"},
		{"I 2 d " MAC_A, "d " MAC_A " is not an IP"},
		{"I 6 s 10.0.0.1 d ::1", "different families"},
		{"I 6 s ::1 d 10.0.0.1", "different families"},
		{"I 8 t 256", "t 256 is not a type of service from 0 to 255"},
		{"I 1 p 256", "p 256 is not a protocol"},
		{"I 1 p http", "p http is not a protocol"},
		{"I 1 p arp", "p arp is not a protocol"},
		{"M 4 s 10.0.0.1", "s 10.0.0.1 is not a MAC"},
		{"M 8 t 8", "t 8 is not a priority (802.1p) from 0 to 7"},
		{"M 1 p 0x5ff", "p 0x5ff is not an EtherType"},
		{"M 1 p 65536", "p 65536 is not an EtherType"},
		{"M 1 p tcp", "p tcp is not an EtherType"},
		{"T 4 s 65536", "s 65536 is not a port"},
		{"T 2 d http", "d http is not a port"},
		{"T 8 t -1", "t -1 is not a type of service"},
		{"T 1 p 300", "p 300 is not a protocol"},
	};
	const void *fw = NULL;
	char line[256];

	expect(&fw, "A " MAC_A " I 4 s 10.0.0.1", MSH_NOTFOUND,
		"MAC " MAC_A " is not registered for firewall");
	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	expect(&fw, "A " MAC_B " I 4 s 10.0.0.1", MSH_NOTFOUND,
		"MAC " MAC_B " is not registered for firewall");
	expect(&fw, "A 5254 I 4 s 10.0.0.1", MSH_BAD, "5254 is not a MAC");
	expect(&fw, "A " MAC_A " I", MSH_BAD, "usage");
	for (size_t i = 0; i < RTE_DIM(bad); i++) {
		snprintf(line, sizeof(line), "A " MAC_A " %s", bad[i].rest);
		expect(&fw, line, MSH_BAD, bad[i].text);
	}
	struct lines lines = dump(fw);
	assert_int_equal(lines.count, 1);
	free(lines.text);
	done(fw);
}

static void
test_add(void **state)
{
	static const struct {
		const char *given, *shown;
	} good[] = {
		{"I 4 s 10.0.0.1", "I 4 s 10.0.0.1"},
		{"I 4 s 2001:DB8::0:1", "I 4 s 2001:db8::1"},
		{"I 15 p tcp t 0xff d 10.0.0.2 s 10.0.0.1",
			"I 15 s 10.0.0.1 d 10.0.0.2 t 255 p tcp"},
		{"I 0x1 p 58", "I 1 p ipv6-icmp"},
		{"I 1 p 200", "I 1 p 200"},
		{"M 4 s 52:54:00:AA:bb:cc", "M 4 s 52:54:00:aa:bb:cc"},
		{"M 9 p 0x86DD t 7", "M 9 t 7 p ipv6"},
		{"M 1 p ipv4", "M 1 p ip"},
		{"M 1 p 35020", "M 1 p 0x88cc"},
		{"T 15 s 0 d 65535 t 0 p sctp", "T 15 s 0 d 65535 t 0 p sctp"},
		{"T 1 p icmpv6", "T 1 p ipv6-icmp"},
	};
	const void *fw = NULL;
	char line[256];

	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	for (size_t i = 0; i < RTE_DIM(good); i++) {
		snprintf(line, sizeof(line), "A " MAC_A " %s", good[i].given);
		expect(&fw, line, MSH_OK, good[i].shown);
		expect(&fw, line, MSH_EXISTS, good[i].shown);
		snprintf(line, sizeof(line), "A " MAC_A " %s", good[i].shown);
		expect(&fw, line, MSH_EXISTS, good[i].shown);
	}
	expect(&fw, "A " MAC_A " I 0", MSH_OK,
		"every IP packet that comes for " MAC_A " is dropped");
	expect(&fw, "A " MAC_A " T 0", MSH_OK,
		"every IP packet that comes for " MAC_A " is dropped");
	expect(&fw, "A " MAC_A " M 0", MSH_OK, "every frame that comes for " MAC_A " is dropped");
	expect(&fw, "A " MAC_A " M 0", MSH_EXISTS, "M 0");
	assert_roundtrip(fw);
	done(fw);
}

static void
test_delete(void **state)
{
	const void *fw = NULL;

	expect(&fw, "D " MAC_A " I 4 s", MSH_NOTFOUND, "not registered");
	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	expect(&fw, "D " MAC_A " I 4 s", MSH_NOTFOUND, "no filter of value 4 at I");
	expect(&fw, "D " MAC_A " I 0", MSH_NOTFOUND, "no filter of value 0 at I");
	expect(&fw, "A " MAC_A " I 4 s 10.0.0.1", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 4 s 10.0.0.2", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 4 s ::1", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 2 d 10.0.0.1", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 12 s 10.0.0.1 t 4", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 0", MSH_OK, "");
	expect(&fw, "A " MAC_A " M 4 s " MAC_B, MSH_OK, "");

	expect(&fw, "D " MAC_A " I 4", MSH_BAD, "value 4 names s, but the command gives no field");
	expect(&fw, "D " MAC_A " I 4 d", MSH_BAD, "value 4 names s, but the command gives d");
	expect(&fw, "D " MAC_A " I 12 s 10.0.0.1 t", MSH_BAD, "no value given for t");
	expect(&fw, "D " MAC_A " I 12 s t 4", MSH_BAD, "no value given for s");
	expect(&fw, "D " MAC_A " I 12 s t t", MSH_BAD, "field t is given more than once");
	expect(&fw, "D " MAC_A " I 4 s 10.0.0.300", MSH_BAD, "10.0.0.300");
	expect(&fw, "D " MAC_A " I 4 s 10.0.0.3", MSH_NOTFOUND, "no filter I 4 s 10.0.0.3");
	expect(&fw, "D " MAC_A " I 4 s ::2", MSH_NOTFOUND, "no filter I 4 s ::2");
	expect(&fw, "D " MAC_A " T 4 s 1", MSH_NOTFOUND, "no filter T 4 s 1");

	expect(&fw, "D " MAC_A " I 4 s 10.0.0.1", MSH_OK, "1 filter removed");
	expect(&fw, "D " MAC_A " I 4 s 10.0.0.1", MSH_NOTFOUND, "");
	expect(&fw, "D " MAC_A " I 4 s", MSH_OK, "2 filters removed");
	expect(&fw, "D " MAC_A " I 12 t s", MSH_OK, "1 filter removed");
	expect(&fw, "D " MAC_A " I 0", MSH_OK, "1 filter removed");
	struct lines lines = dump(fw);
	assert_string_equal(lines.text, "R F " MAC_A " 10.0.0.1\nA " MAC_A
					" I 2 d 10.0.0.1\nA " MAC_A " M 4 s " MAC_B "\n");
	free(lines.text);
	done(fw);
}

static void
test_status(void **state)
{
	const void *fw = NULL, *before;

	expect(&fw, "I " MAC_A, MSH_NOTFOUND, "MAC " MAC_A " is not registered for firewall");
	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	expect(&fw, "M " MAC_A, MSH_OK, "no filters at M");
	assert_true(json_is_array(answer.data) && json_array_size(answer.data) == 0);
	expect(&fw, "A " MAC_A " T 9 t 4 p tcp", MSH_OK, "");
	expect(&fw, "A " MAC_A " T 6 s 1 d 2", MSH_OK, "");
	expect(&fw, "A " MAC_A " I 4 s ::1", MSH_OK, "");
	before = fw;
	expect(&fw, "T " MAC_A, MSH_OK, "");
	assert_ptr_equal(fw, before);
	char *text = json_dumps(answer.data, JSON_COMPACT);
	assert_string_equal(text,
		"[{\"mac\":\"" MAC_A
		"\",\"ip\":\"10.0.0.1\",\"layer\":\"T\",\"value\":9,\"s\":\"-\","
		"\"d\":\"-\",\"t\":\"4\",\"p\":\"tcp\",\"packets\":0,\"bytes\":0},"
		"{\"mac\":\"" MAC_A
		"\",\"ip\":\"10.0.0.1\",\"layer\":\"T\",\"value\":6,\"s\":\"1\","
		"\"d\":\"2\",\"t\":\"-\",\"p\":\"-\",\"packets\":0,\"bytes\":0}]");
	free(text);
	json_t *rows = json_array();
	stage->show(fw, rows);
	text = json_dumps(rows, JSON_COMPACT);
	assert_string_equal(text,
		"[{\"stage\":\"firewall\",\"mac\":\"" MAC_A
		"\",\"ip\":\"10.0.0.1\",\"filters\":3,\"packets\":0,\"bytes\":0}]");
	free(text);
	json_decref(rows);
	done(fw);
}

/* ---- packets ---- */

struct frame {
	uint8_t data[192];
	uint16_t first, total; /* bytes in the first segment, and in all */
};

/* Classify frames as one burst; returns a mask of those that were dropped. */
static uint64_t
classify(const void *instance, struct frame *frame, unsigned int count, unsigned int worker)
{
	static struct msh_burst burst;
	static struct rte_mbuf m[MSH_BURST_MAX];
	uint64_t dropped = 0, mask = (1ull << count) - 1;

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
	stage->classify(instance, &burst, mask);
	for (unsigned int i = 0; i < count; i++) {
		if (burst.verdict[i].action == MSH_DROP) {
			assert_int_equal(burst.verdict[i].reason, MSH_DROP_FIREWALL);
			dropped |= 1ull << i;
		} else {
			assert_int_equal(burst.verdict[i].action, MSH_DELIVER);
		}
	}
	return dropped;
}

/* UDP over IPv4, from 10.0.0.1 port 1000 to 10.0.0.2 and this port. */
static struct frame
udp_frame(uint8_t last_mac_byte, uint16_t port)
{
	static const uint8_t data[46] = {0x52, 0x54, 0, 0, 0, 0, 0x52, 0x54, 0, 0, 0, 9, 8, 0, 0x45,
		0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x03, 0xe8};
	struct frame f = {.first = 46, .total = 46};

	memcpy(f.data, data, sizeof(data));
	f.data[5] = last_mac_byte;
	f.data[36] = (uint8_t)(port >> 8);
	f.data[37] = (uint8_t)port;
	return f;
}

static void
test_only_the_mask(void **state)
{
	struct frame frame = udp_frame(1, 80);
	const void *fw = NULL;
	struct msh_burst burst = {.count = 2};
	struct rte_mbuf m = {.nb_segs = 1, .buf_addr = frame.data, .data_len = 46, .pkt_len = 46};

	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	expect(&fw, "A " MAC_A " M 0", MSH_OK, "");
	for (unsigned int i = 0; i < 2; i++)
		msh_packet_parse(&burst.packet[i], &m);
	stage->classify(fw, &burst, 2);
	assert_int_equal(burst.verdict[0].action, MSH_DELIVER);
	assert_int_equal(burst.verdict[1].action, MSH_DROP);
	done(fw);
}

/* ---- the model: what a filter says, as text and as numbers ---- */

enum { S, D, T, P };
static const unsigned int bit_of[4] = {4, 2, 8, 1};

struct model_filter {
	unsigned int box, value;
	char layer;
	char text[4][48];
	struct {
		uint8_t byte[16]; /* as on the wire */
		unsigned int size;
	} address[2]; /* at I and M */
	unsigned int number[4];
	uint64_t packets, bytes;
	bool gone;
};

#define BOXES 2
#define FILTERS 64
static struct model_filter model[FILTERS];
static unsigned int model_count;
static const char *const box_mac[BOXES] = {MAC_A, MAC_B};

struct fields {
	int layers; /* 1: M only, 2: IP too */
	int version, tos, proto, sport, dport, priority, ether_type;
	const uint8_t *source, *destination;
};

static struct fields
model_parse(const struct frame *f)
{
	struct fields r = {.layers = 1, .sport = -1, .dport = -1, .priority = -1};
	const uint8_t *b = f->data;
	unsigned int o = 12;

#define TWO(at) (b[at] << 8 | b[(at) + 1])
	r.ether_type = TWO(o);
	while (o < 20 &&
		(r.ether_type == 0x8100 || r.ether_type == 0x88a8 || r.ether_type == 0x9100)) {
		if (o + 6u > f->first) {
			r.ether_type = 0;
			return r;
		}
		if (o == 12)
			r.priority = b[14] >> 5;
		o += 4;
		r.ether_type = TWO(o);
	}
	o += 2;
	unsigned int end, l4;
	bool ports = true;
	if (r.ether_type == 0x0800) {
		if (o + 20u > f->first || b[o] >> 4 != 4)
			return r;
		l4 = o + (b[o] & 15u) * 4;
		end = o + (unsigned int)TWO(o + 2);
		if (l4 < o + 20 || l4 > f->first || end < l4 || end > f->total)
			return r;
		r.version = 4;
		r.tos = b[o + 1];
		r.proto = b[o + 9];
		r.source = b + o + 12;
		r.destination = b + o + 16;
		ports = (TWO(o + 6) & 0x1fff) == 0;
	} else if (r.ether_type == 0x86dd) {
		if (o + 40u > f->first || b[o] >> 4 != 6)
			return r;
		l4 = o + 40;
		end = l4 + (unsigned int)TWO(o + 4);
		if (end > f->total)
			return r;
		r.version = 6;
		r.tos = (TWO(o) >> 4) & 255;
		r.proto = b[o + 6];
		r.source = b + o + 8;
		r.destination = b + o + 24;
		for (int steps = 0; r.proto == 0 || r.proto == 43 || r.proto == 44 ||
				    r.proto == 51 || r.proto == 60;
			steps++) {
			ports = false;
			if (steps == 8 || l4 + 8 > end || l4 + 8 > f->first)
				break;
			unsigned int size = r.proto == 51   ? (b[l4 + 1] + 2u) * 4
					    : r.proto == 44 ? 8
							    : (b[l4 + 1] + 1u) * 8;
			if (l4 + size > end || l4 + size > f->first)
				break;
			bool later = r.proto == 44 && TWO(l4 + 2) >= 8;
			r.proto = b[l4];
			if (later)
				break;
			l4 += size;
			ports = true;
		}
	} else {
		return r;
	}
	r.layers = 2;
	if (ports && l4 + 4 <= end && l4 + 4 <= f->first &&
		(r.proto == 6 || r.proto == 17 || r.proto == 33 || r.proto == 132 ||
			r.proto == 136)) {
		r.sport = TWO(l4);
		r.dport = TWO(l4 + 2);
	}
#undef TWO
	return r;
}

static bool
model_matches(const struct model_filter *m, const struct frame *f, const struct fields *r)
{
	unsigned int v = m->value;

	if (m->layer == 'M')
		return (!(v & 4) || memcmp(m->address[S].byte, f->data + 6, 6) == 0) &&
		       (!(v & 2) || memcmp(m->address[D].byte, f->data, 6) == 0) &&
		       (!(v & 8) || (int)m->number[T] == r->priority) &&
		       (!(v & 1) || (int)m->number[P] == r->ether_type);
	if (r->layers < 2 || ((v & 8) && (int)m->number[T] != r->tos) ||
		((v & 1) && (int)m->number[P] != r->proto))
		return false;
	if (m->layer == 'T')
		return (!(v & 4) || (int)m->number[S] == r->sport) &&
		       (!(v & 2) || (int)m->number[D] == r->dport);
	unsigned int size = r->version == 4 ? 4 : 16;
	return (!(v & 4) || (m->address[S].size == size &&
				    memcmp(m->address[S].byte, r->source, size) == 0)) &&
	       (!(v & 2) || (m->address[D].size == size &&
				    memcmp(m->address[D].byte, r->destination, size) == 0));
}

/* The filter that a packet is counted at: boxes in the order of registration, layers M I T, VALUEs
 * rising. */
static struct model_filter *
model_hit(const struct frame *f)
{
	struct fields r = model_parse(f);

	for (unsigned int box = 0; box < BOXES; box++) {
		uint8_t mac[6] = {0x52, 0x54, 0, 0, 0, (uint8_t)(box + 1)};
		if (!(f->data[0] & 1) && memcmp(f->data, mac, 6) != 0)
			continue;
		for (const char *layer = "MIT"; *layer != '\0'; layer++)
			for (unsigned int value = 0; value < 16; value++)
				for (unsigned int i = 0; i < model_count; i++)
					if (!model[i].gone && model[i].box == box &&
						model[i].layer == *layer &&
						model[i].value == value &&
						model_matches(&model[i], f, &r))
						return &model[i];
	}
	return NULL;
}

/* ---- random filters and frames from the same small pools, so that they meet ---- */

static const struct {
	unsigned int number;
	const char *text;
} protos[] = {{6, "tcp"}, {17, "udp"}, {1, "icmp"}, {58, "ipv6-icmp"}, {132, "sctp"}, {0, "0"},
	{60, "60"}},
  types[] = {
	  {0x800, "ip"}, {0x86dd, "ipv6"}, {0x806, "arp"}, {0x88cc, "0x88cc"}, {0x8100, "0x8100"}};
static const uint8_t tos_pool[] = {0, 4, 0xb8, 0xff};
static const uint16_t port_pool[] = {0, 53, 80, 0x1f90, 65535};

static void
pool_mac(uint8_t *mac, unsigned int i)
{
	static const uint8_t pool[6][6] = {{0x52, 0x54, 0, 0, 0, 1}, {0x52, 0x54, 0, 0, 0, 2},
		{0x52, 0x54, 0, 0, 0, 3}, {0x52, 0x54, 0, 0, 1, 1},
		{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {0x33, 0x33, 0, 0, 0, 1}};

	memcpy(mac, pool[i], 6);
}

static void
pool_ip(uint8_t *ip, bool six, unsigned int i)
{
	if (six) {
		memset(ip, 0, 16);
		ip[0] = 0x20;
		ip[1] = 1;
		ip[i < 2 ? 2 : 15] = (uint8_t)(i + 1); /* halves differ one at a time */
	} else {
		ip[0] = 10;
		ip[1] = ip[2] = 0;
		ip[3] = (uint8_t)(i + 1);
	}
}

static void
random_field(struct model_filter *m, unsigned int field, bool six)
{
	char *text = m->text[field];
	unsigned int i;

	if (field == P) {
		i = any(m->layer == 'M' ? RTE_DIM(types) : RTE_DIM(protos));
		m->number[P] = m->layer == 'M' ? types[i].number : protos[i].number;
		strcpy(text, m->layer == 'M' ? types[i].text : protos[i].text);
		return;
	}
	if (field == T)
		m->number[T] = m->layer == 'M' ? any(8) : tos_pool[any(RTE_DIM(tos_pool))];
	else if (m->layer == 'T')
		m->number[field] = port_pool[any(RTE_DIM(port_pool))];
	if (field == T || m->layer == 'T') {
		sprintf(text, "%u", m->number[field]);
	} else if (m->layer == 'M') {
		struct rte_ether_addr mac;
		m->address[field].size = 6;
		pool_mac(m->address[field].byte, any(6));
		memcpy(&mac, m->address[field].byte, 6);
		msh_mac_text(&mac, text);
	} else {
		struct msh_ip ip = {.version = six ? 6 : 4};
		m->address[field].size = six ? 16 : 4;
		pool_ip(m->address[field].byte, six, any(3));
		memcpy(six ? (void *)&ip.v6 : (void *)&ip.v4, m->address[field].byte,
			m->address[field].size);
		msh_ip_text(&ip, text);
	}
}

static struct model_filter
random_filter(void)
{
	struct model_filter m = {.box = any(BOXES), .layer = "MIT"[any(3)]};
	bool six = any(2) == 0;

	m.value = any(40) == 0 ? 0 : 1 + any(15);
	for (unsigned int field = S; field <= P; field++) {
		strcpy(m.text[field], "-");
		if (m.value & bit_of[field])
			random_field(&m, field, six);
	}
	return m;
}

static void
filter_words(const struct model_filter *m, char verb, bool bare, char *line)
{
	int n = sprintf(line, "%c %s %c %u", verb, box_mac[m->box], m->layer, m->value);

	for (unsigned int i = 0, field = any(4); i < 4; i++, field = (field + 1) % 4)
		if (m->value & bit_of[field])
			n += sprintf(
				line + n, bare ? " %c" : " %c %s", "sdtp"[field], m -> text[field]);
}

static bool
same_filter(const struct model_filter *a, const struct model_filter *b)
{
	return a->box == b->box && a->layer == b->layer && a->value == b->value &&
	       memcmp(a->text, b->text, sizeof(a->text)) == 0;
}

static void
random_add(const void **fw)
{
	struct model_filter m = random_filter();
	bool exists = false;
	char line[256];

	for (unsigned int i = 0; i < model_count; i++)
		exists |= !model[i].gone && same_filter(&model[i], &m);
	filter_words(&m, 'A', false, line);
	assert_int_equal(run(fw, line), exists ? MSH_EXISTS : MSH_OK);
	if (!exists)
		model[model_count++] = m;
}

static void
random_delete(const void **fw)
{
	const struct model_filter *m = &model[any(model_count)];
	unsigned int removed = 0, told = 0;
	bool bare = any(4) == 0;
	struct model_filter wanted = *m;
	char line[256];

	filter_words(m, 'D', bare, line);
	for (unsigned int i = 0; i < model_count; i++)
		if (!model[i].gone &&
			(same_filter(&model[i], &wanted) ||
				((bare || wanted.value == 0) && model[i].box == wanted.box &&
					model[i].layer == wanted.layer &&
					model[i].value == wanted.value))) {
			model[i].gone = true;
			removed++;
		}
	assert_int_equal(run(fw, line), removed > 0 ? MSH_OK : MSH_NOTFOUND);
	if (removed > 0) {
		assert_int_equal(sscanf(answer.text, "%u filter", &told), 1);
		assert_int_equal(told, removed);
	}
}

static unsigned int
random_transport(uint8_t *b, unsigned int o)
{
	uint16_t s = port_pool[any(RTE_DIM(port_pool))], d = port_pool[any(RTE_DIM(port_pool))];

	b[o] = (uint8_t)(s >> 8);
	b[o + 1] = (uint8_t)s;
	b[o + 2] = (uint8_t)(d >> 8);
	b[o + 3] = (uint8_t)d;
	return o + 8;
}

static unsigned int
random_ip4(uint8_t *b, unsigned int o)
{
	unsigned int options = any(6) == 0 ? 1 + any(3) : 0;

	b[o] = (uint8_t)(0x45 + options);
	b[o + 1] = tos_pool[any(RTE_DIM(tos_pool))];
	if (any(5) == 0)
		b[o + (any(2) ? 6 : 7)] = any(2) ? 0x20 : 0x01;
	b[o + 9] = (uint8_t)protos[any(RTE_DIM(protos))].number;
	pool_ip(b + o + 12, false, any(3));
	pool_ip(b + o + 16, false, any(3));
	unsigned int end = random_transport(b, o + 20 + options * 4);
	b[o + 3] = (uint8_t)(end - o);
	return end;
}

static unsigned int
random_ip6(uint8_t *b, unsigned int o)
{
	static const uint8_t extension[] = {0, 43, 44, 51, 60};
	uint8_t tos = tos_pool[any(RTE_DIM(tos_pool))], *next = b + o + 6;
	unsigned int at = o + 40;

	b[o] = (uint8_t)(0x60 | tos >> 4);
	b[o + 1] = (uint8_t)(tos << 4);
	pool_ip(b + o + 8, true, any(3));
	pool_ip(b + o + 24, true, any(3));
	for (unsigned int n = any(3) == 0 ? any(11) : 0; n > 0; n--, at += 8) {
		uint8_t kind = extension[any(5)];
		*next = kind;
		next = b + at;
		if (kind == 44 && any(2))
			b[at + (any(2) ? 2 : 3)] = any(2) ? 1 : 8;
	}
	*next = (uint8_t)protos[any(RTE_DIM(protos))].number;
	at = random_transport(b, at);
	b[o + 5] = (uint8_t)(at - o - 40);
	return at;
}

static struct frame
random_frame(void)
{
	struct frame f = {.data = {0}};
	unsigned int o = 12, kind = any(10);

	pool_mac(f.data, any(4) == 0 ? any(6) : any(2));
	pool_mac(f.data + 6, any(4));
	for (unsigned int tags = any(3) == 0 ? 1 + any(3) : 0; tags > 0; tags--, o += 4) {
		f.data[o] = any(2) ? 0x81 : 0x88;
		f.data[o + 1] = f.data[o] == 0x81 ? 0x00 : 0xa8;
		f.data[o + 2] = (uint8_t)(any(8) << 5 | any(2));
	}
	unsigned int type = kind < 4   ? 0x800
			    : kind < 8 ? 0x86dd
				       : types[any(RTE_DIM(types))].number;
	f.data[o] = (uint8_t)(type >> 8);
	f.data[o + 1] = (uint8_t)type;
	unsigned int end = kind < 4   ? random_ip4(f.data, o + 2)
			   : kind < 8 ? random_ip6(f.data, o + 2)
				      : o + 30;
	f.total = (uint16_t)(end + any(8));
	f.first = any(12) == 0 ? (uint16_t)(14 + any(f.total - 13u)) : f.total;
	if (any(20) == 0)
		f.total = f.first;
	if (any(20) == 0)
		f.data[12 + any(20)] ^= (uint8_t)(1u << any(8));
	return f;
}

static void
assert_counters(const void **fw)
{
	unsigned int seen = 0, alive = 0;

	for (unsigned int box = 0; box < BOXES; box++)
		for (const char *layer = "MIT"; *layer != '\0'; layer++) {
			char line[64];
			json_t *row;
			size_t i;
			snprintf(line, sizeof(line), "%c %s", *layer, box_mac[box]);
			assert_int_equal(run(fw, line), MSH_OK);
			json_array_foreach (answer.data, i, row) {
				struct model_filter want = {.box = box, .layer = *layer};
				unsigned int j = 0;
				want.value = (unsigned int)json_integer_value(
					json_object_get(row, "value"));
				strcpy(want.text[S], json_string_value(json_object_get(row, "s")));
				strcpy(want.text[D], json_string_value(json_object_get(row, "d")));
				strcpy(want.text[T], json_string_value(json_object_get(row, "t")));
				strcpy(want.text[P], json_string_value(json_object_get(row, "p")));
				while (model[j].gone || !same_filter(&model[j], &want))
					assert_true(++j < model_count);
				assert_int_equal(
					json_integer_value(json_object_get(row, "packets")),
					model[j].packets);
				assert_int_equal(json_integer_value(json_object_get(row, "bytes")),
					model[j].bytes);
				seen++;
			}
		}
	for (unsigned int i = 0; i < model_count; i++)
		alive += !model[i].gone;
	assert_int_equal(seen, alive);
}

static unsigned int hits[128][16]; /* by layer's letter and VALUE: each must have been reached */

static void
random_burst(const void *fw, unsigned int *dropped)
{
	static struct frame frame[MSH_BURST_MAX];

	for (unsigned int i = 0; i < MSH_BURST_MAX; i++)
		frame[i] = random_frame();
	uint64_t got = classify(fw, frame, MSH_BURST_MAX, any(MSH_WORKERS_MAX));
	for (unsigned int i = 0; i < MSH_BURST_MAX; i++) {
		struct model_filter *m = model_hit(&frame[i]);
		if ((got >> i & 1) != (m != NULL))
			fail_msg("packet %u: got %u, the model says %u", i,
				(unsigned int)(got >> i & 1), m != NULL);
		if (m == NULL)
			continue;
		m->packets++;
		m->bytes += frame[i].total;
		hits[(unsigned char)m->layer][m->value]++;
		++*dropped;
	}
}

static void
test_model(void **state)
{
	unsigned int packets = 0, dropped = 0;

	for (unsigned int round = 0; round < 600; round++) {
		const void *fw = NULL;
		memset(model, 0, sizeof(model));
		model_count = 0;
		expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
		expect(&fw, "R F " MAC_B " 10.0.0.2", MSH_OK, "");
		for (unsigned int turn = 0; turn < 10; turn++) {
			for (unsigned int n = any(6); n > 0; n--)
				random_add(&fw);
			if (model_count > 0 && any(2) == 0)
				random_delete(&fw);
			random_burst(fw, &dropped);
			packets += MSH_BURST_MAX;
		}
		assert_counters(&fw);
		assert_roundtrip(fw);
		done(fw);
	}
	for (const char *layer = "MIT"; *layer != '\0'; layer++)
		for (unsigned int value = 0; value < 16; value++)
			if (hits[(unsigned char)*layer][value] == 0)
				fail_msg("no packet reached layer %c value %u", *layer, value);
	printf("# %u packets, %u dropped, no difference from the model\n", packets, dropped);
	assert_true(packets >= 100000 && dropped > packets / 20 && dropped < packets * 19 / 20);
}

/* ---- versions, and many filters ---- */

#define VERSIONS 200

/* Version i has filters for ports 0 to i - 1. */
static void
assert_version(const void *fw, unsigned int filters)
{
	for (unsigned int port = 0; port < VERSIONS; port += 13) {
		struct frame f = udp_frame(1, (uint16_t)port);
		assert_int_equal(classify(fw, &f, 1, 0), port < filters);
	}
}

static void
test_versions(void **state)
{
	for (unsigned int order = 0; order < 3; order++) {
		const void *version[VERSIONS];
		char line[64];
		assert_int_equal(apply(NULL, "R F " MAC_A " 10.0.0.1", &version[0]), MSH_OK);
		for (unsigned int i = 1; i < VERSIONS; i++) {
			snprintf(line, sizeof(line), "A " MAC_A " T 2 d %u", i - 1);
			assert_int_equal(apply(version[i - 1], line, &version[i]), MSH_OK);
		}
		for (unsigned int i = 0; i < VERSIONS; i++) {
			/* oldest first, newest first, and 7 is prime to the number of versions */
			unsigned int at = order == 0   ? i
					  : order == 1 ? VERSIONS - 1 - i
						       : i * 7 % VERSIONS;
			assert_version(version[at], at);
			stage->destroy(version[at]);
		}
	}
	msh_answer_clear(&answer);
}

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
test_many(void **state)
{
	const unsigned int count = 10000;
	double start = seconds();
	const void *fw = NULL;
	char line[128];

	expect(&fw, "R F " MAC_A " 10.0.0.1", MSH_OK, "");
	for (unsigned int i = 0; i < count; i++) {
		snprintf(line, sizeof(line), "A " MAC_A " T 7 s 1000 d %u p udp", i);
		assert_int_equal(run(&fw, line), MSH_OK);
	}
	printf("# %u filters one by one: %.3f s\n", count, seconds() - start);
	assert_true(seconds() - start < 20); /* sanitizers, valgrind, shared hosts; else 0.1 s */
	for (unsigned int i = 0; i < count + 1000; i++) {
		struct frame f = udp_frame(1, (uint16_t)i);
		assert_int_equal(classify(fw, &f, 1, i % MSH_WORKERS_MAX), i < count);
	}
	struct lines lines = dump(fw);
	assert_int_equal(lines.count, count + 1);
	free(lines.text);
	for (unsigned int i = 0; i < count; i += 2) {
		snprintf(line, sizeof(line), "D " MAC_A " T 7 s 1000 d %u p udp", i);
		assert_int_equal(run(&fw, line), MSH_OK);
	}
	for (unsigned int i = 0; i < count; i++) {
		struct frame f = udp_frame(1, (uint16_t)i);
		assert_int_equal(classify(fw, &f, 1, 0), i % 2);
	}
	expect(&fw, "D " MAC_A " T 7 s d p", MSH_OK, "5000 filters removed");
	done(fw);
}

static unsigned int released;

static void
count_release(struct msh_object *object)
{
	released++;
}

/* Keys whose hashes are equal are still told apart; and when too many are, adding fails and keeps
 * what is there. */
static void
test_equal_hashes(void **state)
{
	static struct msh_object object[MSH_PAGE_OBJECTS + 1];
	struct msh_set *set = NULL, *next;

	for (unsigned int i = 0; i <= MSH_PAGE_OBJECTS; i++)
		object[i] = (struct msh_object){
			.key = {1, i}, .hash = 77, .refs = 1, .release = count_release};
	for (unsigned int i = 0; i < MSH_PAGE_OBJECTS; i++) {
		next = msh_set_add(set, &object[i]);
		assert_non_null(next);
		msh_set_unref(set);
		set = next;
	}
	assert_null(msh_set_add(set, &object[MSH_PAGE_OBJECTS]));
	for (unsigned int i = 0; i <= MSH_PAGE_OBJECTS; i++)
		assert_ptr_equal(msh_set_find(set, 77, object[i].key, 2),
			i < MSH_PAGE_OBJECTS ? &object[i] : NULL);
	next = msh_set_remove(set, &object[5]);
	assert_null(msh_set_find(next, 77, object[5].key, 2));
	assert_ptr_equal(msh_set_find(set, 77, object[5].key, 2), &object[5]);
	msh_set_unref(set);
	msh_set_unref(next);
	for (unsigned int i = 0; i <= MSH_PAGE_OBJECTS; i++)
		assert_int_equal(object[i].refs, 1);
	assert_int_equal(released, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_register),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_add_errors),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_delete),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_only_the_mask),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_versions),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_equal_hashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
