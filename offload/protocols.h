/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

/* Names of IP protocols and EtherTypes, as commands take and show them. */

/* A name or a number of the whole range: 0, or -EINVAL and an untouched result. */
int msh_parse_protocol(const char *word, uint8_t *protocol);
int msh_parse_ether_type(const char *word, uint16_t *ether_type); /* 0x0600 to 0xffff */

/* NULL when the number has no name here. */
const char *msh_protocol_name(uint8_t protocol);
const char *msh_ether_type_name(uint16_t ether_type);
