/* SPDX-License-Identifier: BSD-3-Clause */
#include "firewall_filter.h"

#include <rte_common.h>
#include <string.h>

#include "protocols.h"

/* In the order of the language. */
static const struct {
	char letter;
	uint8_t bit;
} fields[4] = {{'s', MSH_FIELD_S}, {'d', MSH_FIELD_D}, {'t', MSH_FIELD_T}, {'p', MSH_FIELD_P}};
enum { S, D, T, P };

/* "s d", or "no field". */
static const char *
bits_text(unsigned int bits, char buffer[16])
{
	char *end = buffer;

	for (size_t i = 0; i < RTE_DIM(fields); i++)
		if (bits & fields[i].bit) {
			if (end != buffer)
				*end++ = ' ';
			*end++ = fields[i].letter;
		}
	*end = '\0';
	return end != buffer ? buffer : "no field";
}

/* Index in `fields`, or -1. */
static int
field_of(const char *word)
{
	for (size_t i = 0; i < RTE_DIM(fields); i++)
		if (word[0] == fields[i].letter && word[1] == '\0')
			return (int)i;
	return -1;
}

/* Sort the words by field: value[] holds the word behind each letter, NULL where there is none.
 * Compares the letters with VALUE. */
static int
parse_letters(struct msh_filter_spec *spec, int argc, char *const *argv, const char *value[4],
	bool may_be_bare, struct msh_answer *answer)
{
	unsigned int given = 0, valued = 0;
	char text[2][16];

	for (int i = 0; i < argc; i++) {
		int field = field_of(argv[i]);
		if (field < 0)
			return msh_answer_set(
				answer, MSH_BAD, "%s is none of the fields s, d, t, p", argv[i]);
		if (given & fields[field].bit)
			return msh_answer_set(
				answer, MSH_BAD, "field %s is given more than once", argv[i]);
		given |= fields[field].bit;
		if (i + 1 < argc && field_of(argv[i + 1]) < 0) {
			value[field] = argv[++i];
			valued |= fields[field].bit;
		}
	}
	if (given != spec->value)
		return msh_answer_set(answer, MSH_BAD,
			"value %u names %s, but the command gives %s", spec->value,
			bits_text(spec->value, text[0]), bits_text(given, text[1]));
	spec->bare = may_be_bare && valued == 0;
	if (!spec->bare && valued != given)
		return msh_answer_set(answer, MSH_BAD, "no value given for %s%s",
			bits_text(given & ~valued, text[0]),
			may_be_bare ? ": give a value for each field, or for none" : "");
	return 0;
}

static int
parse_address(struct msh_filter_spec *spec, int field, const char *word, struct msh_answer *answer)
{
	struct msh_ip ip;

	if (msh_parse_ip(word, &ip) < 0)
		return msh_answer_set(answer, MSH_BAD, "%c %s is not an IPv4 or IPv6 address",
			fields[field].letter, word);
	if (ip.version == 6) {
		spec->kind = MSH_FILTER_IP6;
		memcpy(field == S ? spec->key.ip6.s : spec->key.ip6.d, &ip.v6, sizeof(ip.v6));
	} else {
		memcpy(field == S ? &spec->key.ip4.s : &spec->key.ip4.d, &ip.v4, sizeof(ip.v4));
	}
	return ip.version;
}

static int
parse_addresses(struct msh_filter_spec *spec, const char *value[4], struct msh_answer *answer)
{
	int family[2] = {0, 0};

	for (int field = S; field <= D; field++) {
		if (value[field] == NULL)
			continue;
		family[field] = parse_address(spec, field, value[field], answer);
		if (family[field] < 0)
			return family[field];
	}
	if (family[S] != 0 && family[D] != 0 && family[S] != family[D])
		return msh_answer_set(answer, MSH_BAD,
			"s %s and d %s are of different families: no packet has both", value[S],
			value[D]);
	return 0;
}

static int
parse_macs(struct msh_filter_spec *spec, const char *value[4], struct msh_answer *answer)
{
	for (int field = S; field <= D; field++) {
		struct rte_ether_addr mac;
		if (value[field] == NULL)
			continue;
		if (msh_parse_mac(value[field], &mac) < 0)
			return msh_answer_set(answer, MSH_BAD, "%c %s is not a MAC",
				fields[field].letter, value[field]);
		memcpy(field == S ? spec->key.mac.s : spec->key.mac.d, &mac, sizeof(mac));
	}
	return 0;
}

static int
parse_ports(struct msh_filter_spec *spec, const char *value[4], struct msh_answer *answer)
{
	for (int field = S; field <= D; field++) {
		uint64_t port;
		if (value[field] == NULL)
			continue;
		if (msh_parse_number(value[field], UINT16_MAX, &port) < 0)
			return msh_answer_set(answer, MSH_BAD,
				"%c %s is not a port from 0 to 65535", fields[field].letter,
				value[field]);
		*(field == S ? &spec->key.transport.s : &spec->key.transport.d) = (uint16_t)port;
	}
	return 0;
}

static int
parse_type(struct msh_filter_spec *spec, const char *word, struct msh_answer *answer)
{
	uint64_t max = spec->layer == MSH_LAYER_M ? 7 : UINT8_MAX, number;

	if (msh_parse_number(word, max, &number) < 0)
		return msh_answer_set(answer, MSH_BAD, "t %s is not a %s from 0 to %u", word,
			spec->layer == MSH_LAYER_M ? "priority (802.1p)" : "type of service",
			(unsigned int)max);
	if (spec->layer == MSH_LAYER_M)
		spec->key.mac.t = (uint8_t)number;
	else if (spec->layer == MSH_LAYER_T)
		spec->key.transport.t = (uint8_t)number;
	else
		spec->key.ip4.t = (uint8_t)number;
	return 0;
}

static int
parse_protocol(struct msh_filter_spec *spec, const char *word, struct msh_answer *answer)
{
	if (spec->layer == MSH_LAYER_M) {
		if (msh_parse_ether_type(word, &spec->key.mac.p) < 0)
			return msh_answer_set(answer, MSH_BAD,
				"p %s is not an EtherType: 0x0600 to 0xffff, ip, arp or ipv6",
				word);
		return 0;
	}
	if (msh_parse_protocol(word,
		    spec->layer == MSH_LAYER_T ? &spec->key.transport.p : &spec->key.ip4.p) < 0)
		return msh_answer_set(answer, MSH_BAD,
			"p %s is not a protocol: a number from 0 to 255 or a name such as tcp",
			word);
	return 0;
}

int
msh_filter_parse(struct msh_filter_spec *spec, int argc, char *const *argv, bool may_be_bare,
	struct msh_answer *answer)
{
	static int (*const parse_pair[MSH_LAYERS])(struct msh_filter_spec *, const char *[4],
		struct msh_answer *) = {parse_macs, parse_addresses, parse_ports};
	static const enum msh_filter_kind kind[MSH_LAYERS] = {
		MSH_FILTER_MAC, MSH_FILTER_IP4, MSH_FILTER_TRANSPORT};
	const char *value[4] = {NULL};
	uint64_t bits;
	int rc;

	memset(spec, 0, sizeof(*spec));
	while (strcmp(argv[0], msh_layer_text(spec->layer)) != 0)
		if (++spec->layer == MSH_LAYERS)
			return msh_answer_set(answer, MSH_BAD,
				"%s is none of the layers I (IP), M (MAC), T (transport)", argv[0]);
	if (msh_parse_number(argv[1], MSH_FILTER_VALUES - 1, &bits) < 0)
		return msh_answer_set(
			answer, MSH_BAD, "value %s is not a number from 0 to 15", argv[1]);
	spec->value = (uint8_t)bits;
	spec->kind = kind[spec->layer];

	rc = parse_letters(spec, argc - 2, argv + 2, value, may_be_bare, answer);
	if (rc == 0)
		rc = parse_pair[spec->layer](spec, value, answer);
	if (rc == 0 && value[T] != NULL)
		rc = parse_type(spec, value[T], answer);
	if (rc == 0 && value[P] != NULL)
		rc = parse_protocol(spec, value[P], answer);
	return rc;
}
