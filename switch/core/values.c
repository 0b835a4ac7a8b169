/* SPDX-License-Identifier: BSD-3-Clause */
#include "command.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Not ctype.h: the grammar must not depend on the locale. */
static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool
is_letter_or_digit(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int
msh_parse_mac(const char *word, struct rte_ether_addr *value)
{
	struct rte_ether_addr mac;

	for (unsigned int i = 0; i < RTE_ETHER_ADDR_LEN; i++, word += 3) {
		int high = hex_digit(word[0]);
		int low = high < 0 ? -1 : hex_digit(word[1]);
		if (low < 0 || word[2] != (i == RTE_ETHER_ADDR_LEN - 1 ? '\0' : ':'))
			return -EINVAL;
		mac.addr_bytes[i] = (uint8_t)(high << 4 | low);
	}
	*value = mac;
	return 0;
}

int
msh_parse_ip(const char *word, struct msh_ip *value)
{
	struct msh_ip ip;

	memset(&ip, 0, sizeof(ip)); /* also what the smaller member does not cover */
	if (inet_pton(AF_INET, word, &ip.v4) == 1)
		ip.version = 4;
	else if (inet_pton(AF_INET6, word, &ip.v6) == 1)
		ip.version = 6;
	else
		return -EINVAL;
	*value = ip;
	return 0;
}

/* Not strtoull: it takes blanks, signs and octal. */
int
msh_parse_number(const char *word, uint64_t max, uint64_t *value)
{
	unsigned int base = 10;
	uint64_t number = 0;

	if (word[0] == '0' && (word[1] == 'x' || word[1] == 'X')) {
		base = 16;
		word += 2;
	}
	if (*word == '\0')
		return -EINVAL;
	for (; *word != '\0'; word++) {
		int digit = hex_digit(*word);
		if (digit < 0 || (unsigned int)digit >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(number, base, &number) ||
			__builtin_add_overflow(number, (uint64_t)digit, &number))
			return -EINVAL;
	}
	if (number > max)
		return -EINVAL;
	*value = number;
	return 0;
}

int
msh_parse_on_off(const char *what, const char *word, bool *value, struct msh_answer *answer)
{
	bool on = strcmp(word, "on") == 0;
	if (!on && strcmp(word, "off") != 0)
		return msh_answer_set(answer, MSH_BAD, "%s is on or off, not '%s'", what, word);
	*value = on;
	return 0;
}

bool
msh_is_name(const char *word)
{
	size_t length = 0;

	if (!is_letter_or_digit(word[0]))
		return false;
	for (; word[length] != '\0'; length++) {
		char c = word[length];
		if (length + 1 >= MSH_NAME_MAX)
			return false;
		if (!is_letter_or_digit(c) && c != '-' && c != '_' && c != '.')
			return false;
	}
	return true;
}

const char *
msh_mac_text(const struct rte_ether_addr *mac, char buffer[MSH_MAC_TEXT])
{
	const uint8_t *b = mac->addr_bytes;

	snprintf(buffer, MSH_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3],
		b[4], b[5]);
	return buffer;
}

const char *
msh_ip_text(const struct msh_ip *ip, char buffer[MSH_IP_TEXT])
{
	const void *address = ip->version == 4 ? (const void *)&ip->v4 : (const void *)&ip->v6;

	if (inet_ntop(ip->version == 4 ? AF_INET : AF_INET6, address, buffer, MSH_IP_TEXT) == NULL)
		buffer[0] = '\0';
	return buffer;
}
