/* SPDX-License-Identifier: BSD-3-Clause */
#include "firewall_filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocols.h"

static void
filter_release(struct msh_object *object)
{
	msh_tally_free(((struct msh_filter *)object)->tally);
	free(object);
}

struct msh_filter *
msh_filter_new(
	const struct msh_filter_spec *spec, const struct msh_hash_key *secret, uint64_t order)
{
	struct msh_filter *filter = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*filter));
	unsigned int words = msh_filter_words(spec->kind, spec->value);

	if (filter == NULL)
		return NULL;
	memset(filter, 0, sizeof(*filter));
	filter->tally = msh_tally_new();
	if (filter->tally == 0) {
		free(filter);
		return NULL;
	}
	memcpy(filter->object.key, spec->key.word, sizeof(filter->object.key));
	filter->object.hash = msh_object_hash(secret, filter->object.key, words);
	filter->object.order = order;
	filter->object.refs = 1;
	filter->object.release = filter_release;
	filter->kind = spec->kind;
	filter->value = spec->value;
	return filter;
}

const char *
msh_layer_text(enum msh_layer layer)
{
	static const char *const text[MSH_LAYERS] = {
		[MSH_LAYER_M] = "M", [MSH_LAYER_I] = "I", [MSH_LAYER_T] = "T"};

	return text[layer];
}

enum msh_layer
msh_filter_layer(enum msh_filter_kind kind)
{
	static const enum msh_layer layer[MSH_FILTER_KINDS] = {
		[MSH_FILTER_MAC] = MSH_LAYER_M,
		[MSH_FILTER_IP4] = MSH_LAYER_I,
		[MSH_FILTER_IP6] = MSH_LAYER_I,
		[MSH_FILTER_TRANSPORT] = MSH_LAYER_T,
	};

	return layer[kind];
}

static void
mac_field(const uint8_t address[6], char *text)
{
	struct rte_ether_addr mac;

	memcpy(&mac, address, sizeof(mac));
	msh_mac_text(&mac, text);
}

static void
ip_field(uint8_t version, const void *address, char *text)
{
	struct msh_ip ip = {.version = version};

	memcpy(version == 4 ? (void *)&ip.v4 : (void *)&ip.v6, address, version == 4 ? 4 : 16);
	msh_ip_text(&ip, text);
}

static void
protocol_field(uint8_t protocol, char *text)
{
	const char *name = msh_protocol_name(protocol);

	if (name != NULL)
		snprintf(text, MSH_IP_TEXT, "%s", name);
	else
		snprintf(text, MSH_IP_TEXT, "%u", protocol);
}

static void
ether_type_field(uint16_t ether_type, char *text)
{
	const char *name = msh_ether_type_name(ether_type);

	if (name != NULL)
		snprintf(text, MSH_IP_TEXT, "%s", name);
	else
		snprintf(text, MSH_IP_TEXT, "0x%04x", ether_type);
}

static void
all_fields(enum msh_filter_kind kind, const union msh_filter_key *key, struct msh_filter_text *text)
{
	char *s = text->field[0], *d = text->field[1], *t = text->field[2], *p = text->field[3];

	switch (kind) {
	case MSH_FILTER_MAC:
		mac_field(key->mac.s, s);
		mac_field(key->mac.d, d);
		snprintf(t, MSH_IP_TEXT, "%u", key->mac.t);
		ether_type_field(key->mac.p, p);
		break;
	case MSH_FILTER_TRANSPORT:
		snprintf(s, MSH_IP_TEXT, "%u", key->transport.s);
		snprintf(d, MSH_IP_TEXT, "%u", key->transport.d);
		snprintf(t, MSH_IP_TEXT, "%u", key->transport.t);
		protocol_field(key->transport.p, p);
		break;
	default:
		ip_field(kind == MSH_FILTER_IP6 ? 6 : 4,
			kind == MSH_FILTER_IP6 ? (const void *)key->ip6.s : &key->ip4.s, s);
		ip_field(kind == MSH_FILTER_IP6 ? 6 : 4,
			kind == MSH_FILTER_IP6 ? (const void *)key->ip6.d : &key->ip4.d, d);
		snprintf(t, MSH_IP_TEXT, "%u", key->ip4.t);
		protocol_field(key->ip4.p, p);
	}
}

static const uint8_t field_bit[4] = {MSH_FIELD_S, MSH_FIELD_D, MSH_FIELD_T, MSH_FIELD_P};

void
msh_filter_fields(enum msh_filter_kind kind, uint8_t value, const union msh_filter_key *key,
	struct msh_filter_text *text)
{
	all_fields(kind, key, text);
	for (unsigned int i = 0; i < 4; i++)
		if (!(value & field_bit[i]))
			strcpy(text->field[i], "-");
}

const char *
msh_filter_line(enum msh_filter_kind kind, uint8_t value, const union msh_filter_key *key,
	char buffer[MSH_FILTER_LINE])
{
	struct msh_filter_text text;
	int length = snprintf(
		buffer, MSH_FILTER_LINE, "%s %u", msh_layer_text(msh_filter_layer(kind)), value);

	all_fields(kind, key, &text);
	for (unsigned int i = 0; i < 4; i++)
		if (value & field_bit[i])
			length += snprintf(buffer + length, (size_t)(MSH_FILTER_LINE - length),
				" %c %s", "sdtp"[i], text.field[i]);
	return buffer;
}
