/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>

#include "firewall_box.h"

static json_t *
row(const char *side, const char *number, const char *verdict, const char *match, uint32_t tally)
{
	struct msh_tally sum = msh_tally_sum(tally);
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "side", side, "rule", number, "verdict",
		verdict, "match", match, "packets", (json_int_t)sum.packets, "bytes",
		(json_int_t)sum.bytes);
}

static void
put_rule(void *context, const struct fw_rule *rule)
{
	char text[FW_MATCH_TEXT], number[16];
	snprintf(number, sizeof(number), "%u", rule->number);
	json_array_append_new(
		context, row(fw_side_text(rule->side), number, fw_verdict_text(rule->verdict),
				 fw_match_text(&rule->match, text), rule->tally));
}

int
msh_fw_rule_list(
	const struct msh_fw_box *box, int argc, char *const *argv, struct msh_answer *answer)
{
	enum msh_direction first = MSH_IN, last = MSH_OUT;
	if (argc > 0) {
		int rc = fw_side_parse(argv[0], &first, answer);
		if (rc != 0)
			return rc;
		last = first;
	}
	answer->data = json_array();
	for (enum msh_direction side = first; box->rules != NULL && side <= last; side++) {
		fw_rules_walk(box->rules, side, put_rule, answer->data);
		json_array_append_new(answer->data,
			row(fw_side_text(side), "default", fw_verdict_text(box->fallback[side]), "",
				box->rules->side[side].tally));
	}
	return 0;
}

struct dump {
	const char *mac;
	msh_emit_line emit;
	void *context;
};

static void
dump_rule(void *context, const struct fw_rule *rule)
{
	const struct dump *d = context;
	char text[FW_MATCH_TEXT], line[FW_MATCH_TEXT + 64];
	const char *match = fw_match_text(&rule->match, text);
	snprintf(line, sizeof(line), "rule add %s %s %u %s%s%s", d->mac, fw_side_text(rule->side),
		rule->number, fw_verdict_text(rule->verdict), match[0] != '\0' ? " " : "", match);
	d->emit(d->context, line);
}

void
msh_fw_rule_dump(const struct msh_fw_box *box, const char *mac, msh_emit_line emit, void *context)
{
	struct dump d = {mac, emit, context};
	char line[64];
	for (enum msh_direction side = 0; box->rules != NULL && side < MSH_DIRECTIONS; side++) {
		fw_rules_walk(box->rules, side, dump_rule, &d);
		if (box->fallback[side] == FW_ALLOW)
			continue;
		snprintf(line, sizeof(line), "rule default %s %s %s", mac, fw_side_text(side),
			fw_verdict_text(box->fallback[side]));
		emit(context, line);
	}
}
