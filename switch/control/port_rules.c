/* SPDX-License-Identifier: BSD-3-Clause */

/* `port set`: what an operator lays down for a port. */

#include <inttypes.h>
#include <string.h>

#include "control.h"

#define VLAN_LAST 4094 /* 802.1Q: 0 and 4095 are no VLANs */

/* A number from 1 to last. */
static int
parse_count(const char *what, const char *word, uint64_t last, uint64_t *value,
	struct msh_answer *answer)
{
	if (msh_parse_number(word, last, value) == 0 && *value > 0)
		return 0;
	return msh_answer_set(answer, MSH_BAD, "'%s' is no %s: 1 to %" PRIu64, word, what, last);
}

/* One VLAN, or FIRST-LAST, off a list between commas. */
static int
add_range(struct msh_rules *rules, char *word, struct msh_answer *answer)
{
	char *dash = strchr(word, '-');
	uint64_t first, last;
	if (dash != NULL)
		*dash = '\0';
	int rc = parse_count("VLAN", word, VLAN_LAST, &first, answer);
	if (rc != 0)
		return rc;
	last = first;
	if (dash != NULL)
		rc = parse_count("VLAN", dash + 1, VLAN_LAST, &last, answer);
	if (rc == 0 && last < first)
		rc = msh_answer_set(answer, MSH_BAD, "VLANs %s-%s run backwards", word, dash + 1);
	for (; rc == 0 && first <= last; first++)
		rules->carries[first / 64] |= UINT64_C(1) << (first % 64);
	return rc;
}

static void
set_mode(struct msh_rules *rules, enum msh_vlan_mode mode, uint16_t vlan)
{
	rules->mode = mode;
	rules->vlan = vlan;
	memset(rules->carries, 0, sizeof(rules->carries));
}

static int
set_trunk(struct msh_rules *rules, const char *value, struct msh_answer *answer)
{
	char text[MSH_LINE_MAX + 1], *save = NULL;
	snprintf(text, sizeof(text), "%s", strcmp(value, "all") == 0 ? "1-4094" : value);
	set_mode(rules, MSH_VLAN_TRUNK, 0);
	for (char *word = strtok_r(text, ",", &save); word != NULL;
		word = strtok_r(NULL, ",", &save)) {
		int rc = add_range(rules, word, answer);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int
set_vlan(struct msh_rules *rules, enum msh_vlan_mode mode, const char *value,
	struct msh_answer *answer)
{
	uint64_t vlan;
	int rc = parse_count("VLAN", value, VLAN_LAST, &vlan, answer);
	if (rc == 0)
		set_mode(rules, mode, (uint16_t)vlan);
	return rc;
}

static int
set_access(struct msh_rules *rules, const char *value, struct msh_answer *answer)
{
	return set_vlan(rules, MSH_VLAN_ACCESS, value, answer);
}

static int
set_tunnel(struct msh_rules *rules, const char *value, struct msh_answer *answer)
{
	return set_vlan(rules, MSH_VLAN_TUNNEL, value, answer);
}

static int
set_native(struct msh_rules *rules, const char *value, struct msh_answer *answer)
{
	uint64_t vlan;
	if (rules->mode != MSH_VLAN_TRUNK)
		return msh_answer_set(
			answer, MSH_BAD, "native %s is of a trunk: give trunk VLANS first", value);
	int rc = parse_count("VLAN", value, VLAN_LAST, &vlan, answer);
	if (rc == 0)
		rules->vlan = (uint16_t)vlan;
	return rc;
}

static int
set_isolated(struct msh_rules *rules, const char *value, struct msh_answer *answer)
{
	return msh_parse_on_off("isolated", value, &rules->isolated, answer);
}

/* A number, or off: 0. */
static int
set_limit(const char *what, uint32_t *limit, const char *value, struct msh_answer *answer)
{
	uint64_t number = 0;
	int rc = strcmp(value, "off") == 0 ? 0
					   : parse_count(what, value, UINT32_MAX, &number, answer);
	if (rc == 0)
		*limit = (uint32_t)number;
	return rc;
}

static int
set_storm(struct msh_rules *rules, const char *value, struct msh_answer *answer)
{
	return set_limit("number of packets a second", &rules->storm, value, answer);
}

static int
set_macs(struct msh_rules *rules, const char *value, struct msh_answer *answer)
{
	return set_limit("number of MACs", &rules->macs, value, answer);
}

static const struct {
	const char *word;
	int (*set)(struct msh_rules *rules, const char *value, struct msh_answer *answer);
} words[] = {
	{"access", set_access},
	{"trunk", set_trunk},
	{"native", set_native},
	{"tunnel", set_tunnel},
	{"isolated", set_isolated},
	{"storm", set_storm},
	{"macs", set_macs},
};

/* Returns how many words it took, or the negative status. */
static int
parse_word(struct msh_rules *rules, int argc, char *const *argv, struct msh_answer *answer)
{
	if (strcmp(argv[0], "transparent") == 0) {
		set_mode(rules, MSH_VLAN_TRANSPARENT, 0);
		return 1;
	}
	for (unsigned int i = 0; i < RTE_DIM(words); i++) {
		if (strcmp(argv[0], words[i].word) != 0)
			continue;
		if (argc < 2)
			return msh_answer_set(answer, MSH_BAD, "%s lacks its value", argv[0]);
		int rc = words[i].set(rules, argv[1], answer);
		return rc != 0 ? rc : 2;
	}
	return msh_answer_set(answer, MSH_BAD,
		"'%s' is none of access, trunk, native, tunnel, transparent, isolated, storm, macs",
		argv[0]);
}

int
msh_port_set(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	struct msh_port_entry *entry = msh_port_find(control, argv[0]);
	if (entry == NULL)
		return msh_answer_set(answer, MSH_NOTFOUND, "there is no port %s", argv[0]);
	struct msh_rules old = entry->rules, rules = old;
	for (int at = 1, n; at < argc; at += n) {
		n = parse_word(&rules, argc - at, argv + at, answer);
		if (n < 0)
			return n;
	}
	entry->rules = rules;
	if (msh_publish_topology(control) == 0)
		return 0;
	entry->rules = old;
	return msh_answer_set(answer, MSH_FAILED, "port %s: out of memory", argv[0]);
}

static bool
carries(const struct msh_rules *rules, unsigned int vlan)
{
	return rules->carries[vlan / 64] >> (vlan % 64) & 1;
}

/* "1-5,7" */
static void
print_trunk(const struct msh_rules *rules, FILE *out)
{
	const char *before = " trunk ";
	for (unsigned int first = 1, last; first <= VLAN_LAST; first = last + 1) {
		last = first;
		if (!carries(rules, first))
			continue;
		while (last < VLAN_LAST && carries(rules, last + 1))
			last++;
		fprintf(out, last > first ? "%s%u-%u" : "%s%u", before, first, last);
		before = ",";
	}
	if (rules->vlan != 0)
		fprintf(out, " native %u", rules->vlan);
}

char *
msh_rules_text(const struct msh_rules *rules)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	if (out == NULL)
		return NULL;
	if (rules->mode == MSH_VLAN_TRUNK)
		print_trunk(rules, out);
	else if (rules->mode != MSH_VLAN_TRANSPARENT)
		fprintf(out, " %s %u", rules->mode == MSH_VLAN_ACCESS ? "access" : "tunnel",
			rules->vlan);
	if (rules->isolated)
		fputs(" isolated on", out);
	if (rules->storm > 0)
		fprintf(out, " storm %u", rules->storm);
	if (rules->macs > 0)
		fprintf(out, " macs %u", rules->macs);
	fclose(out);
	return text;
}
