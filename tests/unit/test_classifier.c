/* SPDX-License-Identifier: BSD-3-Clause */

/* The classifier beside a linear scan: random rules of all fields, packets that match them or
 * nearly, while rules come and go; and what hostile rules may cost. Each search is made twice, as
 * for any CPU and as for this one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "burst.h"
#include "classifier_internal.h"
#include "eal.h"
#include "frames.h"
#include "retire.h"

#define COST_MAX 1000000

static uint64_t
any64(void)
{
	return (uint64_t)any(1u << 16) << 48 | (uint64_t)any(1u << 24) << 24 | any(1u << 24);
}

static bool
one_of(uint32_t n)
{
	return any(n) == 0;
}

/* ---- rules and packets ---- */

static void
want(struct msh_classifier_rule *rule, enum msh_classifier_word word, uint64_t value, uint64_t mask)
{
	rule->value[word] |= value & mask;
	rule->mask[word] |= mask;
}

/* The leading bits of 64. */
static uint64_t
prefix(uint32_t bits)
{
	return bits == 0 ? 0 : UINT64_MAX << (64 - bits);
}

/* Few values, so that rules overlap. */
static uint64_t
address(void)
{
	return (uint64_t)any(4) << 62 | (uint64_t)any(3) << 40 | (uint64_t)any(3) << 32 |
	       any(3) << 30 | any(3) << 8 | any(3);
}

static void
random_ip(struct msh_classifier_rule *rule)
{
	if (one_of(2)) {
		want(rule, MSH_WORD_META, MSH_META_IP4, MSH_META_IP4);
		want(rule, MSH_WORD_IP, address(), prefix(any(33)));
		want(rule, MSH_WORD_IP, address(), prefix(any(33)) >> 32);
	} else if (one_of(2)) {
		want(rule, MSH_WORD_META, MSH_META_IP6, MSH_META_IP6);
		want(rule, MSH_WORD_IP, address(), prefix(any(65)));
		want(rule, MSH_WORD_IP6_DST, address(), prefix(any(65)));
		if (one_of(2)) {
			want(rule, MSH_WORD_IP6_SRC_LOW, address(), prefix(any(65)));
			want(rule, MSH_WORD_IP6_DST_LOW, address(), prefix(any(65)));
		}
	}
}

static void
random_range(uint16_t port[2])
{
	uint32_t a = any(UINT16_MAX + 1), b = any(UINT16_MAX + 1);

	port[0] = 0;
	port[1] = UINT16_MAX;
	if (one_of(2))
		port[0] = port[1] = (uint16_t)any(4);
	else if (one_of(2)) {
		port[0] = (uint16_t)RTE_MIN(a, b);
		port[1] = (uint16_t)RTE_MAX(a, b);
	}
}

static struct msh_classifier_rule
random_rule(void)
{
	static const uint64_t protocols[] = {1, 6, 17};
	struct msh_classifier_rule rule = {.priority = any(8)};

	random_ip(&rule);
	random_range(rule.sport);
	random_range(rule.dport);
	if (one_of(2))
		want(&rule, MSH_WORD_L4, protocols[any(3)] << 8, 0xff00);
	if (one_of(4)) {
		want(&rule, MSH_WORD_L4, (uint64_t)any(4) << 24, (uint64_t)any(256) << 24);
		want(&rule, MSH_WORD_META, MSH_META_INFO, MSH_META_INFO);
	}
	if (one_of(8))
		want(&rule, MSH_WORD_L4, any(4), any(256));
	if (one_of(8))
		want(&rule, MSH_WORD_META, MSH_META_TAGGED | (uint64_t)any(3) << 32,
			0x1fffull << 32);
	if (one_of(8))
		want(&rule, MSH_WORD_META, (uint64_t)any(3) << 48, 0xffffull << 48);
	if (one_of(8))
		want(&rule, MSH_WORD_MAC_SRC, any(3), 0xffffffffffffull);
	if (one_of(8))
		want(&rule, MSH_WORD_MAC_DST, any(3), 0xffffffffffffull);
	return rule;
}

static uint64_t
port_of(const uint16_t port[2])
{
	switch (any(4)) {
	case 0:
		return port[0];
	case 1:
		return port[1];
	case 2:
		return any(UINT16_MAX + 1);
	default:
		return port[0] + any(port[1] - port[0] + 1u);
	}
}

/* A packet that matches the rule, or would but for a few bits. */
static struct msh_classifier_key
packet_of(const struct msh_classifier_rule *rule)
{
	struct msh_classifier_key key;

	for (unsigned int w = 0; w < MSH_CLASSIFIER_WORDS; w++)
		key.word[w] = rule->value[w] | (any64() & any64() & ~rule->mask[w]);
	key.word[MSH_WORD_L4] = (key.word[MSH_WORD_L4] & UINT32_MAX) | port_of(rule->sport) << 48 |
				port_of(rule->dport) << 32;
	if (!one_of(8))
		key.word[MSH_WORD_META] |= MSH_META_PORTS;
	while (one_of(3))
		key.word[any(MSH_CLASSIFIER_WORDS)] ^= 1ull << any(64);
	return key;
}

/* ---- the model ---- */

static bool
in_range(uint64_t port, const uint16_t range[2], bool has_ports)
{
	return (range[0] == 0 && range[1] == UINT16_MAX) ||
	       (has_ports && range[0] <= port && port <= range[1]);
}

static bool
rule_matches(const struct msh_classifier_rule *rule, const struct msh_classifier_key *key)
{
	bool has_ports = (key->word[MSH_WORD_META] & MSH_META_PORTS) != 0;

	for (unsigned int w = 0; w < MSH_CLASSIFIER_WORDS; w++)
		if ((key->word[w] & rule->mask[w]) != rule->value[w])
			return false;
	return in_range(key->word[MSH_WORD_L4] >> 48, rule->sport, has_ports) &&
	       in_range(key->word[MSH_WORD_L4] >> 32 & 0xffff, rule->dport, has_ports);
}

#define RULES_MAX 12000
struct model {
	struct msh_classifier *classifier;
	struct msh_classifier_rule rule[RULES_MAX]; /* in the order of adding */
	struct msh_classifier_entry *entry[RULES_MAX];
	uint32_t count;
};

static const struct msh_classifier_rule *
model_lookup(const struct model *m, const struct msh_classifier_key *key)
{
	const struct msh_classifier_rule *best = NULL;

	for (uint32_t i = 0; i < m->count; i++)
		if ((best == NULL || m->rule[i].priority < best->priority) &&
			rule_matches(&m->rule[i], key))
			best = &m->rule[i];
	return best;
}

/* Rules are told by a number, since they move in the model. */
static void
check_burst(const struct model *m, const struct msh_classifier_key *keys, uint64_t mask)
{
	const msh_lookup_fn searches[] = {m->classifier->lookup, msh_lookup_any};
	void *result[MSH_CLASSIFIER_BURST];

	for (unsigned int s = 0; s < RTE_DIM(searches); s++) {
		searches[s](m->classifier, keys, mask, result);
		MSH_FOREACH_BIT (i, mask) {
			const struct msh_classifier_rule *rule = model_lookup(m, &keys[i]);
			assert_ptr_equal(result[i], rule != NULL ? rule->object : NULL);
		}
	}
}

static void
check_packets(const struct model *m, unsigned int bursts)
{
	struct msh_classifier_key keys[MSH_CLASSIFIER_BURST];

	while (m->count > 0 && bursts-- > 0) {
		for (unsigned int i = 0; i < MSH_CLASSIFIER_BURST; i++)
			keys[i] = packet_of(&m->rule[any(m->count)]);
		check_burst(m, keys, one_of(2) ? UINT64_MAX : any64());
	}
}

static void *
next_object(void)
{
	static uintptr_t number;

	return (void *)++number;
}

static int
model_add(struct model *m, struct msh_classifier_rule rule)
{
	rule.object = next_object();
	m->rule[m->count] = rule;
	int rc = msh_classifier_add(m->classifier, &rule, &m->entry[m->count]);
	m->count += rc == 0;
	return rc;
}

static void
model_remove(struct model *m, uint32_t i)
{
	msh_classifier_remove(m->classifier, m->entry[i]);
	msh_retire_poll();
	m->count--;
	memmove(&m->rule[i], &m->rule[i + 1], (m->count - i) * sizeof(m->rule[0]));
	memmove(&m->entry[i], &m->entry[i + 1],
		(m->count - i) * sizeof(struct msh_classifier_entry *));
}

static struct model *
model_new(uint32_t rules, uint32_t cost_max)
{
	static struct model m;

	m.count = rules;
	for (uint32_t i = 0; i < rules; i++) {
		m.rule[i] = random_rule();
		m.rule[i].object = next_object();
	}
	assert_int_equal(msh_classifier_create(&m.classifier, m.rule, rules, cost_max, m.entry), 0);
	return &m;
}

/* ---- tests ---- */

static void
test_as_a_linear_scan(void **state)
{
	for (unsigned int set = 0; set < 150; set++) {
		struct model *m = model_new(any(300), COST_MAX);
		for (unsigned int step = 0; step < 100; step++) {
			if (one_of(2))
				assert_int_equal(model_add(m, random_rule()), 0);
			else if (m->count > 0)
				model_remove(m, any(m->count));
			if (step % 10 == 0)
				check_packets(m, 1);
		}
		assert_int_equal(msh_classifier_count(m->classifier), m->count);
		check_packets(m, 1);
		msh_classifier_destroy(m->classifier);
	}
}

static void
test_grows_and_shrinks(void **state)
{
	struct model *m = model_new(0, COST_MAX);
	size_t before = msh_classifier_bytes(m->classifier);

	for (unsigned int i = 0; i < 5000; i++)
		assert_int_equal(model_add(m, random_rule()), 0);
	check_packets(m, 20);
	while (m->count > 0) {
		model_remove(m, any(m->count));
		if (m->count % 1000 == 1)
			check_packets(m, 2);
	}
	assert_int_equal(msh_classifier_cost(m->classifier), 0);
	assert_int_equal(msh_classifier_bytes(m->classifier), before);
	msh_classifier_destroy(m->classifier);
}

static void
test_many_at_once(void **state)
{
	struct model *m = model_new(10000, COST_MAX);

	check_packets(m, 20);
	assert_true(msh_classifier_bytes(m->classifier) <= 256 * 10000);
	msh_classifier_destroy(m->classifier);
}

/* Add rules until one is refused: the classifier is as it was, and never costs more than it may. */
static void
fill_up(struct model *m, struct msh_classifier_rule (*next)(uint32_t number), uint32_t cost_max)
{
	uint32_t cost = 0;
	int rc;

	while ((rc = model_add(m, next(m->count))) == 0) {
		cost = msh_classifier_cost(m->classifier);
		assert_true(cost <= cost_max);
		assert_true(m->count < RULES_MAX);
	}
	assert_int_equal(rc, -ENOSPC);
	assert_int_equal(msh_classifier_count(m->classifier), m->count);
	assert_int_equal(msh_classifier_cost(m->classifier), cost);
	check_packets(m, 20);
	while (m->count > 0)
		model_remove(m, any(m->count));
	assert_int_equal(msh_classifier_cost(m->classifier), 0);
	msh_classifier_destroy(m->classifier);
}

/* Each with other bits: as many tuples as rules. */
static struct msh_classifier_rule
exploding(uint32_t number)
{
	struct msh_classifier_rule rule = {.sport = {0, UINT16_MAX}, .dport = {0, UINT16_MAX}};

	want(&rule, MSH_WORD_IP, 0, any64());
	want(&rule, MSH_WORD_L4, 0, any64() & UINT32_MAX);
	want(&rule, MSH_WORD_META, number, any64() & ~0xffffull);
	return rule;
}

/* Ranges one in the other, from any to any: all rules have the same hash. */
static struct msh_classifier_rule
stacked(uint32_t number)
{
	return (struct msh_classifier_rule){.priority = number,
		.sport = {0, UINT16_MAX},
		.dport = {(uint16_t)number, (uint16_t)(UINT16_MAX - number)}};
}

static void
test_cost_of_many_tuples(void **state)
{
	fill_up(model_new(0, 400), exploding, 400);
}

static void
test_cost_of_equal_keys(void **state)
{
	fill_up(model_new(0, 400), stacked, 400);
}

static void
test_cost_of_a_whole_set(void **state)
{
	static struct msh_classifier_rule rules[10000];
	static struct msh_classifier_entry *entries[10000];
	struct msh_classifier *classifier = NULL;

	for (uint32_t i = 0; i < RTE_DIM(rules); i++) {
		rules[i] = stacked(i);
		rules[i].object = next_object();
	}
	assert_int_equal(
		msh_classifier_create(&classifier, rules, RTE_DIM(rules), 400, entries), -ENOSPC);
	assert_null(classifier);
	assert_int_equal(
		msh_classifier_create(&classifier, rules, RTE_DIM(rules), 20000, entries), 0);
	msh_classifier_destroy(classifier);
}

/* What a VM may reasonably have costs little. */
static void
test_cost_of_usual_rules(void **state)
{
	struct model *m = model_new(0, 200);

	for (uint32_t i = 0; i < 10000; i++) {
		struct msh_classifier_rule rule = {.sport = {0, UINT16_MAX}, .dport = {80, 80}};
		want(&rule, MSH_WORD_META, MSH_META_IP4, MSH_META_IP4);
		want(&rule, MSH_WORD_IP, any64(), one_of(2) ? UINT32_MAX : prefix(24));
		assert_int_equal(model_add(m, rule), 0);
	}
	assert_true(msh_classifier_cost(m->classifier) < 100);
	check_packets(m, 5);
	msh_classifier_destroy(m->classifier);
}

static void
test_wrong_rules(void **state)
{
	struct model *m = model_new(0, COST_MAX);
	struct msh_classifier_rule good = {.object = m, .sport = {1, 2}, .dport = {3, 3}};
	struct msh_classifier_rule rules[] = {good, good, good, good};
	struct msh_classifier *other = NULL;

	rules[0].object = NULL;
	rules[1].sport[1] = 0;
	rules[2].dport[0] = 4;
	rules[3].priority = MSH_CLASSIFIER_PRIORITY_MAX + 1;
	for (unsigned int i = 0; i < RTE_DIM(rules); i++) {
		struct msh_classifier_rule both[] = {good, rules[i]};
		assert_int_equal(msh_classifier_add(m->classifier, &rules[i], m->entry), -EINVAL);
		assert_int_equal(
			msh_classifier_create(&other, both, 2, COST_MAX, m->entry), -EINVAL);
	}
	assert_null(other);
	assert_int_equal(msh_classifier_count(m->classifier), 0);
	msh_classifier_destroy(m->classifier);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_a_linear_scan),
		cmocka_unit_test(test_grows_and_shrinks),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_cost_of_many_tuples),
		cmocka_unit_test(test_cost_of_equal_keys),
		cmocka_unit_test(test_cost_of_a_whole_set),
		cmocka_unit_test(test_cost_of_usual_rules),
		cmocka_unit_test(test_wrong_rules),
	};

	start_eal();
	if (msh_retire_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
