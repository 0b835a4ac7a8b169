/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_dev_options.h"

#include <string.h>

static int
parse_queues(struct msh_dev_options *o, const char *value, struct msh_answer *answer)
{
	uint64_t number;
	if (msh_parse_number(value, UINT16_MAX, &number) != 0 || number == 0)
		return msh_answer_set(
			answer, MSH_BAD, "queues is a number from 1, not '%s'", value);
	o->queues = (uint16_t)number;
	return 0;
}

static int
parse_mtu(struct msh_dev_options *o, const char *value, struct msh_answer *answer)
{
	uint64_t number;
	if (msh_parse_number(value, UINT16_MAX, &number) != 0 || number < RTE_ETHER_MIN_MTU)
		return msh_answer_set(answer, MSH_BAD, "mtu is a number of bytes from %d, not '%s'",
			RTE_ETHER_MIN_MTU, value);
	o->mtu = (uint16_t)number;
	return 0;
}

static int
parse_vmdq(struct msh_dev_options *o, const char *value, struct msh_answer *answer)
{
	return msh_parse_on_off("vmdq", value, &o->vmdq, answer);
}

static int
parse_offloads(struct msh_dev_options *o, const char *value, struct msh_answer *answer)
{
	bool offloads;
	int rc = msh_parse_on_off("offloads", value, &offloads, answer);
	if (rc == 0)
		o->finished = !offloads;
	return rc;
}

static int
parse_promiscuous(struct msh_dev_options *o, const char *value, struct msh_answer *answer)
{
	bool promiscuous;
	int rc = msh_parse_on_off("promiscuous", value, &promiscuous, answer);
	if (rc == 0)
		o->filtered = !promiscuous;
	return rc;
}

static int
parse_mac(struct msh_dev_options *o, const char *value, struct msh_answer *answer)
{
	struct rte_ether_addr mac;
	if (msh_parse_mac(value, &mac) != 0 || !rte_is_unicast_ether_addr(&mac) ||
		rte_is_zero_ether_addr(&mac))
		return msh_answer_set(answer, MSH_BAD,
			"'%s' is no MAC of a host: six bytes like 52:54:00:12:34:56", value);
	if (o->mac_count == MSH_DEV_MACS_MAX)
		return msh_answer_set(
			answer, MSH_FULL, "a device takes at most %d MACs", MSH_DEV_MACS_MAX);
	o->mac[o->mac_count++] = mac;
	return 0;
}

static const struct {
	const char *word;
	int (*parse)(struct msh_dev_options *o, const char *value, struct msh_answer *answer);
} words[] = {
	{"queues", parse_queues},
	{"mtu", parse_mtu},
	{"promiscuous", parse_promiscuous},
	{"mac", parse_mac},
	{"offloads", parse_offloads},
	{"vmdq", parse_vmdq},
};

static int
parse_option(
	struct msh_dev_options *o, const char *word, const char *value, struct msh_answer *answer)
{
	for (unsigned int i = 0; i < RTE_DIM(words); i++) {
		if (strcmp(words[i].word, word) != 0)
			continue;
		return value != NULL ? words[i].parse(o, value, answer)
				     : msh_answer_set(answer, MSH_BAD, "%s has no value", word);
	}
	return msh_answer_set(answer, MSH_BAD,
		"'%s' is none of queues, mtu, promiscuous, mac, offloads, vmdq and, in the end, "
		"learn",
		word);
}

int
msh_dev_parse(
	struct msh_dev_options *options, int argc, char *const *argv, struct msh_answer *answer)
{
	*options = (struct msh_dev_options){.queues = 1};
	for (int i = 0; i < argc; i += 2) {
		int rc = parse_option(options, argv[i], i + 1 < argc ? argv[i + 1] : NULL, answer);
		if (rc != 0)
			return rc;
	}
	if (options->mac_count > 0 && !options->filtered)
		return msh_answer_set(answer, MSH_BAD,
			"mac is for promiscuous off: else frames to all MACs come in");
	if (options->vmdq && (options->queues > 1 || options->filtered))
		return msh_answer_set(answer, MSH_BAD,
			"vmdq on goes with neither queues nor promiscuous off: it has a queue for "
			"each pool, and the first pool takes what no other does");
	return 0;
}
