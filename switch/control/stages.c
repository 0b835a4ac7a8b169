/* SPDX-License-Identifier: BSD-3-Clause */

/* The verbs of the stages: authority by origin, apply on a copy, publish. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "retire.h"

/* An instance on its way out. */
struct retired_instance {
	const struct msh_stage *stage;
	const void *instance;
};

static void
destroy_instance(void *thing)
{
	struct retired_instance *r = thing;
	r->stage->destroy(r->instance);
	free(r);
}

/* What workers see of a VM; *result is NULL when it has no instance. */
static int
list_stages(
	struct msh_control *control, const struct msh_vm *vm, const struct msh_vm_stages **result)
{
	struct msh_vm_stages *list = calloc(1, sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	list->generation = ++control->generations;
	for (uint16_t s = 0; s < msh_stage_count; s++) {
		if (vm->instance[s] == NULL)
			continue;
		list->step[list->count].stage = s;
		list->step[list->count++].instance = vm->instance[s];
	}
	for (; list->mac_count < vm->address_count; list->mac_count++) {
		list->mac[list->mac_count].mac = vm->address[list->mac_count].mac;
		list->mac[list->mac_count].epoch = vm->address[list->mac_count].epoch;
	}
	if (list->count == 0) {
		free(list);
		list = NULL;
	}
	*result = list;
	return 0;
}

int
msh_stage_install(
	struct msh_control *control, struct msh_vm *vm, unsigned int stage, const void *instance)
{
	const struct msh_vm_stages *old_list = vm->stages;
	const void *old = vm->instance[stage];
	struct retired_instance *retired = malloc(sizeof(*retired));
	vm->instance[stage] = instance;
	if (retired == NULL || list_stages(control, vm, &vm->stages) != 0)
		goto undo;
	if (msh_publish_stages(control) != 0) {
		free((void *)(uintptr_t)vm->stages);
		goto undo;
	}
	if (old_list != NULL)
		msh_retire(free, (void *)(uintptr_t)old_list);
	*retired = (struct retired_instance){.stage = msh_stages[stage], .instance = old};
	if (old != NULL)
		msh_retire(destroy_instance, retired);
	else
		free(retired);
	return 0;
undo:
	free(retired);
	vm->instance[stage] = old;
	vm->stages = old_list;
	return -ENOMEM;
}

void
msh_stages_clear(struct msh_control *control, struct msh_vm *vm)
{
	for (unsigned int s = 0; s < msh_stage_count; s++)
		if (vm->instance[s] != NULL)
			msh_stage_install(control, vm, s, NULL);
}

/* The VM that has this MAC, if the caller may speak for it. */
static struct msh_vm *
authorise(struct msh_control *control, const struct msh_caller *caller, const char *word,
	struct rte_ether_addr *mac, struct msh_answer *answer)
{
	if (msh_parse_mac(word, mac) != 0) {
		msh_answer_set(
			answer, MSH_BAD, "'%s' is no MAC: six bytes like 52:54:00:12:34:56", word);
		return NULL;
	}
	struct msh_vm *vm = msh_vm_of_mac(control, mac);
	/* A guest learns nothing of the MACs of others, not even whether there are any. */
	if (caller->who == MSH_WHO_VM && vm != caller->vm) {
		msh_answer_set(answer, MSH_DENIED, "MAC %s is not one of this VM's", word);
		return NULL;
	}
	if (vm == NULL)
		msh_answer_set(answer, MSH_NOTFOUND, "no VM has the MAC %s", word);
	return vm;
}

int
msh_stage_run(struct msh_control *control, const struct msh_caller *caller, unsigned int stage,
	unsigned int verb, int argc, char *const *argv, struct msh_answer *answer)
{
	struct rte_ether_addr mac;
	struct msh_vm *vm = authorise(control, caller, argv[0], &mac, answer);
	if (vm == NULL)
		return -(int)answer->status;
	const void *old = vm->instance[stage];
	const void *new = old;
	int rc = msh_stages[stage]->apply(old, verb, argc, argv, answer, &new);
	if (rc != 0 || new == old)
		return rc;
	if (msh_stage_install(control, vm, stage, new) != 0) {
		if (new != NULL)
			msh_stages[stage]->destroy(new);
		return msh_answer_set(answer, MSH_FAILED, "vm %s: out of memory", vm->name);
	}
	if (msh_stages[stage]->neighbors != NULL)
		msh_neighbors_ask(control, false);
	return 0;
}

/* `X MAC`: nothing of the registration remains, in any stage. */
int
msh_stage_cancel(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	struct rte_ether_addr mac;
	struct msh_vm *vm = authorise(control, caller, argv[0], &mac, answer);
	bool found = false;
	if (vm == NULL)
		return -(int)answer->status;
	for (uint16_t i = 0; i < vm->address_count; i++)
		if (rte_is_same_ether_addr(&vm->address[i].mac, &mac))
			vm->address[i].epoch = ++control->last_epoch; /* its flows are forgotten */
	for (unsigned int s = 0; s < msh_stage_count; s++) {
		const void *old = vm->instance[s];
		const void *new = old;
		int rc = old != NULL ? msh_stages[s]->cancel(old, &mac, &new) : -ENOENT;
		if (rc == -ENOENT)
			continue;
		if (rc != 0 || msh_stage_install(control, vm, s, new) != 0)
			return msh_answer_set(answer, MSH_FAILED, "vm %s: out of memory", vm->name);
		found = true;
	}
	if (!found)
		return msh_answer_set(
			answer, MSH_NOTFOUND, "MAC %s is not registered for anything", argv[0]);
	return msh_answer_set(answer, MSH_OK, "MAC %s is not registered any more", argv[0]);
}
