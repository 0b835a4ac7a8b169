/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "classifier_table.h"

#define ORDER_BITS 44 /* 5 years of 100000 rules a second */

/* The longest prefix that all ports of a range have: what can be hashed of it. */
static uint64_t
port_mask(const uint16_t port[2])
{
	unsigned int differ = port[0] ^ port[1];

	return differ == 0 ? 0xffff : 0xffff & ~((2u << (31 - __builtin_clz(differ))) - 1);
}

static bool
any_port(const uint16_t port[2])
{
	return port[0] == 0 && port[1] == UINT16_MAX;
}

bool
msh_rule_valid(const struct msh_classifier_rule *rule)
{
	return rule->priority <= MSH_CLASSIFIER_PRIORITY_MAX && rule->object != NULL &&
	       rule->sport[0] <= rule->sport[1] && rule->dport[0] <= rule->dport[1];
}

static size_t
size(bool both)
{
	return sizeof(struct msh_classifier_entry) + (both ? 2 : 1) * sizeof(struct msh_half);
}

size_t
msh_entry_size(const struct msh_classifier_entry *entry)
{
	return size(entry->both);
}

struct msh_classifier_entry *
msh_entry_new(const struct msh_classifier_rule *rule, uint64_t order)
{
	uint64_t value[MSH_CLASSIFIER_WORDS], mask[MSH_CLASSIFIER_WORDS];
	bool both = false;

	memcpy(value, rule->value, sizeof(value));
	memcpy(mask, rule->mask, sizeof(mask));
	mask[MSH_WORD_L4] = (mask[MSH_WORD_L4] & UINT32_MAX) | port_mask(rule->sport) << 48 |
			    port_mask(rule->dport) << 32;
	value[MSH_WORD_L4] = (value[MSH_WORD_L4] & UINT32_MAX) | (uint64_t)rule->sport[0] << 48 |
			     (uint64_t)rule->dport[0] << 32;
	if (!any_port(rule->sport) || !any_port(rule->dport)) {
		mask[MSH_WORD_META] |= MSH_META_PORTS;
		value[MSH_WORD_META] |= MSH_META_PORTS;
	}
	for (unsigned int w = MSH_HALF_WORDS; w < MSH_CLASSIFIER_WORDS; w++)
		both |= mask[w] != 0;
	struct msh_classifier_entry *entry = malloc(size(both));
	if (entry == NULL)
		return NULL;
	*entry = (struct msh_classifier_entry){
		.precedence = (uint64_t)rule->priority << ORDER_BITS | order,
		.object = rule->object,
		.sport = rule->sport[0],
		.sport_span = (uint16_t)(rule->sport[1] - rule->sport[0]),
		.dport = rule->dport[0],
		.dport_span = (uint16_t)(rule->dport[1] - rule->dport[0]),
		.both = both,
	};
	for (unsigned int w = 0; w < (both ? MSH_CLASSIFIER_WORDS : MSH_HALF_WORDS); w++) {
		struct msh_half *half = &entry->half[w / MSH_HALF_WORDS];
		half->mask[w % MSH_HALF_WORDS] = mask[w];
		half->value[w % MSH_HALF_WORDS] = value[w] & mask[w];
	}
	return entry;
}
