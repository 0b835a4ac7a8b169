/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The contract of an offload stage: what one VM has handed to the switch, and how packets fare by
 * it.
 *
 * A VM has at most one instance of each stage. An instance is immutable once published: a command
 * makes a new one from the old, the control lcore swaps the pointer and destroys the old one after
 * a quiescent period. What packets it decided on, the pipeline counts. */

#include "command.h"
#include "burst.h"

enum msh_direction { MSH_IN, MSH_OUT, MSH_DIRECTIONS };

#define MSH_READS_SOME 1u  /* anything that a flow's key has */
#define MSH_READS_FLAGS 2u /* TCP flags, too */
#define MSH_READS_STATE 4u /* burst->state[], too */

/* A command that a stage understands. Its first argument is always the MAC that the middlebox is
 * registered with; the caller's right to that MAC was checked before. */
struct msh_stage_verb {
	const char *name; /* as typed: "R F" */
	const char *args; /* for help: "MAC IP" */
	const char *help; /* one sentence */
	uint8_t min, max; /* number of arguments */
};

typedef void (*msh_emit_line)(void *context, const char *line);
typedef void (*msh_emit_neighbor)(void *context, rte_be32_t wanted, rte_be32_t asker,
	const struct rte_ether_addr *asker_mac, bool known);

struct msh_stage {
	const char *name; /* "firewall" */
	const char *help; /* one line */
	const struct msh_stage_verb *verbs;
	unsigned int verb_count;

	/* Carry out verbs[verb] with these arguments (words without the verb's own), as many as
	 * its min and max allow: the caller has counted. `old` may be NULL: no instance yet.
	 * Returns 0 and in *result the instance that is in force from now on: a new one, `old`
	 * itself when nothing changes (also for a verb that only shows), or NULL when nothing
	 * remains. Otherwise returns the negative status that it put into the answer, and leaves
	 * everything, *result too, as it was. Control lcore. */
	int (*apply)(const void *old, unsigned int verb, int argc, char *const *argv,
		struct msh_answer *answer, const void **result);

	/* Forget all that is registered with this MAC; same rules for the result. Returns -ENOENT
	 * when there was nothing. */
	int (*cancel)(const void *old, const struct rte_ether_addr *mac, const void **result);

	/* Free an instance that no worker sees any more. Parts that a newer instance shares stay.
	 */
	void (*destroy)(const void *instance);

	/* Write verdicts of the packets in mask, all parsed, and all about to be delivered to the
	 * VM's port (MSH_IN), or just come from it (MSH_OUT). Verdicts are MSH_DELIVER on entry.
	 * They hold for all packets of the flow (datapath/flow.h) until the next instance: nothing
	 * may depend on more of a packet than its flow's key has. Worker: no system call, no lock,
	 * no allocation, no log. */
	void (*classify)(const void *instance, enum msh_direction direction,
		struct msh_burst *burst, uint64_t mask);

	/* Optional. What the instance looks at, MSH_READS_*; 0: classify need not be called.
	 * Without it: MSH_IN only, and no flags. */
	unsigned int (*reads)(const void *instance, enum msh_direction direction);

	/* Emit the commands that would make an equal instance. */
	void (*dump)(const void *instance, msh_emit_line emit, void *context);

	/* Rows for `stage show VM`, appended to a JSON array. */
	void (*show)(const void *instance, json_t *rows);

	/* Optional. Emit the IPv4 addresses whose MAC this instance needs, and who would ask for
	 * them. */
	void (*neighbors)(const void *instance, msh_emit_neighbor emit, void *context);
	/* Optional. An IPv4 address has this MAC now. As apply: *result is `old` when that changes
	 * nothing. 0 or -ENOMEM. */
	int (*resolved)(const void *old, rte_be32_t ip, const struct rte_ether_addr *mac,
		const void **result);
};

/* All stages, in the order in which a packet meets them (offload/registry.c). */
extern const struct msh_stage *const msh_stages[];
extern const unsigned int msh_stage_count;
#define MSH_STAGES_MAX 16
