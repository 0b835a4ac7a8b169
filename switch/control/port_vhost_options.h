/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* What an operator may ask of a vhost-user port, and the virtio features that follow from it. */

#include "answer.h"
#include "port.h"

struct msh_vhost_options {
	char path[108];
	bool client;
	bool librte;       /* librte_vhost serves the rings, whatever they are */
	bool finished;     /* the guest has to finish its packets itself */
	uint64_t features; /* exactly these are offered; 0: all that we know */
};

/* PATH and words after it. 0 or the negative status of *answer. */
int msh_vhost_parse(
	struct msh_vhost_options *options, int argc, char *const *argv, struct msh_answer *answer);

/* From the features that librte_vhost has, those to offer. 0 or the negative status of *answer. */
int msh_vhost_offer(
	const struct msh_vhost_options *options, uint64_t *features, struct msh_answer *answer);

/* MSH_TAKES_* of a guest that negotiated these features. */
uint8_t msh_vhost_takes(uint64_t features);
