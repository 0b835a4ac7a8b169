/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The rules of one middlebox, both ways. Workers search them while the control lcore changes one
 * at a time; a whole set is replaced by publishing another one. */

#include "firewall_rule.h"

/* Beside what msh_classifier_key says of a packet: it is IP, and what it is to its connection. */
#define FW_META_IP (UINT64_C(1) << 16)
#define FW_META_STATE 17 /* the first of FW_STATES bits, of which one is set */

/* Of one direction of one middlebox. */
#define FW_RULES_MAX (FW_NUMBER_MAX + 1)
/* How many rules and tables a packet may have to look at, whatever hostile rules there are. */
#define FW_COST_MAX 1000

struct fw_rules {
	uint32_t refs; /* control lcore */
	bool pending;  /* a set that is being made: no worker sees it, nor can search it */
	struct fw_rules_side {
		struct msh_classifier *classifier; /* NULL: no rule yet; set once in force */
		void *tree;                        /* tsearch(3): struct fw_rule by number */
		uint32_t count;
		uint32_t tally;                    /* of what no rule decided */
		uint32_t reads_flags, reads_state; /* rules that ask for these */
	} side[MSH_DIRECTIONS];
};

/* Without rules. NULL: out of memory. */
struct fw_rules *fw_rules_new(bool pending);
/* Make a pending set one that can be searched, better than one of rules added one by one. 0,
 * -ENOSPC or -ENOMEM as fw_rules_add, and it is still pending. */
int fw_rules_finish(struct fw_rules *rules);
void fw_rules_unref(struct fw_rules *rules); /* NULL is fine */

/* Add one like this. 0, -EEXIST: the number is taken, -ENOSPC: too costly to search, -ENOMEM. */
int fw_rules_add(struct fw_rules *rules, const struct fw_rule *like);
/* 0 or -ENOENT. Never fails otherwise. */
int fw_rules_remove(struct fw_rules *rules, enum msh_direction side, uint32_t number);

typedef void (*fw_each)(void *context, const struct fw_rule *rule);
/* In the order of their numbers. */
void fw_rules_walk(
	const struct fw_rules *rules, enum msh_direction side, fw_each each, void *context);
