/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

/* Keyed hash of 64 bits: a folded 64x64 multiplication. Guests choose the keys of our tables, so
 * the two secrets are random at each start; CRC32 with a secret start value would not help, its
 * collisions do not depend on it. */
struct msh_hash_key {
	uint64_t a, b;
};

static inline uint64_t
msh_hash64(const struct msh_hash_key *key, uint64_t value)
{
	__uint128_t product = (__uint128_t)(value ^ key->a) * (key->b | 1);
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}
