/* SPDX-License-Identifier: BSD-3-Clause */

/* VMs: their ports, the MACs that they may use, and their regions. */

#include <rte_malloc.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "log.h"
#include "vm_options.h"

#define COMMANDS_A_TURN 32 /* of one VM: a flood costs its sender, not the others */

struct msh_vm *
msh_vm_find(struct msh_control *control, const char *name)
{
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		if (control->vm[i].index != 0 && strcmp(control->vm[i].name, name) == 0)
			return &control->vm[i];
	return NULL;
}

struct msh_vm *
msh_vm_of_mac(struct msh_control *control, const struct rte_ether_addr *mac)
{
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		for (unsigned int a = 0;
			control->vm[i].index != 0 && a < control->vm[i].address_count; a++)
			if (rte_is_same_ether_addr(&control->vm[i].address[a].mac, mac))
				return &control->vm[i];
	return NULL;
}

const struct msh_vm *
msh_vm_of_port(const struct msh_control *control, uint16_t port)
{
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		for (unsigned int a = 0;
			control->vm[i].index != 0 && a < control->vm[i].address_count; a++)
			if (control->vm[i].address[a].port == port)
				return &control->vm[i];
	return NULL;
}

/* Pin all, or none. */
static int
pin_addresses(struct msh_control *control, const struct msh_vm *vm, struct msh_answer *answer)
{
	for (uint16_t i = 0; i < vm->address_count; i++) {
		const struct msh_vm_address *a = &vm->address[i];
		if (msh_fdb_pin(control->datapath.fdb, msh_fdb_key(&a->mac, 0), a->port) == 0)
			continue;
		while (i-- > 0)
			msh_fdb_unpin(control->datapath.fdb, msh_fdb_key(&vm->address[i].mac, 0));
		return msh_answer_set(answer, MSH_FULL,
			"vm %s: no room left for its MACs in the forwarding table", vm->name);
	}
	return 0;
}

static void
unpin_addresses(struct msh_control *control, const struct msh_vm *vm)
{
	for (uint16_t i = 0; i < vm->address_count; i++)
		msh_fdb_unpin(control->datapath.fdb, msh_fdb_key(&vm->address[i].mac, 0));
}

static void
free_vm(struct msh_vm *vm)
{
	free(vm->region_path);
	free(vm->region_arguments);
	memset(vm, 0, sizeof(*vm));
}

static struct msh_vm *
free_slot(struct msh_control *control)
{
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		if (control->vm[i].index == 0)
			return &control->vm[i];
	return NULL;
}

static int
attach_region(struct msh_control *control, struct msh_vm *vm,
	const struct msh_region_options *options, struct msh_answer *answer)
{
	if (vm->region_path == NULL)
		return 0;
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		if (control->vm[i].index != 0 && control->vm[i].region_path != NULL &&
			strcmp(control->vm[i].region_path, vm->region_path) == 0)
			return msh_answer_set(answer, MSH_EXISTS, "region %s is VM %s's",
				vm->region_path, control->vm[i].name);
	return msh_region_open(&vm->region, vm->region_path, options, answer);
}

int
msh_vm_add(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	struct msh_region_options options = {.uid = (uid_t)-1, .gid = (gid_t)-1};
	struct msh_vm *vm = free_slot(control);
	struct msh_vm new = {0};
	struct msh_answer ignored = {0};
	if (vm == NULL)
		return msh_answer_set(answer, MSH_FULL, "all %d VMs are in use", MSH_VMS_MAX - 1);
	int rc = msh_vm_parse(control, &new, &options, argc, argv, answer);
	if (rc == 0)
		rc = attach_region(control, &new, &options, answer);
	if (rc != 0)
		goto fail;
	rc = pin_addresses(control, &new, answer);
	if (rc != 0)
		goto close_region;
	for (uint16_t i = 0; i < new.address_count; i++)
		new.address[i].epoch = ++control->last_epoch;
	new.epoch = ++control->last_epoch; /* connections of who had its index before are not its */
	*vm = new;
	vm->index = (uint16_t)(vm - control->vm);
	rc = msh_ports_take_addresses(control, answer);
	if (rc == 0 && msh_publish_topology(control) == 0)
		return 0;
	unpin_addresses(control, &new);
	memset(vm, 0, sizeof(*vm));
	msh_ports_take_addresses(control, &ignored);
	if (rc == 0)
		rc = msh_answer_set(answer, MSH_FAILED, "vm %s: out of memory", new.name);
close_region:
	if (new.region != NULL)
		msh_region_close(new.region, true);
fail:
	free_vm(&new);
	return rc;
}

int
msh_vm_del(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	struct msh_vm *vm = msh_vm_find(control, argv[0]);
	struct msh_answer ignored = {0};
	if (vm == NULL)
		return msh_answer_set(answer, MSH_NOTFOUND, "there is no VM %s", argv[0]);
	msh_stages_clear(control, vm);
	if (vm->region != NULL)
		msh_region_close(vm->region, true);
	unpin_addresses(control, vm);
	free_vm(vm);
	msh_ports_take_addresses(control, &ignored);
	if (msh_publish_topology(control) != 0)
		return msh_answer_set(answer, MSH_FAILED,
			"vm %s: out of memory: its MAC guard stays for now", argv[0]);
	return 0;
}

/* The file behind the region is not what it was: only this VM loses by it. */
static void
lose_region(struct msh_vm *vm)
{
	vm->region_lost = "the file was truncated";
	MSH_LOG(WARNING, "vm %s: region %s given up: %s; `vm del` and `vm add` take it up again",
		vm->name, vm->region_path, vm->region_lost);
	msh_region_close(vm->region, false);
	vm->region = NULL;
}

static unsigned int
poll_region(struct msh_control *control, struct msh_vm *vm)
{
	struct msh_caller caller = {.who = MSH_WHO_VM, .vm = vm};
	struct msh_region_command command;
	unsigned int n = 0;
	while (n < COMMANDS_A_TURN) {
		int rc = msh_region_poll(vm->region, msh_now_ns(), &command);
		if (rc < 0)
			lose_region(vm);
		if (rc <= 0)
			break;
		struct msh_answer answer = {0};
		msh_command_run(control, &caller, command.text, command.length, &answer);
		vm->commands++;
		vm->refused += answer.status != MSH_OK;
		msh_region_answer(vm->region, &command, &answer);
		msh_answer_clear(&answer);
		n++;
	}
	return n;
}

unsigned int
msh_vms_poll(struct msh_control *control)
{
	unsigned int n = 0;
	control->regions = 0;
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++)
		if (control->vm[i].region != NULL) {
			n += poll_region(control, &control->vm[i]);
			control->regions++;
		}
	return n;
}

void
msh_vms_close(struct msh_control *control)
{
	for (unsigned int i = 1; i < MSH_VMS_MAX; i++) {
		struct msh_vm *vm = &control->vm[i];
		if (vm->index == 0)
			continue;
		for (unsigned int s = 0; s < msh_slots(); s++)
			if (vm->instance[s] != NULL)
				msh_slot_stage(s)->destroy(vm->instance[s]);
		free((void *)(uintptr_t)vm->stages);
		if (vm->region != NULL)
			msh_region_close(
				vm->region, false); /* the guest has it mapped, and outlives us */
		free_vm(vm);
	}
}
