/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "classifier_internal.h"
#include "retire.h"

struct msh_table *
msh_tables_with(const struct msh_tables *tables, const uint64_t mask[MSH_CLASSIFIER_WORDS])
{
	for (uint32_t t = 0; t < tables->count; t++)
		if (memcmp(tables->table[t]->mask, mask, sizeof(tables->table[t]->mask)) == 0)
			return tables->table[t];
	return NULL;
}

static void
publish(struct msh_classifier *c, struct msh_tables *tables)
{
	struct msh_tables *old = c->tables;

	tables->words = 0;
	for (unsigned int w = 0; w < MSH_CLASSIFIER_WORDS; w++) {
		uint64_t used = 0;
		for (uint32_t t = 0; t < tables->count; t++)
			used |= tables->table[t]->mask[w];
		if (used != 0)
			tables->word[tables->words++] = (uint8_t)w;
	}
	__atomic_store_n(&c->tables, tables, __ATOMIC_RELEASE);
	msh_retire(free, old);
}

struct msh_table *
msh_tables_append(struct msh_classifier *c, const uint64_t mask[MSH_CLASSIFIER_WORDS])
{
	struct msh_tables *tables = malloc(sizeof(*tables));
	struct msh_table *table = msh_table_new(mask, MSH_TABLE_LIMIT);

	if (tables == NULL || table == NULL) {
		if (table != NULL)
			msh_table_free(table);
		free(tables);
		return NULL;
	}
	*tables = *c->tables;
	tables->table[tables->count++] = table;
	publish(c, tables);
	return table;
}

static void
table_retire(void *table)
{
	msh_table_free(table);
}

void
msh_tables_drop(struct msh_classifier *c, struct msh_table *table)
{
	struct msh_tables *tables = malloc(sizeof(*tables));

	if (tables == NULL)
		return;
	tables->count = 0;
	for (uint32_t t = 0; t < c->tables->count; t++)
		if (c->tables->table[t] != table)
			tables->table[tables->count++] = c->tables->table[t];
	publish(c, tables);
	msh_retire(table_retire, table);
}

const uint64_t msh_any[MSH_CLASSIFIER_WORDS];

bool
msh_tables_full(const struct msh_tables *tables)
{
	return tables->count + (msh_tables_with(tables, msh_any) == NULL) >= MSH_TABLES_MAX;
}
