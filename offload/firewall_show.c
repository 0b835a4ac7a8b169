/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>

#include "firewall_box.h"

/* All filters of a box, or of one layer of it, in the order in which they were added. NULL: out of
 * memory, or none. The caller frees it. */
static struct msh_object **
box_filters(const struct msh_fw_box *box, unsigned int layers, size_t *count)
{
	struct msh_object **filters = malloc(box->filters * sizeof(*filters));

	*count = 0;
	if (filters == NULL)
		return NULL;
	for (unsigned int kind = 0; kind < MSH_FILTER_KINDS; kind++)
		for (unsigned int value = 0; value < MSH_FILTER_VALUES; value++)
			if (layers & 1u << msh_filter_layer(kind))
				*count += msh_set_collect(box->set[kind][value], filters + *count);
	msh_objects_sort(filters, *count);
	return filters;
}

static const union msh_filter_key *
filter_key(const struct msh_filter *filter)
{
	return (const union msh_filter_key *)filter->object.key;
}

static json_t *
filter_row(const struct msh_fw_box *box, const struct msh_filter *filter)
{
	struct msh_tally sum = msh_tally_sum(filter->tally);
	char mac[MSH_MAC_TEXT], ip[MSH_IP_TEXT];
	struct msh_filter_text text;

	msh_filter_fields(filter->kind, filter->value, filter_key(filter), &text);
	return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:I, s:I}", "mac",
		msh_mac_text(&box->mac, mac), "ip", msh_ip_text(&box->ip, ip), "layer",
		msh_layer_text(msh_filter_layer(filter->kind)), "value", filter->value, "s",
		text.field[0], "d", text.field[1], "t", text.field[2], "p", text.field[3],
		"packets", (json_int_t)sum.packets, "bytes", (json_int_t)sum.bytes);
}

int
msh_fw_list(const struct msh_fw_box *box, enum msh_layer layer, struct msh_answer *answer)
{
	char mac[MSH_MAC_TEXT];
	size_t count;
	struct msh_object **filters = box_filters(box, 1u << layer, &count);
	json_t *rows = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(rows, filter_row(box, (const struct msh_filter *)filters[i]));
	free(filters);
	if (rows == NULL || json_array_size(rows) != count || (filters == NULL && box->filters > 0))
		goto fail;
	if (count > 0)
		msh_answer_set(answer, MSH_OK, "%zu filter%s at %s for %s", count,
			count == 1 ? "" : "s", msh_layer_text(layer), msh_mac_text(&box->mac, mac));
	else
		msh_answer_set(answer, MSH_OK, "%s has no filters at %s",
			msh_mac_text(&box->mac, mac), msh_layer_text(layer));
	answer->data = rows;
	return 0;
fail:
	json_decref(rows);
	return msh_answer_set(answer, MSH_FAILED, "out of memory for the list of filters");
}

static void
dump_box(const struct msh_fw_box *box, msh_emit_line emit, void *context)
{
	char line[256], filter_line[MSH_FILTER_LINE], mac[MSH_MAC_TEXT], ip[MSH_IP_TEXT];
	size_t count;
	struct msh_object **filters = box_filters(box, UINT32_MAX, &count);

	msh_mac_text(&box->mac, mac);
	snprintf(line, sizeof(line), "R F %s %s", mac, msh_ip_text(&box->ip, ip));
	emit(context, line);
	for (size_t i = 0; i < count; i++) {
		const struct msh_filter *filter = (const struct msh_filter *)filters[i];
		snprintf(line, sizeof(line), "A %s %s", mac,
			msh_filter_line(
				filter->kind, filter->value, filter_key(filter), filter_line));
		emit(context, line);
	}
	free(filters);
	msh_fw_rule_dump(box, mac, emit, context);
}

void
msh_fw_dump(const void *instance, msh_emit_line emit, void *context)
{
	const struct msh_fw *fw = instance;

	for (uint32_t i = 0; i < fw->boxes; i++)
		dump_box(fw->box[i], emit, context);
}

static json_t *
box_row(const struct msh_fw_box *box)
{
	char mac[MSH_MAC_TEXT], ip[MSH_IP_TEXT];
	struct msh_tally sum = {0};
	size_t count;
	struct msh_object **filters = box_filters(box, UINT32_MAX, &count);

	for (size_t i = 0; i < count; i++) {
		struct msh_tally one =
			msh_tally_sum(((const struct msh_filter *)filters[i])->tally);
		sum.packets += one.packets;
		sum.bytes += one.bytes;
	}
	free(filters);
	uint32_t rules = 0;
	for (unsigned int side = 0; box->rules != NULL && side < MSH_DIRECTIONS; side++)
		rules += box->rules->side[side].count;
	return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "stage", "firewall", "mac",
		msh_mac_text(&box->mac, mac), "ip", msh_ip_text(&box->ip, ip), "filters",
		(json_int_t)box->filters, "rules", (json_int_t)rules, "packets",
		(json_int_t)sum.packets, "bytes", (json_int_t)sum.bytes);
}

void
msh_fw_show(const void *instance, json_t *rows)
{
	const struct msh_fw *fw = instance;

	for (uint32_t i = 0; i < fw->boxes; i++)
		json_array_append_new(rows, box_row(fw->box[i]));
}
