/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A command as words, and the values that words can hold. One grammar for the boot file, mshctl and
 * guests. */

#include <netinet/in.h>
#include <rte_ether.h>
#include <stdbool.h>
#include <stdint.h>

#include "answer.h"
#include "bounds.h"

struct msh_words {
	int count;
	char *word[MSH_WORDS_MAX];   /* into text */
	char text[MSH_LINE_MAX + 1]; /* the line, cut at its blanks */
};

/* An IPv4 or IPv6 address. */
struct msh_ip {
	uint8_t version; /* 4 or 6 */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};

/* Each reads the whole word: 0, or -EINVAL and an untouched *value. */
int msh_parse_mac(const char *word, struct rte_ether_addr *value); /* xx:xx:xx:xx:xx:xx */
int msh_parse_ip(const char *word, struct msh_ip *value);
int msh_parse_number(
	const char *word, uint64_t max, uint64_t *value); /* decimal or 0x hexadecimal */
/* 0, or -MSH_BAD and a sentence about `what`, with *value untouched. */
int msh_parse_on_off(const char *what, const char *word, bool *value, struct msh_answer *answer);
/* A name of a port or VM: letters, digits, - _ . ; starts with a letter or digit; shorter than
 * MSH_NAME_MAX. */
bool msh_is_name(const char *word);

#define MSH_MAC_TEXT 18
#define MSH_IP_TEXT 46
/* Lower-case text of an address; returns buffer. */
const char *msh_mac_text(const struct rte_ether_addr *mac, char buffer[MSH_MAC_TEXT]);
const char *msh_ip_text(const struct msh_ip *ip, char buffer[MSH_IP_TEXT]);

/* Who gave a command: decides what it may touch. */
enum msh_who {
	MSH_WHO_OPERATOR = 1, /* unix socket, boot file */
	MSH_WHO_VM = 2,       /* a VM's region */
};
