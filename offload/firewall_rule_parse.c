/* SPDX-License-Identifier: BSD-3-Clause */
#include "firewall_rule.h"

#include <stdio.h>
#include <string.h>

#include "protocols.h"

static const char *const sides[MSH_DIRECTIONS] = {[MSH_IN] = "in", [MSH_OUT] = "out"};
static const char *const verdicts[FW_VERDICTS] = {
	[FW_ALLOW] = "allow", [FW_DROP] = "drop", [FW_REJECT] = "reject", [FW_VM] = "vm"};

const char *const fw_state_names[FW_STATES] = {
	[MSH_TRACK_INVALID] = "invalid",
	[MSH_TRACK_NEW] = "new",
	[MSH_TRACK_ESTABLISHED] = "established",
	[MSH_TRACK_RELATED] = "related",
	[MSH_TRACK_UNTRACKED] = "untracked",
};

const char *const fw_flag_names[FW_FLAGS_COUNT] = {
	"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"};

const char *
fw_side_text(enum msh_direction side)
{
	return sides[side];
}

const char *
fw_verdict_text(enum fw_verdict verdict)
{
	return verdicts[verdict];
}

/* Index of the word in the list, or count. */
static unsigned int
find(const char *const *list, unsigned int count, const char *word)
{
	unsigned int i = 0;
	while (i < count && strcmp(list[i], word) != 0)
		i++;
	return i;
}

int
fw_side_parse(const char *word, enum msh_direction *side, struct msh_answer *answer)
{
	unsigned int i = find(sides, MSH_DIRECTIONS, word);
	if (i == MSH_DIRECTIONS)
		return msh_answer_set(answer, MSH_BAD, "'%s' is neither in nor out", word);
	*side = i;
	return 0;
}

int
fw_verdict_parse(const char *word, enum msh_direction side, enum fw_verdict *verdict,
	struct msh_answer *answer)
{
	unsigned int i = find(verdicts, FW_VERDICTS, word);
	if (i == FW_VERDICTS)
		return msh_answer_set(
			answer, MSH_BAD, "'%s' is none of allow, drop, reject and vm", word);
	if (side == MSH_OUT && i == FW_VM)
		return msh_answer_set(
			answer, MSH_BAD, "vm is for packets on their way in: these come from it");
	*verdict = i;
	return 0;
}

int
fw_number_parse(const char *word, uint32_t *number, struct msh_answer *answer)
{
	uint64_t value;
	if (msh_parse_number(word, FW_NUMBER_MAX, &value) != 0)
		return msh_answer_set(answer, MSH_BAD, "rule '%s' is not a number from 0 to %u",
			word, FW_NUMBER_MAX);
	*number = (uint32_t)value;
	return 0;
}

/* "A" or "A<mark>B" as two numbers up to max; *has_second tells which. 0 or -EINVAL. */
static int
parse_pair(const char *word, char mark, uint64_t max, uint64_t value[2], bool *has_second)
{
	char first[24];
	const char *at = strchr(word, mark);
	size_t length = at != NULL ? (size_t)(at - word) : strlen(word);
	if (length >= sizeof(first))
		return -EINVAL;
	memcpy(first, word, length);
	first[length] = '\0';
	*has_second = at != NULL;
	if (msh_parse_number(first, max, &value[0]) != 0)
		return -EINVAL;
	value[1] = value[0];
	return at != NULL ? msh_parse_number(at + 1, max, &value[1]) : 0;
}

/* An address, with "/BITS" or as one host. Bits behind them must be 0: else it is a mistake. */
static int
parse_prefix(
	struct fw_prefix *prefix, const char *name, const char *word, struct msh_answer *answer)
{
	char address[MSH_IP_TEXT];
	const char *slash = strchr(word, '/');
	size_t length = slash != NULL ? (size_t)(slash - word) : strlen(word);
	uint64_t bits;
	if (length < sizeof(address)) {
		memcpy(address, word, length);
		address[length] = '\0';
	}
	if (length >= sizeof(address) || msh_parse_ip(address, &prefix->ip) != 0)
		return msh_answer_set(answer, MSH_BAD,
			"%s '%s' is no address or prefix such as 10.0.0.0/8", name, word);
	unsigned int most = prefix->ip.version == 4 ? 32 : 128;
	if (msh_parse_number(slash != NULL ? slash + 1 : "", most, &bits) != 0) {
		if (slash != NULL)
			return msh_answer_set(answer, MSH_BAD,
				"%s '%s': a prefix of IPv%u has 0 to %u bits", name, word,
				prefix->ip.version, most);
		bits = most;
	}
	prefix->bits = (uint8_t)bits;
	const uint8_t *b =
		prefix->ip.version == 4 ? (const uint8_t *)&prefix->ip.v4 : prefix->ip.v6.s6_addr;
	for (unsigned int i = (unsigned int)bits; i < most; i++)
		if (b[i / 8] & 0x80 >> i % 8)
			return msh_answer_set(answer, MSH_BAD,
				"%s '%s' has bits behind its prefix of %u", name, word,
				prefix->bits);
	return 0;
}

static int
parse_ports(uint16_t port[2], const char *name, const char *word, struct msh_answer *answer)
{
	uint64_t value[2];
	bool range;
	if (parse_pair(word, '-', UINT16_MAX, value, &range) != 0 || value[0] > value[1])
		return msh_answer_set(answer, MSH_BAD,
			"%s '%s' is no port from 0 to 65535, or range such as 1024-65535", name,
			word);
	port[0] = (uint16_t)value[0];
	port[1] = (uint16_t)value[1];
	return 0;
}

/* "syn,ack" as bits, by their places in `names`. 0 or -EINVAL. */
static int
parse_bits(const char *const *names, unsigned int count, const char *list, size_t length,
	uint8_t *bits)
{
	*bits = 0;
	for (size_t at = 0; at <= length;) {
		size_t size = strcspn(list + at, ",/");
		unsigned int i = 0;
		while (i < 8 &&
			(strlen(names[i]) != size || strncmp(list + at, names[i], size) != 0))
			i++;
		if (i == count)
			return -EINVAL;
		*bits |= (uint8_t)(1u << i);
		at += size + 1;
	}
	return 0;
}

/* "syn" asks for a flag that is set; "syn/syn,ack": of these two only the first. */
static int
parse_flags(struct fw_match *match, const char *word, struct msh_answer *answer)
{
	const char *slash = strchr(word, '/');
	size_t length = slash != NULL ? (size_t)(slash - word) : strlen(word);
	bool none = length == 4 && strncmp(word, "none", 4) == 0;
	int rc = none ? 0 : parse_bits(fw_flag_names, FW_FLAGS_COUNT, word, length, &match->flags);
	match->flags_mask = match->flags;
	if (rc == 0 && slash != NULL)
		rc = parse_bits(fw_flag_names, FW_FLAGS_COUNT, slash + 1, strlen(slash + 1),
			&match->flags_mask);
	if (rc != 0 || (none && slash == NULL) || (match->flags & ~match->flags_mask) != 0)
		return msh_answer_set(answer, MSH_BAD,
			"flags '%s' are no TCP flags such as syn, syn/syn,ack or none/syn,ack,rst",
			word);
	return 0;
}

static int
parse_icmp(struct fw_match *match, const char *word, struct msh_answer *answer)
{
	uint64_t value[2];
	if (parse_pair(word, '/', UINT8_MAX, value, &match->icmp_coded) != 0)
		return msh_answer_set(answer, MSH_BAD,
			"icmp '%s' is no type from 0 to 255, or type and code such as 3/1", word);
	match->icmp_type = (uint8_t)value[0];
	match->icmp_code = match->icmp_coded ? (uint8_t)value[1] : 0;
	return 0;
}

static int
parse_tos(struct fw_match *match, const char *word, struct msh_answer *answer)
{
	uint64_t value[2];
	bool masked;
	if (parse_pair(word, '/', UINT8_MAX, value, &masked) != 0 ||
		(masked && (value[0] & ~value[1]) != 0))
		return msh_answer_set(answer, MSH_BAD,
			"tos '%s' is no byte, or byte and mask such as 0xb8/0xfc", word);
	match->tos = (uint8_t)value[0];
	match->tos_mask = masked ? (uint8_t)value[1] : UINT8_MAX;
	return 0;
}

static int
parse_vlan(struct fw_match *match, const char *word, struct msh_answer *answer)
{
	uint64_t vlan = 0;
	if (strcmp(word, "none") != 0 && (msh_parse_number(word, 4094, &vlan) != 0 || vlan == 0))
		return msh_answer_set(
			answer, MSH_BAD, "vlan '%s' is neither 1 to 4094 nor none", word);
	match->vlan = (uint16_t)vlan;
	return 0;
}

static int
parse_state(struct fw_match *match, const char *word, struct msh_answer *answer)
{
	if (strchr(word, '/') != NULL ||
		parse_bits(fw_state_names, FW_STATES, word, strlen(word), &match->states) != 0)
		return msh_answer_set(answer, MSH_BAD,
			"state '%s' is none of new, established, related, invalid and untracked, "
			"or some of them as established,related",
			word);
	return 0;
}

static int
parse_mac(struct rte_ether_addr *mac, const char *name, const char *word, struct msh_answer *answer)
{
	return msh_parse_mac(word, mac) == 0
		       ? 0
		       : msh_answer_set(answer, MSH_BAD, "%s '%s' is no MAC", name, word);
}

static const char *const words[FW_WORDS] = {
	[FW_FROM] = "from",
	[FW_TO] = "to",
	[FW_PROTO] = "proto",
	[FW_SPORT] = "sport",
	[FW_DPORT] = "dport",
	[FW_FLAGS] = "flags",
	[FW_ICMP] = "icmp",
	[FW_TOS] = "tos",
	[FW_VLAN] = "vlan",
	[FW_TYPE] = "type",
	[FW_SMAC] = "smac",
	[FW_DMAC] = "dmac",
	[FW_STATE] = "state",
};

static int
parse_word(struct fw_match *m, enum fw_word which, const char *value, struct msh_answer *answer)
{
	switch (which) {
	case FW_FROM:
		return parse_prefix(&m->from, words[which], value, answer);
	case FW_TO:
		return parse_prefix(&m->to, words[which], value, answer);
	case FW_SPORT:
		return parse_ports(m->sport, words[which], value, answer);
	case FW_DPORT:
		return parse_ports(m->dport, words[which], value, answer);
	case FW_FLAGS:
		return parse_flags(m, value, answer);
	case FW_ICMP:
		return parse_icmp(m, value, answer);
	case FW_TOS:
		return parse_tos(m, value, answer);
	case FW_VLAN:
		return parse_vlan(m, value, answer);
	case FW_STATE:
		return parse_state(m, value, answer);
	case FW_SMAC:
		return parse_mac(&m->smac, words[which], value, answer);
	case FW_DMAC:
		return parse_mac(&m->dmac, words[which], value, answer);
	case FW_PROTO:
		return msh_parse_protocol(value, &m->proto) == 0
			       ? 0
			       : msh_answer_set(answer, MSH_BAD,
					 "proto '%s' is no protocol: a name such as tcp, or 0 to "
					 "255",
					 value);
	default:
		return msh_parse_ether_type(value, &m->ether_type) == 0
			       ? 0
			       : msh_answer_set(answer, MSH_BAD,
					 "type '%s' is no EtherType: ip, arp, ipv6, or 0x0600 to "
					 "0xffff",
					 value);
	}
}

/* What no packet can have at once is a mistake. */
static int
check(const struct fw_match *m, struct msh_answer *answer)
{
	uint8_t from = m->from.ip.version, to = m->to.ip.version;
	uint8_t family = from != 0 ? from : to;
	bool flags = m->named & 1u << FW_FLAGS, icmp = m->named & 1u << FW_ICMP;
	if (from != 0 && to != 0 && from != to)
		return msh_answer_set(answer, MSH_BAD,
			"from and to are of different families: no packet has both");
	if (flags && icmp)
		return msh_answer_set(
			answer, MSH_BAD, "flags are TCP's, icmp is not: no packet has both");
	if (!(m->named & 1u << FW_PROTO))
		return 0;
	if (flags && m->proto != IPPROTO_TCP)
		return msh_answer_set(
			answer, MSH_BAD, "flags are TCP's, but proto is %u", m->proto);
	if (icmp && m->proto != (family == 6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) &&
		!(family == 0 && m->proto == IPPROTO_ICMPV6))
		return msh_answer_set(answer, MSH_BAD, "icmp is a type, but proto is %u", m->proto);
	return 0;
}

int
fw_match_parse(struct fw_match *match, int argc, char *const *argv, struct msh_answer *answer)
{
	memset(match, 0, sizeof(*match));
	match->sport[1] = match->dport[1] = UINT16_MAX;
	for (int i = 0; i < argc; i += 2) {
		unsigned int which = find(words, FW_WORDS, argv[i]);
		if (which == FW_WORDS)
			return msh_answer_set(answer, MSH_BAD,
				"'%s' is nothing that a rule can ask for: from, to, proto, sport, "
				"dport, flags, icmp, tos, vlan, type, smac, dmac or state",
				argv[i]);
		if (i + 1 == argc)
			return msh_answer_set(answer, MSH_BAD, "%s needs a value", argv[i]);
		if (match->named & 1u << which)
			return msh_answer_set(answer, MSH_BAD, "%s is given twice", argv[i]);
		match->named |= (uint16_t)(1u << which);
		int rc = parse_word(match, which, argv[i + 1], answer);
		if (rc != 0)
			return rc;
	}
	return check(match, answer);
}
