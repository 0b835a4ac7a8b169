/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* An instance of the firewall stage: the filters of one VM, as workers search them. */

#include "firewall_filter.h"
#include "firewall_rules.h"
#include "stage.h"

/* A middlebox, by the MAC that it is registered with. */
struct msh_fw_box {
	uint32_t refs; /* control lcore */
	uint32_t filters;
	struct rte_ether_addr mac;
	struct msh_ip ip;
	/* One set for each kind and VALUE in use, NULL for the others; bit VALUE of used[] says
	 * which. Looking into each of them is tuple space search: at most 48 probes, however many
	 * filters there are. */
	uint16_t used[MSH_FILTER_KINDS];
	uint8_t fallback[MSH_DIRECTIONS]; /* enum fw_verdict, of what no rule decides */
	struct fw_rules *rules;           /* NULL: none */
	struct fw_rules *pending;         /* begun and not committed: control lcore only */
	struct msh_set *set[MSH_FILTER_KINDS][MSH_FILTER_VALUES];
};

/* An instance of the stage. */
struct msh_fw {
	struct msh_hash_key secret;
	uint64_t next_order; /* of the next filter */
	uint32_t filters;    /* of all boxes */
	uint32_t boxes;
	uint64_t mac[MSH_VM_MACS_MAX]; /* of the boxes, as msh_fw_mac_bits */
	struct msh_fw_box *box[MSH_VM_MACS_MAX];
};

/* The six bytes as a number that is good for comparing. */
static inline uint64_t
msh_fw_mac_bits(const void *mac)
{
	uint64_t bits = 0;

	__builtin_memcpy(&bits, mac, RTE_ETHER_ADDR_LEN);
	return bits;
}

/* Building, control lcore. A box or instance is changed only before it is published. */

/* A box with the MAC, IP and sets of old (NULL: none). NULL: out of memory. */
struct msh_fw_box *msh_fw_box_copy(const struct msh_fw_box *old);
void msh_fw_box_unref(struct msh_fw_box *box); /* NULL is fine */
/* Put a set (NULL: none) in its place; takes it over. */
void msh_fw_box_put(
	struct msh_fw_box *box, enum msh_filter_kind kind, unsigned int value, struct msh_set *set);

/* Index of the box with this MAC, or the number of boxes; of no instance, 0. */
uint32_t msh_fw_find(const struct msh_fw *fw, const struct rte_ether_addr *mac);
/* A new instance: old (NULL: none) with this box at index `at`, which may be one behind the last.
 * Takes the box over. NULL: out of memory, also when box is NULL. */
struct msh_fw *msh_fw_with_box(const struct msh_fw *old, uint32_t at, struct msh_fw_box *box);
/* A new instance: old without the box at this index. NULL: out of memory. */
struct msh_fw *msh_fw_without_box(const struct msh_fw *old, uint32_t at);

/* Answer a table of the filters of one layer. 0, or the negative status. */
int msh_fw_list(const struct msh_fw_box *box, enum msh_layer layer, struct msh_answer *answer);

enum fw_rule_verb {
	FW_RULE_ADD,
	FW_RULE_DEL,
	FW_RULE_DEFAULT,
	FW_RULE_BEGIN,
	FW_RULE_COMMIT,
	FW_RULE_ABORT,
	FW_RULE_SHOW
};
/* For the box at this index; arguments without its MAC. As struct msh_stage's apply. */
int msh_fw_rule_verb(const struct msh_fw *old, uint32_t at, enum fw_rule_verb verb, int argc,
	char *const *argv, struct msh_answer *answer, const void **result);
/* Answer a table of the rules, of one side when argv names it. 0, or the negative status. */
int msh_fw_rule_list(
	const struct msh_fw_box *box, int argc, char *const *argv, struct msh_answer *answer);
void msh_fw_rule_dump(
	const struct msh_fw_box *box, const char *mac, msh_emit_line emit, void *context);

/* Worker: decide on the packets of mask by the rules of a box that has some. */
void msh_fw_rules_judge(const struct msh_fw_box *box, enum msh_direction side,
	struct msh_burst *burst, uint64_t mask);

/* See struct msh_stage. */
void msh_fw_destroy(const void *instance);
void msh_fw_classify(
	const void *instance, enum msh_direction direction, struct msh_burst *burst, uint64_t mask);
unsigned int msh_fw_reads(const void *instance, enum msh_direction direction);
void msh_fw_dump(const void *instance, msh_emit_line emit, void *context);
void msh_fw_show(const void *instance, json_t *rows);
