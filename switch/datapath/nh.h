/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* NH (Black et al., "UMAC", 1999) with words of 64 bits, folded: two keys collide with a chance of
 * about 2^-64, whoever chose them. */

#include <rte_common.h>
#include <rte_random.h>

#include "hash.h"

#define MSH_NH_WORDS 8

struct msh_nh {
	uint64_t secret[MSH_NH_WORDS + 2];
};

static inline void
msh_nh_init(struct msh_nh *nh)
{
	for (unsigned int i = 0; i < RTE_DIM(nh->secret); i++)
		nh->secret[i] = rte_rand();
}

/* words: an even number. */
static inline uint64_t
msh_nh(const struct msh_nh *nh, const uint64_t *word, unsigned int words)
{
	const uint64_t *secret = nh->secret;
	__uint128_t sum = words;
	for (unsigned int i = 0; i < words; i += 2)
		sum += (__uint128_t)(word[i] + secret[i]) * (word[i + 1] + secret[i + 1]);
	return msh_fold64((uint64_t)sum ^ secret[MSH_NH_WORDS],
		(uint64_t)(sum >> 64) ^ secret[MSH_NH_WORDS + 1]);
}
