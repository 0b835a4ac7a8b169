/* SPDX-License-Identifier: BSD-3-Clause */
#include "firewall_box.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void
msh_fw_box_unref(struct msh_fw_box *box)
{
	if (box == NULL || --box->refs != 0)
		return;
	for (unsigned int kind = 0; kind < MSH_FILTER_KINDS; kind++)
		for (unsigned int value = 0; value < MSH_FILTER_VALUES; value++)
			msh_set_unref(box->set[kind][value]);
	fw_rules_unref(box->rules);
	fw_rules_unref(box->pending);
	free(box);
}

struct msh_fw_box *
msh_fw_box_copy(const struct msh_fw_box *old)
{
	struct msh_fw_box *box = calloc(1, sizeof(*box));

	if (box == NULL)
		return NULL;
	if (old != NULL)
		*box = *old;
	box->refs = 1;
	for (unsigned int kind = 0; kind < MSH_FILTER_KINDS; kind++)
		for (unsigned int value = 0; value < MSH_FILTER_VALUES; value++)
			msh_set_ref(box->set[kind][value]);
	if (box->rules != NULL)
		box->rules->refs++;
	if (box->pending != NULL)
		box->pending->refs++;
	return box;
}

void
msh_fw_box_put(
	struct msh_fw_box *box, enum msh_filter_kind kind, unsigned int value, struct msh_set *set)
{
	struct msh_set **place = &box->set[kind][value];

	box->filters += (set != NULL ? set->count : 0) - (*place != NULL ? (*place)->count : 0);
	msh_set_unref(*place);
	*place = set;
	box->used[kind] = (uint16_t)((box->used[kind] & ~(1u << value)) | (set != NULL) << value);
}

void
msh_fw_destroy(const void *instance)
{
	struct msh_fw *fw = (struct msh_fw *)(uintptr_t)instance;

	for (uint32_t i = 0; i < fw->boxes; i++)
		msh_fw_box_unref(fw->box[i]);
	free(fw);
}

static struct msh_fw *
fw_copy(const struct msh_fw *old)
{
	struct msh_fw *fw = malloc(sizeof(*fw));

	if (fw == NULL)
		return NULL;
	if (old == NULL) {
		memset(fw, 0, sizeof(*fw));
		if (getrandom(&fw->secret, sizeof(fw->secret), 0) != sizeof(fw->secret)) {
			free(fw);
			return NULL;
		}
		return fw;
	}
	*fw = *old;
	for (uint32_t i = 0; i < fw->boxes; i++)
		fw->box[i]->refs++;
	return fw;
}

struct msh_fw *
msh_fw_with_box(const struct msh_fw *old, uint32_t at, struct msh_fw_box *box)
{
	struct msh_fw *fw = box != NULL ? fw_copy(old) : NULL;

	if (fw == NULL) {
		msh_fw_box_unref(box);
		return NULL;
	}
	if (at < fw->boxes) {
		fw->filters -= fw->box[at]->filters;
		msh_fw_box_unref(fw->box[at]);
	} else {
		fw->boxes++;
	}
	fw->filters += box->filters;
	fw->mac[at] = msh_fw_mac_bits(&box->mac);
	fw->box[at] = box;
	return fw;
}

uint32_t
msh_fw_find(const struct msh_fw *fw, const struct rte_ether_addr *mac)
{
	uint32_t i = 0;

	while (fw != NULL && i < fw->boxes && !rte_is_same_ether_addr(&fw->box[i]->mac, mac))
		i++;
	return i;
}

struct msh_fw *
msh_fw_without_box(const struct msh_fw *old, uint32_t at)
{
	struct msh_fw *fw = fw_copy(old);

	if (fw == NULL)
		return NULL;
	fw->boxes--;
	fw->filters -= fw->box[at]->filters;
	msh_fw_box_unref(fw->box[at]);
	for (uint32_t i = at; i < fw->boxes; i++) {
		fw->box[i] = fw->box[i + 1];
		fw->mac[i] = fw->mac[i + 1];
	}
	return fw;
}
