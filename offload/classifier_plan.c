/* SPDX-License-Identifier: BSD-3-Clause */

/* Which bits a table is hashed by. A mask has a level in each field: the number of leading bits or
 * nibbles of an address, all or nothing of others. The search climbs: from what one of the rules
 * asks for, one field a step, as long as the table would take more rules for what it costs a
 * packet. */

#include <stdlib.h>
#include <string.h>

#include "classifier_internal.h"

static const struct field {
	uint8_t word, shift, bits, step;
	bool fine; /* too fine for a table that is to be wide */
} fields[] = {
	{MSH_WORD_L4, 48, 16, 16, false},
	{MSH_WORD_L4, 32, 16, 16, false},
	{MSH_WORD_L4, 16, 16, 16, true},
	{MSH_WORD_L4, 25, 1, 1, true}, /* TCP's SYN */
	{MSH_WORD_L4, 28, 1, 1, true}, /* ACK */
	{MSH_WORD_L4, 8, 8, 8, false},
	{MSH_WORD_L4, 0, 8, 8, true},
	{MSH_WORD_IP, 32, 32, 1, false},
	{MSH_WORD_IP, 0, 32, 1, false},
	{MSH_WORD_META, 48, 16, 16, false},
	{MSH_WORD_META, 32, 13, 13, false},
	{MSH_WORD_IP6_DST, 32, 32, 4, false},
	{MSH_WORD_IP6_DST, 0, 32, 4, false},
	{MSH_WORD_IP6_SRC_LOW, 32, 32, 32, false},
	{MSH_WORD_IP6_SRC_LOW, 0, 32, 32, false},
	{MSH_WORD_IP6_DST_LOW, 32, 32, 32, false},
	{MSH_WORD_IP6_DST_LOW, 0, 32, 32, false},
	{MSH_WORD_MAC_SRC, 0, 48, 48, false},
	{MSH_WORD_MAC_DST, 0, 48, 48, false},
};
#define FIELDS RTE_DIM(fields)

/* The leading bits of a field. */
static uint64_t
field_bits(const struct field *field, unsigned int level)
{
	uint64_t all = (1ull << field->bits) - 1,
		 rest = (1ull << (field->bits - level * field->step)) - 1;

	return (all & ~rest) << field->shift;
}

static void
mask_of(const uint8_t level[FIELDS], uint64_t mask[MSH_CLASSIFIER_WORDS])
{
	memset(mask, 0, MSH_CLASSIFIER_WORDS * sizeof(mask[0]));
	for (unsigned int f = 0; f < FIELDS; f++)
		mask[fields[f].word] |= field_bits(&fields[f], level[f]);
}

/* The highest levels that an entry fits into. */
static void
levels_of(const struct msh_classifier_entry *entry, uint8_t level[FIELDS])
{
	for (unsigned int f = 0; f < FIELDS; f++) {
		uint64_t mask = msh_entry_mask(entry, fields[f].word);
		unsigned int n = fields[f].bits / fields[f].step;
		while (n > 0 && (field_bits(&fields[f], n) & ~mask) != 0)
			n--;
		level[f] = (uint8_t)n;
	}
}

/* Entries in hand: not more than a sample, or the choice takes longer than the rest. */
#define SAMPLE 4096
#define COUNTERS (4 * SAMPLE)
#define PACKETS 256
#define STARTS 3 /* entries that the search starts from */
struct sample {
	const struct msh_classifier_hash *hash;
	const struct msh_classifier_entry *entry[SAMPLE];
	uint32_t count;
	uint32_t each; /* entries that one stands for */
	uint32_t limit;
	struct {
		uint32_t round, hash, count;
	} counter[COUNTERS];
	uint32_t round;
	/* Packets that match some of the entries. */
	uint64_t packet[PACKETS][MSH_CLASSIFIER_WORDS];
};

/* The counter of entries with this hash, 0 when it is new. */
static uint32_t *
counter_of(struct sample *s, uint32_t hash)
{
	uint32_t at = hash % COUNTERS;

	while (s->counter[at].round == s->round && s->counter[at].hash != hash)
		at = (at + 1) % COUNTERS;
	if (s->counter[at].round != s->round) {
		s->counter[at].round = s->round;
		s->counter[at].hash = hash;
		s->counter[at].count = 0;
	}
	return &s->counter[at].count;
}

/* What a look into a table costs, and what an entry does that must be compared. */
#define LOOK_COST 4
#define ENTRY_COST 6

/* Worth of a mask: the number of entries that a table could take, for what it would cost a packet.
 */
static double
worth(struct sample *s, const uint8_t level[FIELDS])
{
	uint64_t mask[MSH_CLASSIFIER_WORDS], taken = 0, compared = 0;

	mask_of(level, mask);
	s->round++;
	for (uint32_t i = 0; i < s->count; i++) {
		if (!msh_entry_fits(s->entry[i], mask))
			continue;
		uint32_t *count = counter_of(s, msh_entry_hash(s->hash, s->entry[i], mask));
		if (*count * s->each < s->limit) {
			++*count;
			taken++;
		}
	}
	for (uint32_t i = 0; i < PACKETS; i++) {
		uint64_t sum = 0;
		for (unsigned int w = 0; w < MSH_CLASSIFIER_WORDS; w++)
			if (mask[w] != 0)
				sum += msh_nh(s->packet[i][w] & mask[w], s->hash->key[w]);
		compared += *counter_of(s, msh_nh_finish(sum, s->hash->factor));
	}
	return (double)taken / (LOOK_COST + (double)ENTRY_COST * (double)compared / PACKETS);
}

/* Packets for the entries of the sample. */
static void
draw_packets(struct sample *s)
{
	for (uint32_t i = 0; i < PACKETS; i++) {
		const struct msh_classifier_entry *entry =
			s->entry[(uint64_t)i * s->count / PACKETS];
		for (unsigned int w = 0; w < MSH_CLASSIFIER_WORDS; w++) {
			uint64_t other = msh_nh(i + 1, s->hash->key[w]);
			s->packet[i][w] =
				msh_entry_value(entry, w) | (other & ~msh_entry_mask(entry, w));
		}
	}
}

/* Try a level of one field, and keep it when that is better. */
static bool
try(struct sample *s, uint8_t level[FIELDS], unsigned int f, int step, double *best)
{
	int old = level[f], next = old + step;

	if (next < 0 || next > fields[f].bits / fields[f].step)
		return false;
	level[f] = (uint8_t)next;
	double now = worth(s, level);
	if (now > *best) {
		*best = now;
		return true;
	}
	level[f] = (uint8_t)old;
	return false;
}

/* Returns the worth of the levels where it ends. */
static double
climb(struct sample *s, uint8_t level[FIELDS])
{
	static const int steps[] = {-8, -4, -2, -1, 1, 2, 4, 8};
	double best = worth(s, level);

	for (bool better = true; better;) {
		better = false;
		for (unsigned int f = 0; f < FIELDS; f++)
			for (unsigned int i = 0; i < RTE_DIM(steps); i++)
				better |= try(s, level, f, steps[i], &best);
	}
	return best;
}

void
msh_classifier_plan(const struct msh_classifier_hash *hash,
	struct msh_classifier_entry *const *entries, uint32_t count, uint32_t limit,
	uint64_t mask[MSH_CLASSIFIER_WORDS])
{
	static struct sample s;
	uint8_t level[FIELDS];

	s.hash = hash;
	s.each = (count + SAMPLE - 1) / SAMPLE;
	s.count = 0;
	s.limit = limit;
	for (uint32_t i = 0; i < count; i += s.each)
		s.entry[s.count++] = entries[i];
	draw_packets(&s);
	double most = 0;
	for (unsigned int start = 0; start < STARTS; start++) {
		levels_of(s.entry[(2 * start + 1) * s.count / (2 * STARTS)], level);
		double best = climb(&s, level);
		if (best > most) {
			most = best;
			mask_of(level, mask);
		}
	}
}

void
msh_classifier_relax(
	const struct msh_classifier_entry *entry, bool wide, uint64_t mask[MSH_CLASSIFIER_WORDS])
{
	uint8_t level[FIELDS];

	levels_of(entry, level);
	for (unsigned int f = 0; wide && f < FIELDS; f++) {
		unsigned int bits = level[f] * fields[f].step;
		if (fields[f].fine)
			bits = 0;
		else if (fields[f].bits == 32)
			bits = bits >= 24 ? 20 : bits >= 12 ? 12 : bits >= 8 ? 8 : 0;
		level[f] = (uint8_t)(bits / fields[f].step);
	}
	mask_of(level, mask);
}
