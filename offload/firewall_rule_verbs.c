/* SPDX-License-Identifier: BSD-3-Clause */

/* The verbs of rules. A rule is put into force, or taken out, as the last step of a command, when
 * nothing can fail any more. */

#include <errno.h>
#include <stdio.h>

#include "firewall_box.h"

static int
no_memory(struct msh_answer *answer)
{
	return msh_answer_set(answer, MSH_FAILED, "out of memory for firewall rules");
}

/* A box like the old one, that has rules, and an instance with it; NULL: out of memory. */
static struct msh_fw *
with_rules(const struct msh_fw *old, uint32_t at)
{
	struct msh_fw_box *box = msh_fw_box_copy(old->box[at]);
	if (box != NULL && box->rules == NULL)
		box->rules = fw_rules_new(false);
	if (box != NULL && box->rules == NULL) {
		msh_fw_box_unref(box);
		return NULL;
	}
	return msh_fw_with_box(old, at, box);
}

static int
refused(int rc, const struct fw_rule *rule, const char *mac, struct msh_answer *answer)
{
	if (rc == -EEXIST)
		return msh_answer_set(answer, MSH_EXISTS, "%s has a rule %s %u already", mac,
			fw_side_text(rule->side), rule->number);
	if (rc == -ENOSPC)
		return msh_answer_set(answer, MSH_FULL,
			"with rule %s %u a packet of %s could meet more than %u rules and tables: "
			"too slow",
			fw_side_text(rule->side), rule->number, mac, FW_COST_MAX);
	return no_memory(answer);
}

/* {in|out} NUMBER VERDICT [WORD VALUE]... */
static int
add(const struct msh_fw *old, uint32_t at, int argc, char *const *argv, struct msh_answer *answer,
	const void **result)
{
	char mac[MSH_MAC_TEXT];
	enum msh_direction side;
	enum fw_verdict verdict;
	struct fw_rule rule = {0};
	int rc;
	if ((rc = fw_side_parse(argv[0], &side, answer)) != 0 ||
		(rc = fw_number_parse(argv[1], &rule.number, answer)) != 0 ||
		(rc = fw_verdict_parse(argv[2], side, &verdict, answer)) != 0 ||
		(rc = fw_match_parse(&rule.match, argc - 3, argv + 3, answer)) != 0)
		return rc;
	rule.side = (uint8_t)side;
	rule.verdict = (uint8_t)verdict;
	msh_mac_text(&old->box[at]->mac, mac);

	struct fw_rules *pending = old->box[at]->pending;
	struct msh_fw *fw = pending == NULL ? with_rules(old, at) : NULL;
	if (pending == NULL && fw == NULL)
		return no_memory(answer);
	rc = fw_rules_add(pending != NULL ? pending : fw->box[at]->rules, &rule);
	if (rc != 0) {
		if (fw != NULL)
			msh_fw_destroy(fw);
		return refused(rc, &rule, mac, answer);
	}
	if (fw != NULL)
		*result = fw;
	return msh_answer_set(answer, MSH_OK, "rule %s %u added for %s%s", argv[0], rule.number,
		mac, pending != NULL ? ", to be in force when committed" : "");
}

/* {in|out} NUMBER */
static int
del(const struct msh_fw *old, uint32_t at, char *const *argv, struct msh_answer *answer,
	const void **result)
{
	const struct msh_fw_box *box = old->box[at];
	struct fw_rules *rules = box->pending != NULL ? box->pending : box->rules;
	char mac[MSH_MAC_TEXT];
	enum msh_direction side;
	uint32_t number;
	int rc;
	if ((rc = fw_side_parse(argv[0], &side, answer)) != 0 ||
		(rc = fw_number_parse(argv[1], &number, answer)) != 0)
		return rc;
	msh_mac_text(&box->mac, mac);
	struct msh_fw *fw = box->pending == NULL ? with_rules(old, at) : NULL;
	if (box->pending == NULL && fw == NULL)
		return no_memory(answer);
	if (rules == NULL || fw_rules_remove(rules, side, number) != 0) {
		if (fw != NULL)
			msh_fw_destroy(fw);
		return msh_answer_set(
			answer, MSH_NOTFOUND, "%s has no rule %s %u", mac, argv[0], number);
	}
	if (fw != NULL)
		*result = fw;
	return msh_answer_set(answer, MSH_OK, "rule %s %u removed for %s", argv[0], number, mac);
}

/* {in|out} VERDICT */
static int
set_default(const struct msh_fw *old, uint32_t at, char *const *argv, struct msh_answer *answer,
	const void **result)
{
	char mac[MSH_MAC_TEXT];
	enum msh_direction side;
	enum fw_verdict verdict;
	int rc;
	if ((rc = fw_side_parse(argv[0], &side, answer)) != 0 ||
		(rc = fw_verdict_parse(argv[1], side, &verdict, answer)) != 0)
		return rc;
	struct msh_fw *fw = with_rules(old, at);
	if (fw == NULL)
		return no_memory(answer);
	fw->box[at]->fallback[side] = (uint8_t)verdict;
	*result = fw;
	return msh_answer_set(answer, MSH_OK, "%s %s: what no rule decides is now %s",
		msh_mac_text(&old->box[at]->mac, mac), argv[0],
		verdict == FW_ALLOW  ? "allowed"
		: verdict == FW_DROP ? "dropped"
		: verdict == FW_VM   ? "the VM's"
				     : "rejected");
}

/* An instance whose box has these rules in force and those pending; takes both over. */
static int
replace(const struct msh_fw *old, uint32_t at, struct fw_rules *rules, struct fw_rules *pending,
	struct msh_answer *answer, const void **result)
{
	struct msh_fw_box *box = msh_fw_box_copy(old->box[at]);
	if (box == NULL) {
		fw_rules_unref(rules);
		fw_rules_unref(pending);
		return no_memory(answer);
	}
	fw_rules_unref(box->rules);
	fw_rules_unref(box->pending);
	box->rules = rules;
	box->pending = pending;
	struct msh_fw *fw = msh_fw_with_box(old, at, box);
	if (fw == NULL)
		return no_memory(answer);
	*result = fw;
	return 0;
}

static struct fw_rules *
taken(struct fw_rules *rules)
{
	if (rules != NULL)
		rules->refs++;
	return rules;
}

static int
begin(const struct msh_fw *old, uint32_t at, struct msh_answer *answer, const void **result)
{
	const struct msh_fw_box *box = old->box[at];
	char mac[MSH_MAC_TEXT];
	msh_mac_text(&box->mac, mac);
	if (box->pending != NULL)
		return msh_answer_set(
			answer, MSH_EXISTS, "%s has begun a new set of rules already", mac);
	struct fw_rules *pending = fw_rules_new(true);
	if (pending == NULL)
		return no_memory(answer);
	int rc = replace(old, at, taken(box->rules), pending, answer, result);
	return rc != 0 ? rc
		       : msh_answer_set(answer, MSH_OK,
				 "a new set of rules for %s begins; the old one is in force until "
				 "it is committed",
				 mac);
}

static int
end(const struct msh_fw *old, uint32_t at, bool commit, struct msh_answer *answer,
	const void **result)
{
	const struct msh_fw_box *box = old->box[at];
	struct fw_rules *rules = commit ? box->pending : box->rules;
	char mac[MSH_MAC_TEXT];
	msh_mac_text(&box->mac, mac);
	if (box->pending == NULL)
		return msh_answer_set(answer, MSH_NOTFOUND, "%s has begun no set of rules", mac);
	int rc = commit ? fw_rules_finish(rules) : 0;
	if (rc == -ENOSPC)
		return msh_answer_set(answer, MSH_FULL,
			"with these rules a packet of %s could meet more than %u of them and "
			"tables: too slow",
			mac, FW_COST_MAX);
	if (rc != 0)
		return no_memory(answer);
	rc = replace(old, at, taken(rules), NULL, answer, result);
	if (rc != 0)
		return rc;
	if (!commit)
		return msh_answer_set(
			answer, MSH_OK, "the new set of rules for %s is forgotten", mac);
	return msh_answer_set(answer, MSH_OK, "%u rules in and %u out are in force for %s",
		rules->side[MSH_IN].count, rules->side[MSH_OUT].count, mac);
}

int
msh_fw_rule_verb(const struct msh_fw *old, uint32_t at, enum fw_rule_verb verb, int argc,
	char *const *argv, struct msh_answer *answer, const void **result)
{
	switch (verb) {
	case FW_RULE_ADD:
		return add(old, at, argc, argv, answer, result);
	case FW_RULE_DEL:
		return del(old, at, argv, answer, result);
	case FW_RULE_DEFAULT:
		return set_default(old, at, argv, answer, result);
	case FW_RULE_BEGIN:
		return begin(old, at, answer, result);
	case FW_RULE_COMMIT:
	case FW_RULE_ABORT:
		return end(old, at, verb == FW_RULE_COMMIT, answer, result);
	default:
		return msh_fw_rule_list(old->box[at], argc, argv, answer);
	}
}
