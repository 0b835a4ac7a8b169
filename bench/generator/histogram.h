/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Counts of times, in buckets whose width is at most 1/32 of their value. */

#include <stdint.h>

#define HISTOGRAM_BITS 5
#define HISTOGRAM_BUCKETS ((65 - HISTOGRAM_BITS) << HISTOGRAM_BITS)

struct histogram {
	uint64_t count, max;
	uint64_t bucket[HISTOGRAM_BUCKETS];
};

static inline unsigned int
histogram_bucket(uint64_t value)
{
	if (value < 1 << HISTOGRAM_BITS)
		return (unsigned int)value;
	unsigned int shift = 63U - (unsigned int)__builtin_clzll(value) - HISTOGRAM_BITS;
	return (shift << HISTOGRAM_BITS) + (unsigned int)(value >> shift);
}

static inline void
histogram_add(struct histogram *h, uint64_t value)
{
	h->bucket[histogram_bucket(value)]++;
	h->count++;
	if (value > h->max)
		h->max = value;
}

/* The value that `part` (0 to 1) of all do not exceed. */
static inline uint64_t
histogram_quantile(const struct histogram *h, double part)
{
	uint64_t wanted = (uint64_t)((double)h->count * part), seen = 0;
	for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->bucket[i];
		if (seen <= wanted)
			continue;
		if (i < 1 << HISTOGRAM_BITS)
			return i;
		unsigned int shift = (i >> HISTOGRAM_BITS) - 1;
		uint64_t low = (uint64_t)(i - (shift << HISTOGRAM_BITS)) << shift;
		uint64_t high = low + (1ULL << shift) - 1;
		return high < h->max ? high : h->max;
	}
	return h->max;
}
