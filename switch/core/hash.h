/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include <stdint.h>

/* Keyed hash of 64 bits: folded 64x64 multiplications. Guests choose the keys of our tables, so
 * the two secrets are random at each start; CRC32 with a secret start value would not help, its
 * collisions do not depend on it. */
struct msh_hash_key {
	uint64_t a, b;
};

static inline uint64_t
msh_fold64(uint64_t a, uint64_t b)
{
	__uint128_t product = (__uint128_t)a * b;
	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Twice: once alone maps MACs in a row onto few buckets, for some secrets. */
static inline uint64_t
msh_hash64(const struct msh_hash_key *key, uint64_t value)
{
	return msh_fold64(msh_fold64(value ^ key->a, key->b | 1), 0x9e3779b97f4a7c15ull);
}
