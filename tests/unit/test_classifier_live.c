/* SPDX-License-Identifier: BSD-3-Clause */

/* The classifier changes while a worker searches it: each verdict is of the old or of the new
 * rules, and rules that stay are always found. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "classifier_internal.h"
#include "eal.h"
#include "frames.h"
#include "retire.h"

#define BURST 32
#define COST_MAX 1000
#define SETS 2
#define SET_RULES 16 /* source ports */
#define CHANGES 10000

struct live {
	struct msh_classifier *classifier; /* the test writes, the worker reads */
	struct msh_classifier_key keys[BURST];
	bool (*agree)(const struct live *live, void *const *result);
	bool stop;                /* the test writes, the worker reads */
	uint64_t wrong, searches; /* the worker writes, the test reads */
};

static void *
work(void *argument)
{
	struct live *live = argument;
	void *result[BURST];

	rte_rcu_qsbr_thread_online(msh_rcu(), 0);
	while (!__atomic_load_n(&live->stop, __ATOMIC_RELAXED)) {
		const struct msh_classifier *classifier =
			__atomic_load_n(&live->classifier, __ATOMIC_ACQUIRE);
		/* As for this CPU and as for any. */
		(live->searches % 2 == 0 ? msh_classifier_lookup : msh_lookup_any)(
			classifier, live->keys, UINT64_MAX >> (64 - BURST), result);
		if (!live->agree(live, result))
			__atomic_fetch_add(&live->wrong, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&live->searches, 1, __ATOMIC_RELAXED);
		rte_rcu_qsbr_quiescent(msh_rcu(), 0);
	}
	rte_rcu_qsbr_thread_offline(msh_rcu(), 0);
	return NULL;
}

/* Change while a worker searches, `change` so many times and on until it has searched 1000 times.
 */
static void
run(struct live *live, void (*change)(struct live *live, uint32_t number))
{
	pthread_t thread;

	rte_rcu_qsbr_thread_register(msh_rcu(), 0);
	assert_int_equal(pthread_create(&thread, NULL, work, live), 0);
	for (uint32_t i = 0;
		i < CHANGES || __atomic_load_n(&live->searches, __ATOMIC_RELAXED) < 1000; i++) {
		change(live, i);
		msh_retire_poll();
	}
	__atomic_store_n(&live->stop, true, __ATOMIC_RELAXED);
	assert_int_equal(pthread_join(thread, NULL), 0);
	rte_rcu_qsbr_thread_unregister(msh_rcu(), 0);
	msh_retire_drain();
	assert_int_equal(live->wrong, 0);
	msh_classifier_destroy(live->classifier);
}

static void
keys_of_ports(struct live *live)
{
	for (unsigned int i = 0; i < BURST; i++) {
		live->keys[i].word[MSH_WORD_L4] = (uint64_t)any(SET_RULES) << 48 | 80ull << 32;
		live->keys[i].word[MSH_WORD_META] = MSH_META_PORTS;
	}
}

static struct msh_classifier_rule
rule_of_port(uint16_t port, uint32_t priority, void *object)
{
	return (struct msh_classifier_rule){.sport = {port, port},
		.dport = {0, UINT16_MAX},
		.priority = priority,
		.object = object};
}

/* ---- whole sets ---- */

static char set_object[SETS];

static bool
of_one_set(const struct live *live, void *const *result)
{
	bool same = result[0] == &set_object[0] || result[0] == &set_object[1];

	for (unsigned int i = 1; i < BURST; i++)
		same &= result[i] == result[0];
	return same;
}

static struct msh_classifier *
set_new(uint32_t number)
{
	struct msh_classifier_rule rules[SET_RULES];
	struct msh_classifier_entry *entries[SET_RULES];
	struct msh_classifier *classifier;

	for (uint16_t port = 0; port < SET_RULES; port++)
		rules[port] = rule_of_port(port, any(4), &set_object[number % SETS]);
	assert_int_equal(
		msh_classifier_create(&classifier, rules, SET_RULES, COST_MAX, entries), 0);
	return classifier;
}

static void
destroy(void *classifier)
{
	msh_classifier_destroy(classifier);
}

static void
replace(struct live *live, uint32_t number)
{
	struct msh_classifier *old = live->classifier;

	__atomic_store_n(&live->classifier, set_new(number), __ATOMIC_RELEASE);
	msh_retire(destroy, old);
}

static void
test_replaced(void **state)
{
	struct live live = {.classifier = set_new(0), .agree = of_one_set};

	keys_of_ports(&live);
	run(&live, replace);
}

/* ---- single rules ---- */

static char stays[SET_RULES], comes_and_goes[SET_RULES], unrelated;
static struct msh_classifier_entry *coming[SET_RULES], *others[512];

static bool
of_its_port(const struct live *live, void *const *result)
{
	bool right = true;

	for (unsigned int i = 0; i < BURST; i++) {
		uint64_t port = live->keys[i].word[MSH_WORD_L4] >> 48;
		right &= result[i] == &stays[port] || result[i] == &comes_and_goes[port];
	}
	return right;
}

/* Take the rule out when it is there, put it in otherwise. */
static void
toggle(struct live *live, struct msh_classifier_entry **entry, struct msh_classifier_rule rule)
{
	if (*entry != NULL) {
		msh_classifier_remove(live->classifier, *entry);
		*entry = NULL;
	} else {
		assert_int_equal(msh_classifier_add(live->classifier, &rule, entry), 0);
	}
}

/* One that decides; and of many in the same table and in another, first each comes, then each goes,
 * so that tables grow, shrink and go. */
static void
change_one(struct live *live, uint32_t number)
{
	uint16_t port = (uint16_t)any(SET_RULES), other = (uint16_t)(number % RTE_DIM(others));
	struct msh_classifier_rule rule =
		rule_of_port((uint16_t)(SET_RULES + other), 0, &unrelated);

	toggle(live, &coming[port], rule_of_port(port, 1, &comes_and_goes[port]));
	if (other % 4 == 0)
		rule.dport[0] = rule.dport[1] = 99;
	toggle(live, &others[other], rule);
}

static void
test_changed(void **state)
{
	struct msh_classifier_rule rules[SET_RULES];
	struct msh_classifier_entry *entries[SET_RULES];
	struct live live = {.agree = of_its_port};

	for (uint16_t port = 0; port < SET_RULES; port++)
		rules[port] = rule_of_port(port, 2, &stays[port]);
	assert_int_equal(
		msh_classifier_create(&live.classifier, rules, SET_RULES, COST_MAX, entries), 0);
	keys_of_ports(&live);
	run(&live, change_one);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replaced),
		cmocka_unit_test(test_changed),
	};

	start_eal();
	if (msh_retire_init() != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
