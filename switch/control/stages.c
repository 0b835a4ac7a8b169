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

/* What it takes to put an instance in force, made before it is known which: then nothing can fail
 * that a command has begun. */
struct swap {
	struct msh_vm_stages *list;
	struct msh_config *config;
	struct retired_instance *retired;
};

static void
discard(struct swap *swap)
{
	free(swap->list);
	free(swap->config);
	free(swap->retired);
}

static int
prepare(struct swap *swap)
{
	*swap = (struct swap){.list = calloc(1, sizeof(*swap->list)),
		.config = calloc(1, sizeof(*swap->config)),
		.retired = malloc(sizeof(*swap->retired))};
	if (swap->list != NULL && swap->config != NULL && swap->retired != NULL)
		return 0;
	discard(swap);
	return -ENOMEM;
}

static unsigned int
reads(const struct msh_stage *stage, const void *instance, enum msh_direction direction)
{
	if (stage->reads != NULL)
		return stage->reads(instance, direction);
	return direction == MSH_IN ? MSH_READS_SOME : 0;
}

static void
add_steps(struct msh_steps *steps, const struct msh_vm *vm, enum msh_direction direction)
{
	for (unsigned int s = 0; s < msh_slots(); s++) {
		const void *instance = vm->instance[s];
		unsigned int what =
			instance != NULL ? reads(msh_slot_stage(s), instance, direction) : 0;
		if (what == 0)
			continue;
		steps->step[steps->count].stage = (uint16_t)msh_slot_index(s);
		steps->step[steps->count++].instance = instance;
		steps->reads_flags |= (what & MSH_READS_FLAGS) != 0;
		steps->reads_state |= (what & MSH_READS_STATE) != 0;
	}
}

/* What workers see of a VM, in `list`; NULL when it has no instance. */
static struct msh_vm_stages *
list_stages(struct msh_control *control, const struct msh_vm *vm, struct msh_vm_stages *list)
{
	bool any = false;
	for (unsigned int s = 0; s < msh_slots(); s++)
		any |= vm->instance[s] != NULL;
	if (!any) {
		free(list);
		return NULL;
	}
	list->generation = ++control->generations;
	list->epoch = vm->epoch;
	for (enum msh_direction d = 0; d < MSH_DIRECTIONS; d++) {
		add_steps(&list->side[d], vm, d);
		list->tracks |= list->side[d].reads_state;
	}
	for (; list->mac_count < vm->address_count; list->mac_count++) {
		list->mac[list->mac_count].mac = vm->address[list->mac_count].mac;
		list->mac[list->mac_count].epoch = vm->address[list->mac_count].epoch;
	}
	return list;
}

/* Put an instance in force for a VM. NULL: none. Retires the old one. */
static void
install(struct msh_control *control, struct msh_vm *vm, unsigned int slot, const void *instance,
	struct swap *swap)
{
	const struct msh_vm_stages *old_list = vm->stages;
	const void *old = vm->instance[slot];
	vm->instance[slot] = instance;
	vm->stages = list_stages(control, vm, swap->list);
	msh_publish_stages(control, swap->config);
	if (old_list != NULL)
		msh_retire(free, (void *)(uintptr_t)old_list);
	*swap->retired = (struct retired_instance){.stage = msh_slot_stage(slot), .instance = old};
	if (old != NULL)
		msh_retire(destroy_instance, swap->retired);
	else
		free(swap->retired);
}

int
msh_stage_install(
	struct msh_control *control, struct msh_vm *vm, unsigned int slot, const void *instance)
{
	struct swap swap;
	if (prepare(&swap) != 0)
		return -ENOMEM;
	install(control, vm, slot, instance, &swap);
	return 0;
}

void
msh_stages_clear(struct msh_control *control, struct msh_vm *vm)
{
	for (unsigned int s = 0; s < msh_slots(); s++)
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
	unsigned int slot = caller->for_itself ? stage : msh_stage_count + stage;
	const void *old = vm->instance[slot];
	const void *new = old;
	struct swap swap;
	if (prepare(&swap) != 0)
		return msh_answer_set(answer, MSH_FAILED, "vm %s: out of memory", vm->name);
	int rc = msh_stages[stage]->apply(old, verb, argc, argv, answer, &new);
	if (rc != 0 || new == old) {
		discard(&swap);
		return rc;
	}
	install(control, vm, slot, new, &swap);
	if (msh_stages[stage]->neighbors != NULL)
		msh_neighbors_ask(control, false);
	return 0;
}

/* What is known of the redirected flows of a VM's MAC, and of its connections, counts no more with
 * the next instance. */
static void
forget_flows(struct msh_control *control, struct msh_vm *vm, const struct rte_ether_addr *mac)
{
	vm->epoch = ++control->last_epoch;
	for (uint16_t i = 0; i < vm->address_count; i++)
		if (rte_is_same_ether_addr(&vm->address[i].mac, mac))
			vm->address[i].epoch = ++control->last_epoch;
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
	for (unsigned int s = 0; s < msh_slots(); s++) {
		const void *old = vm->instance[s];
		const void *new = old;
		if (msh_slot_is_operators(s) != caller->for_itself)
			continue;
		int rc = old != NULL ? msh_slot_stage(s)->cancel(old, &mac, &new) : -ENOENT;
		if (rc == -ENOENT)
			continue;
		forget_flows(control, vm, &mac);
		if (rc != 0 || msh_stage_install(control, vm, s, new) != 0)
			return msh_answer_set(answer, MSH_FAILED, "vm %s: out of memory", vm->name);
		found = true;
	}
	if (!found)
		return msh_answer_set(
			answer, MSH_NOTFOUND, "MAC %s is not registered for anything", argv[0]);
	return msh_answer_set(answer, MSH_OK, "MAC %s is not registered any more", argv[0]);
}
