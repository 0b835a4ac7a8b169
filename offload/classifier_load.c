/* SPDX-License-Identifier: BSD-3-Clause */

/* A classifier of many rules at once: tables are planned one after the other, each for the rules
 * that those before had no room for. */

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "classifier_internal.h"

/* What this CPU is best at. */
static msh_lookup_fn
lookup_best(void)
{
#ifdef RTE_ARCH_X86_64
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
		return msh_lookup_avx512;
#endif
	return msh_lookup_any;
}

static struct msh_classifier *
classifier_new(uint32_t cost_max)
{
	struct msh_classifier *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->tables = calloc(1, sizeof(*c->tables));
	if (c->tables == NULL ||
		getrandom(&c->hash, sizeof(c->hash), 0) != (ssize_t)sizeof(c->hash)) {
		free(c->tables);
		free(c);
		return NULL;
	}
	c->hash.factor |= 1;
	c->cost_max = cost_max;
	c->lookup = lookup_best();
	return c;
}

/* Put in the table what of these entries it has room for. Returns the number of others, which are
 * moved to the front. */
static uint32_t
fill(struct msh_classifier *c, struct msh_table *table, struct msh_classifier_entry **left,
	uint32_t count)
{
	uint32_t others = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct msh_classifier_entry *entry = left[i];
		entry->hash = msh_entry_hash(&c->hash, entry, table->mask);
		if (msh_entry_fits(entry, table->mask) &&
			msh_table_same(table, entry->hash, table->limit) < table->limit)
			msh_table_insert(table, entry);
		else
			left[others++] = entry;
	}
	return others;
}

/* Put all entries into tables. Those that remain when that fails are freed. */
static int
spread(struct msh_classifier *c, struct msh_classifier_entry **left, uint32_t count)
{
	uint64_t mask[MSH_CLASSIFIER_WORDS];

	while (count > 0 && msh_classifier_cost(c) <= c->cost_max) {
		msh_classifier_plan(&c->hash, left, count, MSH_TABLE_LIMIT, mask);
		struct msh_table *table = msh_tables_with(c->tables, mask);
		if (table != NULL) {
			table->limit *= 2;
		} else {
			bool full = msh_tables_full(c->tables);
			table = full ? msh_tables_with(c->tables, msh_any) : NULL;
			if (table == NULL)
				table = msh_tables_append(c, full ? msh_any : mask);
			if (table != NULL && full)
				table->limit = UINT32_MAX;
		}
		if (table == NULL)
			break;
		count = fill(c, table, left, count);
	}
	for (uint32_t i = 0; i < count; i++)
		free(left[i]);
	return msh_classifier_cost(c) > c->cost_max ? -ENOSPC : count > 0 ? -ENOMEM : 0;
}

static int
by_precedence(const void *a, const void *b)
{
	const struct msh_classifier_entry *const *x = a, *const *y = b;

	return ((*x)->precedence > (*y)->precedence) - ((*x)->precedence < (*y)->precedence);
}

/* Those with a high precedence go into the first tables. */
static int
load(struct msh_classifier *c, const struct msh_classifier_rule *rules, uint32_t count,
	struct msh_classifier_entry **entries)
{
	struct msh_classifier_entry **left = calloc(count + 1u, sizeof(*left));
	int rc = left != NULL ? 0 : -ENOMEM;

	for (; rc == 0 && c->count < count; c->count++) {
		const struct msh_classifier_rule *rule = &rules[c->count];
		struct msh_classifier_entry *entry =
			msh_rule_valid(rule) ? msh_entry_new(rule, c->next_order++) : NULL;
		if (entry == NULL) {
			rc = msh_rule_valid(rule) ? -ENOMEM : -EINVAL;
			break;
		}
		c->entry_bytes += msh_entry_size(entry);
		entries[c->count] = left[c->count] = entry;
	}
	if (rc == 0) {
		qsort(left, count, sizeof(*left), by_precedence);
		rc = spread(c, left, count);
	} else {
		for (uint32_t i = 0; left != NULL && i < c->count; i++)
			free(left[i]);
	}
	free(left);
	return rc;
}

int
msh_classifier_create(struct msh_classifier **classifier, const struct msh_classifier_rule *rules,
	uint32_t count, uint32_t cost_max, struct msh_classifier_entry **entries)
{
	struct msh_classifier *c = classifier_new(cost_max);
	int rc = c != NULL ? load(c, rules, count, entries) : -ENOMEM;

	if (rc != 0)
		msh_classifier_destroy(c);
	else
		*classifier = c;
	return rc;
}
