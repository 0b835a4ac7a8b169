/* SPDX-License-Identifier: BSD-3-Clause */

/* Filters that drop what comes for a middlebox, in the language of the seed: docs/stages.md. */

#include <errno.h>
#include <stdio.h>

#include "firewall_box.h"
#include "stage.h"

/* Of one VM. */
#define FILTERS_MAX 65536

enum {
	REGISTER,
	ADD,
	DELETE,
	SHOW_I,
	SHOW_M,
	SHOW_T,
	RULE, /* the first of enum fw_rule_verb */
	VERBS = RULE + FW_RULE_SHOW + 1
};

#define SIDE_AND_NUMBER "MAC {in|out} NUMBER"

static const struct msh_stage_verb verbs[VERBS] = {
	[REGISTER] = {"R F", "MAC IP", "register a middlebox for firewall filters", 2, 2},
	[ADD] = {"A", "MAC {I|M|T} VALUE [s V] [d V] [t V] [p V]",
		"drop what matches all of these fields; VALUE is the sum of t=8 s=4 d=2 p=1", 3,
		11},
	[DELETE] = {"D", "MAC {I|M|T} VALUE [s [V]] [d [V]] [t [V]] [p [V]]",
		"remove one filter, or without values all filters of this VALUE", 3, 11},
	[SHOW_I] = {"I", "MAC", "list the filters on IP fields", 1, 1},
	[SHOW_M] = {"M", "MAC", "list the filters on Ethernet fields", 1, 1},
	[SHOW_T] = {"T", "MAC", "list the filters on transport fields", 1, 1},
	[RULE + FW_RULE_ADD] = {"rule add",
		SIDE_AND_NUMBER " {allow|drop|reject|vm} [WORD VALUE]...",
		"of the rules that match a packet for the MAC (in) or from it (out), the lowest "
		"NUMBER decides. WORD: from, to, proto, sport, dport, flags, icmp, tos, vlan, "
		"type, smac, dmac, state",
		4, 4 + 2 * FW_WORDS},
	[RULE + FW_RULE_DEL] = {"rule del", SIDE_AND_NUMBER, "remove one rule", 3, 3},
	[RULE + FW_RULE_DEFAULT] = {"rule default", "MAC {in|out} {allow|drop|reject|vm}",
		"what becomes of a packet that no rule matches (allow)", 3, 3},
	[RULE + FW_RULE_BEGIN] = {"rule begin", "MAC",
		"begin a new set of rules, which `rule add` and `rule del` change from now on", 1,
		1},
	[RULE + FW_RULE_COMMIT] = {"rule commit", "MAC",
		"put the new set in the place of the old one, all at once", 1, 1},
	[RULE + FW_RULE_ABORT] = {"rule abort", "MAC", "forget the new set", 1, 1},
	[RULE + FW_RULE_SHOW] = {"rule show", "MAC [in|out]",
		"list the rules in force with their counters", 1, 2},
};

static int
no_memory(struct msh_answer *answer)
{
	return msh_answer_set(answer, MSH_FAILED, "out of memory for firewall filters");
}

static int
fw_register(const struct msh_fw *old, const struct rte_ether_addr *mac, const char *ip_word,
	struct msh_answer *answer, const void **result)
{
	uint32_t at = msh_fw_find(old, mac);
	char text[MSH_MAC_TEXT], ip_text[MSH_IP_TEXT];
	struct msh_ip ip;

	msh_mac_text(mac, text);
	if (msh_parse_ip(ip_word, &ip) < 0)
		return msh_answer_set(
			answer, MSH_BAD, "%s is not an IPv4 or IPv6 address", ip_word);
	if (rte_is_multicast_ether_addr(mac))
		return msh_answer_set(
			answer, MSH_BAD, "MAC %s is a group's, not a middlebox's", text);
	if (old != NULL && at < old->boxes)
		return msh_answer_set(answer, MSH_EXISTS,
			"MAC %s is registered for firewall already, with IP %s", text,
			msh_ip_text(&old->box[at]->ip, ip_text));
	if (at == MSH_VM_MACS_MAX)
		return msh_answer_set(answer, MSH_FULL,
			"%u MACs are registered for firewall, no room for %s", at, text);

	struct msh_fw_box *box = msh_fw_box_copy(NULL);
	if (box != NULL) {
		box->mac = *mac;
		box->ip = ip;
	}
	const struct msh_fw *fw = msh_fw_with_box(old, at, box);
	if (fw == NULL)
		return no_memory(answer);
	*result = fw;
	return msh_answer_set(answer, MSH_OK, "MAC %s with IP %s is registered for firewall", text,
		msh_ip_text(&ip, ip_text));
}

static int
added(const struct msh_filter_spec *spec, const char *mac, struct msh_answer *answer)
{
	char line[MSH_FILTER_LINE];

	msh_filter_line(spec->kind, spec->value, &spec->key, line);
	if (spec->value == 0)
		return msh_answer_set(answer, MSH_OK,
			"filter %s names no field: every %s that comes for %s is dropped now", line,
			spec->layer == MSH_LAYER_M ? "frame" : "IP packet", mac);
	return msh_answer_set(answer, MSH_OK, "filter %s added for %s", line, mac);
}

static int
fw_add(const struct msh_fw *old, uint32_t at, const struct msh_filter_spec *spec,
	struct msh_answer *answer, const void **result)
{
	const struct msh_fw_box *old_box = old->box[at];
	struct msh_set *old_set = old_box->set[spec->kind][spec->value];
	char line[MSH_FILTER_LINE], mac[MSH_MAC_TEXT];

	msh_mac_text(&old_box->mac, mac);
	if (old->filters >= FILTERS_MAX)
		return msh_answer_set(answer, MSH_FULL,
			"the VM has %u filters, no room for another", old->filters);

	struct msh_filter *filter = msh_filter_new(spec, &old->secret, old->next_order);
	if (filter == NULL)
		return no_memory(answer);
	if (old_set != NULL && msh_set_find(old_set, filter->object.hash, filter->object.key,
				       msh_filter_words(spec->kind, spec->value)) != NULL) {
		msh_object_unref(&filter->object);
		return msh_answer_set(answer, MSH_EXISTS, "filter %s is there already for %s",
			msh_filter_line(spec->kind, spec->value, &spec->key, line), mac);
	}

	struct msh_set *set = msh_set_add(old_set, &filter->object);
	struct msh_fw_box *box = set != NULL ? msh_fw_box_copy(old_box) : NULL;
	msh_object_unref(&filter->object); /* the set holds it */
	if (box != NULL)
		msh_fw_box_put(box, spec->kind, spec->value, set);
	else
		msh_set_unref(set);
	struct msh_fw *fw = msh_fw_with_box(old, at, box);
	if (fw == NULL)
		return no_memory(answer);
	fw->next_order++;
	*result = fw;
	return added(spec, mac, answer);
}

/* Take one filter out. */
static int
delete_one(struct msh_fw_box *box, const struct msh_fw *fw, const struct msh_filter_spec *spec)
{
	unsigned int words = msh_filter_words(spec->kind, spec->value);
	struct msh_set *set = box->set[spec->kind][spec->value];
	struct msh_object *object = NULL;

	if (set != NULL)
		object = msh_set_find(set, msh_object_hash(&fw->secret, spec->key.word, words),
			spec->key.word, words);
	if (object == NULL)
		return -ENOENT;
	struct msh_set *rest = NULL;
	if (set->count > 1) {
		rest = msh_set_remove(set, object);
		if (rest == NULL)
			return -ENOMEM;
	}
	msh_fw_box_put(box, spec->kind, spec->value, rest);
	return 0;
}

/* Take out all filters of a layer and VALUE: at I, of both families. */
static int
delete_all(struct msh_fw_box *box, const struct msh_filter_spec *spec)
{
	uint32_t before = box->filters;

	msh_fw_box_put(box, spec->kind, spec->value, NULL);
	if (spec->layer == MSH_LAYER_I)
		msh_fw_box_put(box, MSH_FILTER_IP6, spec->value, NULL);
	return box->filters < before ? 0 : -ENOENT;
}

static int
fw_delete(const struct msh_fw *old, uint32_t at, const struct msh_filter_spec *spec,
	struct msh_answer *answer, const void **result)
{
	struct msh_fw_box *box = msh_fw_box_copy(old->box[at]);
	char line[MSH_FILTER_LINE], mac[MSH_MAC_TEXT];

	if (box == NULL)
		return no_memory(answer);
	msh_mac_text(&box->mac, mac);
	if (spec->bare)
		snprintf(line, sizeof(line), "of value %u at %s", spec->value,
			msh_layer_text(spec->layer));
	else
		msh_filter_line(spec->kind, spec->value, &spec->key, line);

	int rc = spec->bare ? delete_all(box, spec) : delete_one(box, old, spec);
	uint32_t removed = old->box[at]->filters - box->filters;
	if (rc < 0) {
		msh_fw_box_unref(box);
		return rc == -ENOMEM ? no_memory(answer)
				     : msh_answer_set(answer, MSH_NOTFOUND, "%s has no filter %s",
					       mac, line);
	}
	const struct msh_fw *fw = msh_fw_with_box(old, at, box);
	if (fw == NULL)
		return no_memory(answer);
	*result = fw;
	return msh_answer_set(answer, MSH_OK, "%u filter%s removed for %s: %s", removed,
		removed == 1 ? "" : "s", mac, line);
}

static int
fw_apply(const void *instance, unsigned int verb, int argc, char *const *argv,
	struct msh_answer *answer, const void **result)
{
	const struct msh_fw *old = instance;
	struct msh_filter_spec spec;
	struct rte_ether_addr mac;

	*result = old;
	if (argc < verbs[verb].min || argc > verbs[verb].max)
		return msh_answer_set(
			answer, MSH_BAD, "usage: %s %s", verbs[verb].name, verbs[verb].args);
	if (msh_parse_mac(argv[0], &mac) < 0)
		return msh_answer_set(answer, MSH_BAD, "%s is not a MAC", argv[0]);
	if (verb == REGISTER)
		return fw_register(old, &mac, argv[1], answer, result);

	uint32_t at = msh_fw_find(old, &mac);
	if (old == NULL || at == old->boxes)
		return msh_answer_set(
			answer, MSH_NOTFOUND, "MAC %s is not registered for firewall", argv[0]);
	if (verb == SHOW_I || verb == SHOW_M || verb == SHOW_T)
		return msh_fw_list(old->box[at],
			verb == SHOW_I   ? MSH_LAYER_I
			: verb == SHOW_M ? MSH_LAYER_M
					 : MSH_LAYER_T,
			answer);

	if (verb >= RULE)
		return msh_fw_rule_verb(old, at, verb - RULE, argc - 1, argv + 1, answer, result);

	int rc = msh_filter_parse(&spec, argc - 1, argv + 1, verb == DELETE, answer);
	if (rc < 0)
		return rc;
	if (verb == ADD)
		return fw_add(old, at, &spec, answer, result);
	return fw_delete(old, at, &spec, answer, result);
}

static int
fw_cancel(const void *instance, const struct rte_ether_addr *mac, const void **result)
{
	const struct msh_fw *old = instance;
	uint32_t at = msh_fw_find(old, mac);

	*result = old;
	if (old == NULL || at == old->boxes)
		return -ENOENT;
	if (old->boxes == 1) {
		*result = NULL;
		return 0;
	}
	struct msh_fw *fw = msh_fw_without_box(old, at);
	if (fw == NULL)
		return -ENOMEM;
	*result = fw;
	return 0;
}

const struct msh_stage msh_stage_firewall = {
	.name = "firewall",
	.help = "drops what the filters and rules of a middlebox say",
	.verbs = verbs,
	.verb_count = VERBS,
	.apply = fw_apply,
	.cancel = fw_cancel,
	.destroy = msh_fw_destroy,
	.classify = msh_fw_classify,
	.reads = msh_fw_reads,
	.dump = msh_fw_dump,
	.show = msh_fw_show,
};
