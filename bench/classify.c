/* SPDX-License-Identifier: BSD-3-Clause */

/* The classifier beside rte_acl: the same rules, the same packets, in turn. Both must find the same
 * rules, and for some of the packets what a linear scan finds.
 *
 * usage: msh-classify EAL-ARGUMENTS -- RULES COPIES PEER
 * RULES is a plain file of ClassBench's form, of IPv4. COPIES above 1 adds the rules so many times
 * with other prefixes. PEER 0 leaves rte_acl out: its build takes minutes and gigabytes with many
 * rules. Prints JSON; cycles are those of the TSC. */

#include <inttypes.h>
#include <rte_acl.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "classifier.h"
#include "retire.h"

#define BURST MSH_BURST_MAX
#define PACKETS (1u << 19)
#define SLICE (1u << 14) /* packets of one contestant in a row */
#define ROUNDS 3
#define UPDATES 200000u
#define COST_MAX 100000
#define CHECKED 1024u /* packets of each kind */

struct rule {
	uint32_t address[2], bits[2];
	uint16_t port[2][2];
	uint8_t proto, proto_mask;
	uint16_t info, info_mask; /* TCP flags << 8, or ICMP type and code */
};

/* As rte_acl reads it; network order. */
struct header {
	uint8_t proto, pad[3];
	rte_be32_t address[2];
	rte_be16_t port[2];
	rte_be32_t info;
};

struct bench {
	struct rule *rules;
	uint32_t count;
	struct header *headers;
	struct msh_classifier_rule *ours;
	struct msh_classifier_entry **entries;
	struct msh_classifier *classifier;
	struct rte_acl_ctx *acl;
	double load_s, acl_load_s;
};

static int __attribute__((format(printf, 1, 2), noreturn)) fail(const char *format, ...)
{
	va_list list;
	va_start(list, format);
	fputs("msh-classify: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
	va_end(list);
	exit(EXIT_FAILURE);
}

static uint32_t
draw(void)
{
	static uint64_t state = 88172645463325252ull; /* the same packets each time */

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state * 0x2545f4914f6cdd1dull >> 32);
}

static double
seconds_since(uint64_t start)
{
	return (double)(rte_rdtsc() - start) / (double)rte_get_tsc_hz();
}

static uint32_t
prefix_mask(uint32_t bits)
{
	return bits == 0 ? 0 : UINT32_MAX << (32 - bits);
}

static bool
read_rule(const char *line, struct rule *rule)
{
	unsigned int a[8], p[4], proto[4];

	if (sscanf(line, "@%u.%u.%u.%u/%u %u.%u.%u.%u/%u %u : %u %u : %u %x/%x %x/%x", a, a + 1,
		    a + 2, a + 3, &rule->bits[0], a + 4, a + 5, a + 6, a + 7, &rule->bits[1], p,
		    p + 1, p + 2, p + 3, proto, proto + 1, proto + 2, proto + 3) != 18)
		return false;
	for (unsigned int i = 0; i < 2; i++) {
		const unsigned int *b = a + 4 * i;
		rule->address[i] =
			(b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3]) & prefix_mask(rule->bits[i]);
		rule->port[i][0] = (uint16_t)p[2 * i];
		rule->port[i][1] = (uint16_t)p[2 * i + 1];
	}
	rule->proto = (uint8_t)proto[0];
	rule->proto_mask = (uint8_t)proto[1];
	rule->info = (uint16_t)proto[2];
	rule->info_mask = (uint16_t)proto[3];
	return true;
}

/* A rule of other networks: the first byte of what has one is another. */
static bool
vary(struct rule *rule, unsigned int copy)
{
	bool other = false;

	for (unsigned int i = 0; i < 2; i++)
		if (rule->bits[i] >= 8) {
			rule->address[i] ^= (copy * 37 & 0xff) << 24;
			other = true;
		}
	return other;
}

static void
read_rules(struct bench *b, const char *path, unsigned int copies)
{
	char line[256];
	FILE *file = fopen(path, "r");
	uint32_t lines = 0;

	if (file == NULL)
		fail("%s cannot be read", path);
	while (fgets(line, sizeof(line), file) != NULL)
		lines++;
	rewind(file);
	b->rules = calloc((size_t)lines * copies + 1, sizeof(*b->rules));
	if (b->rules == NULL)
		fail("out of memory");
	while (b->count < lines && fgets(line, sizeof(line), file) != NULL)
		if (!read_rule(line, &b->rules[b->count++]))
			fail("%s:%u is no rule of ClassBench's form", path, b->count);
	fclose(file);
	for (unsigned int copy = 1; copy < copies; copy++)
		for (uint32_t i = 0; i < lines; i++) {
			b->rules[b->count] = b->rules[i];
			b->count += vary(&b->rules[b->count], copy);
		}
}

static struct msh_classifier_rule
our_rule(const struct rule *rule, uint32_t number)
{
	struct msh_classifier_rule r = {.object = (void *)(uintptr_t)(number + 1)};

	r.value[MSH_WORD_IP] = (uint64_t)rule->address[0] << 32 | rule->address[1];
	r.mask[MSH_WORD_IP] =
		(uint64_t)prefix_mask(rule->bits[0]) << 32 | prefix_mask(rule->bits[1]);
	r.value[MSH_WORD_L4] = (uint64_t)rule->info << 16 | (uint64_t)rule->proto << 8;
	r.mask[MSH_WORD_L4] = (uint64_t)rule->info_mask << 16 | (uint64_t)rule->proto_mask << 8;
	r.value[MSH_WORD_META] = r.mask[MSH_WORD_META] = MSH_META_IP4;
	memcpy(r.sport, rule->port[0], sizeof(r.sport));
	memcpy(r.dport, rule->port[1], sizeof(r.dport));
	return r;
}

static void
load_ours(struct bench *b)
{
	b->ours = calloc(b->count, sizeof(*b->ours));
	b->entries = calloc(b->count, sizeof(struct msh_classifier_entry *));
	if (b->ours == NULL || b->entries == NULL)
		fail("out of memory");
	for (uint32_t i = 0; i < b->count; i++)
		b->ours[i] = our_rule(&b->rules[i], i);
	struct msh_classifier *classifier;
	uint64_t start = rte_rdtsc();
	int rc = msh_classifier_create(&classifier, b->ours, b->count, COST_MAX, b->entries);
	if (rc != 0)
		fail("the classifier does not take the rules: %s", strerror(-rc));
	b->classifier = classifier;
	b->load_s = seconds_since(start);
}

/* Fields above the first must fill 32 bits. */
static const struct rte_acl_field_def acl_fields[] = {
	{RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, offsetof(struct header, proto)},
	{RTE_ACL_FIELD_TYPE_MASK, 4, 1, 1, offsetof(struct header, address[0])},
	{RTE_ACL_FIELD_TYPE_MASK, 4, 2, 2, offsetof(struct header, address[1])},
	{RTE_ACL_FIELD_TYPE_RANGE, 2, 3, 3, offsetof(struct header, port[0])},
	{RTE_ACL_FIELD_TYPE_RANGE, 2, 4, 3, offsetof(struct header, port[1])},
	{RTE_ACL_FIELD_TYPE_BITMASK, 4, 5, 4, offsetof(struct header, info)},
};
RTE_ACL_RULE_DEF(acl_rule, RTE_DIM(acl_fields));

static void
add_acl_rule(struct bench *b, uint32_t i)
{
	const struct rule *rule = &b->rules[i];
	struct acl_rule r = {.data = {.userdata = i + 1,
				     .category_mask = 1,
				     .priority = (int32_t)(RTE_ACL_MAX_PRIORITY - i)}};

	r.field[0].value.u8 = rule->proto;
	r.field[0].mask_range.u8 = rule->proto_mask;
	for (unsigned int f = 0; f < 2; f++) {
		r.field[1 + f].value.u32 = rule->address[f];
		r.field[1 + f].mask_range.u32 = rule->bits[f];
		r.field[3 + f].value.u16 = rule->port[f][0];
		r.field[3 + f].mask_range.u16 = rule->port[f][1];
	}
	r.field[5].value.u32 = (uint32_t)rule->info << 16;
	r.field[5].mask_range.u32 = (uint32_t)rule->info_mask << 16;
	if (rte_acl_add_rules(b->acl, (struct rte_acl_rule *)&r, 1) != 0)
		fail("rte_acl does not take rule %u", i);
}

static void
load_acl(struct bench *b)
{
	struct rte_acl_param param = {.name = "peer",
		.socket_id = SOCKET_ID_ANY,
		.rule_size = RTE_ACL_RULE_SZ(RTE_DIM(acl_fields)),
		.max_rule_num = b->count};
	struct rte_acl_config config = {.num_categories = 1, .num_fields = RTE_DIM(acl_fields)};
	uint64_t start = rte_rdtsc();

	memcpy(config.defs, acl_fields, sizeof(acl_fields));
	b->acl = rte_acl_create(&param);
	if (b->acl == NULL)
		fail("out of memory");
	for (uint32_t i = 0; i < b->count; i++)
		add_acl_rule(b, i);
	if (rte_acl_build(b->acl, &config) != 0)
		fail("rte_acl does not build the rules");
	/* Where the CPU has it; otherwise the best of the others remains. */
	rte_acl_set_ctx_classify(b->acl, RTE_ACL_CLASSIFY_AVX512X32);
	b->acl_load_s = seconds_since(start);
}

/* A packet that the rule matches, or any. */
static struct header
draw_header(const struct rule *rule)
{
	struct header h = {.proto = rule->proto_mask != 0 ? rule->proto : IPPROTO_TCP};

	for (unsigned int i = 0; i < 2; i++) {
		h.address[i] =
			rte_cpu_to_be_32(rule->address[i] | (draw() & ~prefix_mask(rule->bits[i])));
		uint32_t span = rule->port[i][1] - rule->port[i][0] + 1u;
		h.port[i] = rte_cpu_to_be_16((uint16_t)(rule->port[i][0] + draw() % span));
	}
	uint16_t info = (uint16_t)((rule->info & rule->info_mask) | (draw() & ~rule->info_mask));
	h.info = rte_cpu_to_be_32((uint32_t)info << 16);
	return h;
}

static void
draw_headers(struct bench *b, bool from_rules)
{
	static const struct rule any = {.port = {{0, UINT16_MAX}, {0, UINT16_MAX}}};

	for (uint32_t i = 0; i < PACKETS; i++)
		b->headers[i] = draw_header(from_rules ? &b->rules[draw() % b->count] : &any);
}

static void
fill_keys(struct msh_classifier_key keys[BURST], const struct header *headers)
{
	for (unsigned int i = 0; i < BURST; i++) {
		const struct header *h = &headers[i];
		keys[i].word[MSH_WORD_IP] = (uint64_t)rte_be_to_cpu_32(h->address[0]) << 32 |
					    rte_be_to_cpu_32(h->address[1]);
		keys[i].word[MSH_WORD_L4] = (uint64_t)rte_be_to_cpu_16(h->port[0]) << 48 |
					    (uint64_t)rte_be_to_cpu_16(h->port[1]) << 32 |
					    rte_be_to_cpu_32(h->info) | (uint64_t)h->proto << 8;
		keys[i].word[MSH_WORD_META] = MSH_META_IP4 | MSH_META_PORTS | MSH_META_INFO;
	}
}

static bool
rule_matches(const struct rule *rule, const struct header *h)
{
	for (unsigned int i = 0; i < 2; i++) {
		uint16_t port = rte_be_to_cpu_16(h->port[i]);
		if (((rte_be_to_cpu_32(h->address[i]) ^ rule->address[i]) &
			    prefix_mask(rule->bits[i])) != 0 ||
			port < rule->port[i][0] || port > rule->port[i][1])
			return false;
	}
	return ((h->proto ^ rule->proto) & rule->proto_mask) == 0 &&
	       ((rte_be_to_cpu_32(h->info) >> 16 ^ rule->info) & rule->info_mask) == 0;
}

/* The number of the first rule that matches, from 1 on; 0: none does. */
static uint32_t
scan(const struct bench *b, const struct header *h)
{
	for (uint32_t i = 0; i < b->count; i++)
		if (rule_matches(&b->rules[i], h))
			return i + 1;
	return 0;
}

static void
check(const struct bench *b)
{
	static struct msh_classifier_key keys[BURST];
	void *result[BURST];

	for (uint32_t at = 0; at < CHECKED; at += BURST) {
		fill_keys(keys, b->headers + at);
		msh_classifier_lookup(b->classifier, keys, UINT64_MAX >> (64 - BURST), result);
		for (uint32_t i = 0; i < BURST; i++)
			if ((uintptr_t)result[i] != scan(b, &b->headers[at + i]))
				fail("a packet has the verdict of rule %u instead of %u",
					(uint32_t)(uintptr_t)result[i],
					scan(b, &b->headers[at + i]));
	}
}

/* Cycles for SLICE packets from here; sums the numbers of the rules found. */
static uint64_t
run_ours(const struct bench *b, const struct header *headers, uint64_t *found)
{
	static struct msh_classifier_key keys[BURST];
	uint64_t cycles = 0;

	for (uint32_t at = 0; at < SLICE; at += BURST) {
		void *result[BURST];
		fill_keys(keys, headers + at);
		uint64_t start = rte_rdtsc();
		msh_classifier_lookup(b->classifier, keys, UINT64_MAX >> (64 - BURST), result);
		cycles += rte_rdtsc() - start;
		for (unsigned int i = 0; i < BURST; i++)
			*found += (uintptr_t)result[i];
	}
	return cycles;
}

static uint64_t
run_acl(const struct bench *b, const struct header *headers, uint64_t *found)
{
	uint64_t cycles = 0;

	for (uint32_t at = 0; at < SLICE; at += BURST) {
		struct header local[BURST];
		const uint8_t *data[BURST];
		uint32_t result[BURST];
		memcpy(local, headers + at, sizeof(local));
		for (unsigned int i = 0; i < BURST; i++)
			data[i] = (const uint8_t *)&local[i];
		uint64_t start = rte_rdtsc();
		rte_acl_classify(b->acl, data, result, BURST, 1);
		cycles += rte_rdtsc() - start;
		for (unsigned int i = 0; i < BURST; i++)
			*found += result[i];
	}
	return cycles;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Sorts. */
static double
median(double *values, unsigned int count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

static void
print_cycles(const char *name, double *values, unsigned int count)
{
	double middle = median(values, count);

	printf("\"%s\": %.1f, \"%s_best\": %.1f, ", name, middle, name, values[0]);
}

/* Slices in turn; medians, of the ratio too, and the best slices. */
static void
contest(struct bench *b, const char *name, bool from_rules)
{
	static double ours[ROUNDS * PACKETS / SLICE], acl[RTE_DIM(ours)], ratio[RTE_DIM(ours)];
	uint64_t found = 0, acl_found = 0;
	unsigned int n = 0;

	draw_headers(b, from_rules);
	check(b);
	for (unsigned int round = 0; round < ROUNDS; round++)
		for (uint32_t at = 0; at < PACKETS; at += SLICE, n++) {
			ours[n] = (double)run_ours(b, b->headers + at, &found) / SLICE;
			if (b->acl == NULL)
				continue;
			acl[n] = (double)run_acl(b, b->headers + at, &acl_found) / SLICE;
			ratio[n] = ours[n] / acl[n];
		}
	if (b->acl != NULL && found != acl_found)
		fail("%s: the two do not find the same rules", name);
	printf("\"%s\": {", name);
	print_cycles("cycles", ours, n);
	if (b->acl != NULL)
		print_cycles("rte_acl", acl, n);
	printf("\"ratio\": %.2f}, ", b->acl != NULL ? median(ratio, n) : 0);
}

/* Take out a rule and put it in again, one after the other; updates a second. */
static double
updates(struct bench *b)
{
	uint64_t start = rte_rdtsc();

	for (uint32_t i = 0; i < UPDATES / 2; i++) {
		uint32_t at = draw() % b->count;
		msh_classifier_remove(b->classifier, b->entries[at]);
		if (msh_classifier_add(b->classifier, &b->ours[at], &b->entries[at]) != 0)
			fail("rule %u is not taken again", at);
		msh_retire_poll();
	}
	return UPDATES / seconds_since(start);
}

int
main(int argc, char **argv)
{
	static struct bench b;
	int skip = rte_eal_init(argc, argv);

	if (skip < 0 || argc - skip != 4 || msh_retire_init() != 0)
		fail("usage: msh-classify EAL-ARGUMENTS -- RULES COPIES PEER");
	b.headers = calloc(PACKETS, sizeof(*b.headers));
	if (b.headers == NULL)
		fail("out of memory");
	read_rules(&b, argv[skip + 1], (unsigned int)strtoul(argv[skip + 2], NULL, 10));
	load_ours(&b);
	msh_retire_poll();
	if (strcmp(argv[skip + 3], "0") != 0)
		load_acl(&b);
	printf("{\"rules\": %u, \"cost\": %u, \"load_s\": %.2f, \"rte_acl_load_s\": %.2f, "
	       "\"bytes\": %.0f, ",
		b.count, msh_classifier_cost(b.classifier), b.load_s, b.acl_load_s,
		(double)msh_classifier_bytes(b.classifier) / b.count);
	contest(&b, "hits", true);
	contest(&b, "random", false);
	printf("\"updates\": %.0f}\n", updates(&b));
	return 0;
}
