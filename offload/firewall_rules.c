/* SPDX-License-Identifier: BSD-3-Clause */
#include "firewall_rules.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>

#include "retire.h"
#include "tally.h"

static int
by_number(const void *a, const void *b)
{
	uint32_t x = ((const struct fw_rule *)a)->number, y = ((const struct fw_rule *)b)->number;
	return (x > y) - (x < y);
}

static void
rule_free(void *thing)
{
	struct fw_rule *rule = thing;
	msh_tally_free(rule->tally);
	free(rule);
}

struct fw_rules *
fw_rules_new(bool pending)
{
	struct fw_rules *rules = calloc(1, sizeof(*rules));
	if (rules == NULL)
		return NULL;
	rules->refs = 1;
	rules->pending = pending;
	for (unsigned int s = 0; s < MSH_DIRECTIONS; s++)
		rules->side[s].tally = msh_tally_new();
	if (rules->side[MSH_IN].tally != 0 && rules->side[MSH_OUT].tally != 0)
		return rules;
	fw_rules_unref(rules);
	return NULL;
}

void
fw_rules_unref(struct fw_rules *rules)
{
	if (rules == NULL || --rules->refs != 0)
		return;
	for (unsigned int s = 0; s < MSH_DIRECTIONS; s++) {
		msh_classifier_destroy(rules->side[s].classifier);
		msh_tally_free(rules->side[s].tally);
		tdestroy(rules->side[s].tree, rule_free);
	}
	free(rules);
}

/* The first rule makes the classifier, so that a middlebox without rules costs nothing. */
static int
compile(struct fw_rules_side *side, struct fw_rule *rule)
{
	struct msh_classifier_rule compiled;
	fw_rule_compile(rule, &compiled);
	if (side->classifier != NULL)
		return msh_classifier_add(side->classifier, &compiled, &rule->entry);
	struct msh_classifier *made;
	int rc = msh_classifier_create(&made, &compiled, 1, FW_COST_MAX, &rule->entry);
	if (rc == 0)
		__atomic_store_n(&side->classifier, made, __ATOMIC_RELEASE);
	return rc;
}

/* One rule more, or with -1 one less. */
static void
count(struct fw_rules_side *side, const struct fw_rule *rule, int n)
{
	side->count += (uint32_t)n;
	if (rule->match.named & 1u << FW_FLAGS)
		side->reads_flags += (uint32_t)n;
	if (rule->match.named & 1u << FW_STATE)
		side->reads_state += (uint32_t)n;
}

int
fw_rules_add(struct fw_rules *rules, const struct fw_rule *like)
{
	struct fw_rules_side *side = &rules->side[like->side];
	if (tfind(like, &side->tree, by_number) != NULL)
		return -EEXIST;
	struct fw_rule *rule = malloc(sizeof(*rule));
	if (rule == NULL)
		return -ENOMEM;
	*rule = *like;
	rule->tally = msh_tally_new();
	if (rule->tally == 0 || tsearch(rule, &side->tree, by_number) == NULL) {
		rule_free(rule);
		return -ENOMEM;
	}
	int rc = rules->pending ? 0 : compile(side, rule);
	if (rc != 0) {
		tdelete(rule, &side->tree, by_number);
		rule_free(rule);
		return rc;
	}
	count(side, rule, 1);
	return 0;
}

int
fw_rules_remove(struct fw_rules *rules, enum msh_direction which, uint32_t number)
{
	struct fw_rules_side *side = &rules->side[which];
	const struct fw_rule key = {.number = number};
	struct fw_rule **found = tfind(&key, &side->tree, by_number);
	if (found == NULL)
		return -ENOENT;
	struct fw_rule *rule = *found;
	tdelete(rule, &side->tree, by_number);
	count(side, rule, -1);
	if (rules->pending) {
		rule_free(rule);
		return 0;
	}
	msh_classifier_remove(side->classifier, rule->entry);
	msh_retire(rule_free, rule); /* a worker may have it in hand */
	return 0;
}

struct walk {
	fw_each each;
	void *context;
};

static void
visit(const void *node, VISIT when, void *closure)
{
	const struct walk *walk = closure;
	if (when == postorder || when == leaf)
		walk->each(walk->context, *(struct fw_rule *const *)node);
}

void
fw_rules_walk(const struct fw_rules *rules, enum msh_direction side, fw_each each, void *context)
{
	struct walk walk = {each, context};
	twalk_r(rules->side[side].tree, visit, &walk);
}

/* All rules of a side, for the classifier. */
struct list {
	struct fw_rule **rule;
	struct msh_classifier_rule *compiled;
	struct msh_classifier_entry **entry;
	uint32_t count;
};

static void
list_rule(void *context, const struct fw_rule *rule)
{
	struct list *list = context;
	list->rule[list->count] = (struct fw_rule *)(uintptr_t)rule;
	fw_rule_compile(list->rule[list->count], &list->compiled[list->count]);
	list->count++;
}

static int
finish_side(struct fw_rules *rules, enum msh_direction which)
{
	struct fw_rules_side *side = &rules->side[which];
	struct list list = {.rule = malloc(side->count * sizeof(*list.rule)),
		.compiled = malloc(side->count * sizeof(*list.compiled)),
		.entry = malloc(side->count * sizeof(struct msh_classifier_entry *))};
	int rc = -ENOMEM;
	if (list.rule != NULL && list.compiled != NULL && list.entry != NULL) {
		fw_rules_walk(rules, which, list_rule, &list);
		rc = msh_classifier_create(
			&side->classifier, list.compiled, list.count, FW_COST_MAX, list.entry);
	}
	for (uint32_t i = 0; rc == 0 && i < list.count; i++)
		list.rule[i]->entry = list.entry[i];
	free(list.rule);
	free(list.compiled);
	free(list.entry);
	return rc;
}

int
fw_rules_finish(struct fw_rules *rules)
{
	int rc = 0;
	if (!rules->pending)
		return 0;
	for (enum msh_direction side = 0; side < MSH_DIRECTIONS && rc == 0; side++)
		if (rules->side[side].count > 0)
			rc = finish_side(rules, side);
	if (rc == 0) {
		rules->pending = false;
		return 0;
	}
	for (enum msh_direction side = 0; side < MSH_DIRECTIONS; side++) {
		msh_classifier_destroy(rules->side[side].classifier);
		rules->side[side].classifier = NULL;
	}
	return rc;
}
