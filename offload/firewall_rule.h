/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A rule of the firewall stage: what it asks of a packet, and what becomes of one that has it all.
 */

#include "classifier.h"
#include "command.h"
#include "stage.h"
#include "track.h"

enum fw_verdict { FW_ALLOW, FW_DROP, FW_REJECT, FW_VM, FW_VERDICTS };

struct fw_prefix {
	struct msh_ip ip; /* version 0: any address */
	uint8_t bits;
};

/* What a rule asks for: the words that it names, as bits of enum fw_word. */
enum fw_word {
	FW_FROM,
	FW_TO,
	FW_PROTO,
	FW_SPORT,
	FW_DPORT,
	FW_FLAGS,
	FW_ICMP,
	FW_TOS,
	FW_VLAN,
	FW_TYPE,
	FW_SMAC,
	FW_DMAC,
	FW_STATE,
	FW_WORDS
};

struct fw_match {
	uint16_t named;
	struct fw_prefix from, to;
	uint16_t sport[2], dport[2]; /* first and last */
	uint16_t ether_type, vlan;   /* vlan 0: untagged */
	uint8_t proto;
	uint8_t flags, flags_mask;    /* of TCP */
	uint8_t icmp_type, icmp_code; /* the code only with icmp_coded */
	bool icmp_coded;
	uint8_t tos, tos_mask;
	struct rte_ether_addr smac, dmac;
	uint8_t states; /* of the connection: bits of enum msh_track_verdict */
};

struct fw_rule {
	uint32_t number; /* its place, and its name */
	uint8_t side, verdict;
	uint32_t tally;
	struct fw_match match;
	struct msh_classifier_entry *entry;
};

#define FW_NUMBER_MAX MSH_CLASSIFIER_PRIORITY_MAX

/* Each is 0, or the negative status of *answer. */
int fw_side_parse(const char *word, enum msh_direction *side, struct msh_answer *answer);
int fw_verdict_parse(const char *word, enum msh_direction side, enum fw_verdict *verdict,
	struct msh_answer *answer);
int fw_number_parse(const char *word, uint32_t *number, struct msh_answer *answer);
/* Words and their values, each word once, in any order. */
int fw_match_parse(struct fw_match *match, int argc, char *const *argv, struct msh_answer *answer);

#define FW_STATES 5 /* of enum msh_track_verdict */
extern const char *const fw_state_names[FW_STATES];
#define FW_FLAGS_COUNT 8 /* in the order of their bits; RFC 9293 3.1 */
extern const char *const fw_flag_names[FW_FLAGS_COUNT];
const char *fw_side_text(enum msh_direction side);
const char *fw_verdict_text(enum fw_verdict verdict);
/* What fw_match_parse reads; empty when it asks for nothing. */
#define FW_MATCH_TEXT 384
const char *fw_match_text(const struct fw_match *match, char buffer[FW_MATCH_TEXT]);

/* The same for the classifier; `rule` is what a lookup gives. */
void fw_rule_compile(struct fw_rule *rule, struct msh_classifier_rule *compiled);
