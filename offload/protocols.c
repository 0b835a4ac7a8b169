/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocols.h"

#include <errno.h>
#include <rte_common.h>
#include <rte_ether.h>
#include <string.h>

#include "command.h"

/* Own tables, so that a command means the same on every host: /etc/protocols may be missing in a
 * container. */
struct number_name {
	uint16_t number;
	const char *name;
};

/* Of several names of one number, the first is shown. */
static const struct number_name protocols[] = {
	{1, "icmp"},
	{2, "igmp"},
	{4, "ipip"},
	{6, "tcp"},
	{17, "udp"},
	{33, "dccp"},
	{41, "ipv6"},
	{46, "rsvp"},
	{47, "gre"},
	{50, "esp"},
	{51, "ah"},
	{58, "ipv6-icmp"},
	{58, "icmpv6"},
	{88, "eigrp"},
	{89, "ospf"},
	{103, "pim"},
	{108, "ipcomp"},
	{112, "vrrp"},
	{115, "l2tp"},
	{132, "sctp"},
	{136, "udplite"},
};

static const struct number_name ether_types[] = {
	{0x0800, "ip"},
	{0x0800, "ipv4"},
	{0x0806, "arp"},
	{0x86dd, "ipv6"},
};

static const char *
name_of(const struct number_name *names, size_t count, uint16_t number)
{
	for (size_t i = 0; i < count; i++)
		if (names[i].number == number)
			return names[i].name;
	return NULL;
}

static int
number_of(const struct number_name *names, size_t count, const char *word, uint64_t max,
	uint64_t *number)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i].name, word) == 0) {
			*number = names[i].number;
			return 0;
		}
	return msh_parse_number(word, max, number);
}

int
msh_parse_protocol(const char *word, uint8_t *protocol)
{
	uint64_t number;

	if (number_of(protocols, RTE_DIM(protocols), word, UINT8_MAX, &number) < 0)
		return -EINVAL;
	*protocol = (uint8_t)number;
	return 0;
}

int
msh_parse_ether_type(const char *word, uint16_t *ether_type)
{
	uint64_t number;

	if (number_of(ether_types, RTE_DIM(ether_types), word, UINT16_MAX, &number) < 0 ||
		number < 0x600)
		return -EINVAL;
	*ether_type = (uint16_t)number;
	return 0;
}

const char *
msh_protocol_name(uint8_t protocol)
{
	return name_of(protocols, RTE_DIM(protocols), protocol);
}

const char *
msh_ether_type_name(uint16_t ether_type)
{
	return name_of(ether_types, RTE_DIM(ether_types), ether_type);
}
