/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* A filter of the firewall stage: the fields that it names, as words of a command and as an exact
 * key. */

#include <stddef.h>

#include "command.h"
#include "cowset.h"
#include "tally.h"

/* VALUE of a command is a sum of these. */
enum msh_field_bit {
	MSH_FIELD_P = 1,
	MSH_FIELD_D = 2,
	MSH_FIELD_S = 4,
	MSH_FIELD_T = 8,
	MSH_FIELD_ADDRESSES = MSH_FIELD_S | MSH_FIELD_D, /* at I addresses, at M MACs, at T ports */
};
#define MSH_FILTER_VALUES 16

enum msh_layer { MSH_LAYER_M, MSH_LAYER_I, MSH_LAYER_T, MSH_LAYERS };

/* Filters of one kind and VALUE have keys of one shape, and share a set. Filters at I that name no
 * address match both families; they are of kind IP4. */
enum msh_filter_kind {
	MSH_FILTER_MAC,
	MSH_FILTER_IP4,
	MSH_FILTER_IP6,
	MSH_FILTER_TRANSPORT,
	MSH_FILTER_KINDS
};

/* What a filter names; fields that it does not name are 0. Addresses as on the wire, numbers in
 * host order. Members cover all bytes of the words that their kind uses. */
union msh_filter_key {
	uint64_t word[MSH_KEY_WORDS];
	struct {
		uint8_t s[6], t, pad;
		uint8_t d[6];
		uint16_t p;
	} mac;
	struct {
		uint8_t t, p, pad[6]; /* same place in ip6 */
		uint32_t s, d;
	} ip4;
	struct {
		uint8_t t, p, pad[6];
		uint64_t s[2], d[2];
	} ip6;
	struct {
		uint16_t s, d;
		uint8_t t, p, pad[2];
	} transport;
};

/* Number of words of the key that filters of this kind and VALUE use. */
static inline unsigned int
msh_filter_words(enum msh_filter_kind kind, unsigned int value)
{
	static const uint8_t words[MSH_FILTER_KINDS] = {2, 2, 5, 1};

	return kind == MSH_FILTER_IP4 && !(value & MSH_FIELD_ADDRESSES) ? 1 : words[kind];
}

struct msh_filter {
	struct msh_object object; /* a cache line: what workers compare */
	uint32_t tally;
	enum msh_filter_kind kind;
	uint8_t value;
} __rte_cache_aligned;

/* A filter as a command describes it. */
struct msh_filter_spec {
	enum msh_layer layer;
	enum msh_filter_kind kind;
	uint8_t value;
	bool bare; /* fields without values, in a command that deletes */
	union msh_filter_key key;
};

/* Read "{I|M|T} VALUE [s V] [d V] [t V] [p V]"; with may_be_bare the values may be left out, all or
 * none. 0, or the negative status of *answer. */
int msh_filter_parse(struct msh_filter_spec *spec, int argc, char *const *argv, bool may_be_bare,
	struct msh_answer *answer);

/* A filter with one reference, or NULL: out of memory. */
struct msh_filter *msh_filter_new(
	const struct msh_filter_spec *spec, const struct msh_hash_key *secret, uint64_t order);

/* "I" and so on. */
const char *msh_layer_text(enum msh_layer layer);
enum msh_layer msh_filter_layer(enum msh_filter_kind kind);

/* Texts of the fields in the order s, d, t, p; "-" for one that is not named. */
struct msh_filter_text {
	char field[4][MSH_IP_TEXT];
};
void msh_filter_fields(enum msh_filter_kind kind, uint8_t value, const union msh_filter_key *key,
	struct msh_filter_text *text);

/* What msh_filter_parse reads: "I 4 s 10.0.0.1". */
#define MSH_FILTER_LINE 160
const char *msh_filter_line(enum msh_filter_kind kind, uint8_t value,
	const union msh_filter_key *key, char buffer[MSH_FILTER_LINE]);
