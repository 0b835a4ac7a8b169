/* SPDX-License-Identifier: BSD-3-Clause */

/* The firewall stage's verdicts and counters beside a naive model that scans plain structs and
 * reads frames byte by byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "stages.h"

extern const struct msh_stage msh_stage_firewall;

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

	put16(b + o, s);
	put16(b + o + 2, d);
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
	put16(f.data + o, (uint16_t)type);
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
	uint64_t got =
		classify_drops(fw, frame, MSH_BURST_MAX, any(MSH_WORKERS_MAX), MSH_DROP_FIREWALL);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
	};

	stage = &msh_stage_firewall;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
