/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Inside the classifier: what the search does with all packets of a burst at once, eight a step
 * with AVX-512, one a step in plain C. */

#include <rte_vect.h>

#include "classifier_table.h"

#define MSH_LIST_FULL 8 /* more than so many entries are compared before others are listed */

/* Entries to be compared. */
struct msh_list {
	uint64_t entry[MSH_LIST_FULL + MSH_CLASSIFIER_BURST]; /* address, and above MSH_SLOT_BITS
								  the packet's number */
	uint64_t hash[MSH_LIST_FULL + MSH_CLASSIFIER_BURST];
	unsigned int count;
};

struct msh_lanes {
	uint64_t word[MSH_CLASSIFIER_WORDS][MSH_CLASSIFIER_BURST] __rte_cache_aligned; /* of keys */
	/* Precedence of what was found, at first the worst; 0: the packet is not wanted. */
	uint64_t best[MSH_CLASSIFIER_BURST];
};

/* The hashes of all packets in a table. They are 32 bits. */
static inline __attribute__((always_inline)) void
msh_lanes_hash(const struct msh_lanes *lanes, unsigned int count,
	const struct msh_classifier_hash *secret, const struct msh_table *table, unsigned int words,
	uint64_t hash[MSH_CLASSIFIER_BURST])
{
#ifdef __AVX512DQ__
	const __m512i factor = _mm512_set1_epi64((long long)secret->factor);

	for (unsigned int i = 0; i < count; i += 8) {
		__m512i sum = _mm512_setzero_si512();
		for (unsigned int w = 0; w < words; w++) {
			unsigned int at = table->word[w];
			__m512i word = _mm512_and_si512(_mm512_load_si512(&lanes->word[at][i]),
				_mm512_set1_epi64((long long)table->mask[at]));
			word = _mm512_add_epi32(
				word, _mm512_set1_epi64((long long)secret->key[at]));
			sum = _mm512_add_epi64(
				sum, _mm512_mul_epu32(word, _mm512_srli_epi64(word, 32)));
		}
		_mm512_store_si512(
			&hash[i], _mm512_srli_epi64(_mm512_mullo_epi64(sum, factor), 32));
	}
#else
	for (unsigned int i = 0; i < count; i++) {
		uint64_t sum = 0;
		for (unsigned int w = 0; w < words; w++) {
			unsigned int at = table->word[w];
			sum += msh_nh(lanes->word[at][i] & table->mask[at], secret->key[at]);
		}
		hash[i] = msh_nh_finish(sum, secret->factor);
	}
#endif
}

/* List the first entries of the slots that may have something for a packet: its hash is in the
 * filter, and `first`, the best of the table, is better than what was found. Slots are plain loads
 * of 8 aligned bytes, which no CPU tears. */
static inline void
msh_lanes_probe(const struct msh_lanes *lanes, unsigned int count,
	const struct msh_directory *directory, uint64_t first,
	const uint64_t hash[MSH_CLASSIFIER_BURST], struct msh_list *list)
{
	uint32_t shift = directory->shift;
	unsigned int n = list->count;

#ifdef __AVX512DQ__
	const __m512i one = _mm512_set1_epi64(1ll << MSH_SLOT_BITS);
	const __m512i address = _mm512_set1_epi64((long long)MSH_SLOT_ADDRESS);
	const __m512i filter = _mm512_set1_epi64(MSH_SLOT_FILTER_MASK);
	__m512i number = _mm512_slli_epi64(_mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0), MSH_SLOT_BITS);

	for (unsigned int i = 0; i < count; i += 8) {
		__m512i h = _mm512_load_si512(&hash[i]), best = _mm512_load_si512(&lanes->best[i]);
		__m512i slot = _mm512_i64gather_epi64(
			_mm512_srli_epi64(h, shift), directory->slot, sizeof(directory->slot[0]));
		__m512i bit = _mm512_and_si512(
			_mm512_srli_epi64(h, shift - MSH_SLOT_FILTER_BITS), filter);
		__mmask8 found = _mm512_test_epi64_mask(slot, _mm512_sllv_epi64(one, bit)) &
				 _mm512_cmpgt_epu64_mask(best, _mm512_set1_epi64((long long)first));
		__m512i entry = _mm512_or_si512(_mm512_and_si512(slot, address), number);
		_mm512_storeu_si512(&list->entry[n], _mm512_maskz_compress_epi64(found, entry));
		_mm512_storeu_si512(&list->hash[n], _mm512_maskz_compress_epi64(found, h));
		n += (unsigned int)__builtin_popcount(found);
		number = _mm512_add_epi64(number, _mm512_slli_epi64(one, 3));
	}
#else
	for (unsigned int i = 0; i < count; i++) {
		uint64_t slot = directory->slot[hash[i] >> shift];
		uint64_t bit = hash[i] >> (shift - MSH_SLOT_FILTER_BITS) & MSH_SLOT_FILTER_MASK;
		list->entry[n] = (slot & MSH_SLOT_ADDRESS) | (uint64_t)i << MSH_SLOT_BITS;
		list->hash[n] = hash[i];
		n += slot >> (MSH_SLOT_BITS + bit) & (lanes->best[i] > first);
	}
#endif
	list->count = n;
}
