/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

#include "control.h"

/* Arguments of `vm add`: NAME, then port PORT, mac MAC, region FILE, size BYTES, owner
 * USER[:GROUP], mode OCTAL in any order, a mac after its port. Fills what vm and options are to
 * become, without touching anything else. 0 or the negative status of *answer; what it allocated in
 * *vm is the caller's to free either way. */
int msh_vm_parse(struct msh_control *control, struct msh_vm *vm, struct msh_region_options *options,
	int argc, char *const *argv, struct msh_answer *answer);
