/* SPDX-License-Identifier: BSD-3-Clause */
#include "firewall_box.h"

static void
decide(struct msh_verdict *v, enum fw_verdict verdict, uint32_t tally)
{
	static const uint8_t action[FW_VERDICTS] = {[FW_ALLOW] = MSH_DELIVER,
		[FW_DROP] = MSH_DROP,
		[FW_REJECT] = MSH_REJECT,
		[FW_VM] = MSH_TO_VM};
	v->action = action[verdict];
	v->reason = MSH_DROP_FIREWALL;
	msh_verdict_tally(v, tally);
}

void
msh_fw_rules_judge(const struct msh_fw_box *box, enum msh_direction which, struct msh_burst *burst,
	uint64_t mask)
{
	const struct fw_rules_side *side = &box->rules->side[which];
	const struct msh_classifier *classifier =
		__atomic_load_n(&side->classifier, __ATOMIC_ACQUIRE);
	void *found[MSH_CLASSIFIER_BURST];
	if (classifier != NULL) {
		static __thread struct msh_classifier_key keys[MSH_CLASSIFIER_BURST];
		MSH_FOREACH_BIT (i, mask) {
			const struct msh_packet *p = &burst->packet[i];
			msh_classifier_key(&keys[i], p);
			keys[i].word[MSH_WORD_META] |= UINT64_C(1)
						       << (FW_META_STATE + burst->state[i]);
			if (p->ip_version != 0)
				keys[i].word[MSH_WORD_META] |= FW_META_IP;
		}
		msh_classifier_lookup(classifier, keys, mask, found);
	}
	MSH_FOREACH_BIT (i, mask) {
		const struct fw_rule *rule = classifier != NULL ? found[i] : NULL;
		if (rule != NULL)
			decide(&burst->verdict[i], rule->verdict, rule->tally);
		else
			decide(&burst->verdict[i], box->fallback[which], side->tally);
	}
}
