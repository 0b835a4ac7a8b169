/* SPDX-License-Identifier: BSD-3-Clause */

/* The one table of commands: what mshctl, the boot file, the saved state and the guests may say. */

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "grammar.h"

struct command {
	const char *name; /* one or two words */
	const char *args;
	const char *help;
	uint8_t min, max; /* number of arguments */
	uint8_t who;      /* enum msh_who, or'ed */
	msh_handler *run;
};

#define OPERATOR MSH_WHO_OPERATOR
#define ANYONE (MSH_WHO_OPERATOR | MSH_WHO_VM)

static msh_handler run_help, run_version, run_save, run_operator;

static const struct command commands[] = {
	{"port add",
		"NAME {vhost PATH [server|client] [rings own|librte] [offloads on|off] [features "
		"HEX] | dev DEVARGS_OR_PCI [queues N] [mtu N] [promiscuous on|off [mac MAC]...] "
		"[offloads on|off] [vmdq on|off]} [learn on|off]",
		"Add a port: a vhost-user socket for a VM, or a DPDK device.", 3, MSH_WORDS_MAX,
		OPERATOR, msh_port_add},
	{"port del", "NAME", "Remove a port that no VM uses.", 1, 1, OPERATOR, msh_port_del},
	{"port set",
		"NAME [access VLAN | trunk VLANS|all [native VLAN] | tunnel VLAN | transparent] "
		"[isolated on|off] [storm PPS|off] [macs N|off]",
		"Lay down a port's VLANs, whether it is isolated, how much it may flood and learn.",
		2, MSH_WORDS_MAX, OPERATOR, msh_port_set},
	{"port move", "NAME {WORKER [queue N] | auto}",
		"Let this worker serve a port's queue, or let them be moved for balance again.", 2,
		4, OPERATOR, msh_port_move},
	{"port show", "[NAME]", "Show all ports, or one with its drops by reason.", 0, 1, OPERATOR,
		msh_port_show},
	{"vm add",
		"NAME port PORT mac MAC [ip IP]... [mac MAC [ip IP]...]... [port PORT mac MAC]... "
		"[region FILE [size "
		"BYTES] "
		"[owner USER[:GROUP]] [mode OCTAL]]",
		"Add a VM: its ports, the MACs and IPs that it may use, and its ivshmem region.", 5,
		MSH_WORDS_MAX, OPERATOR, msh_vm_add},
	{"vm del", "NAME", "Remove a VM and all that it handed over; its ports stay.", 1, 1,
		OPERATOR, msh_vm_del},
	{"vm show", "[NAME]", "Show all VMs, or one with its control channel.", 0, 1, OPERATOR,
		msh_vm_show},
	{"stage show", "[VM]", "Show the stages, and what VMs have registered with them.", 0, 1,
		OPERATOR, msh_stage_show},
	{"drop show", "[PORT]", "Show where every packet went: received + copies = sent + dropped.",
		0, 1, OPERATOR, msh_drop_show},
	{"worker show", "", "Show the worker lcores and their busy cycles per packet.", 0, 0,
		OPERATOR, msh_worker_show},
	{"worker idle", "{sleep|spin}",
		"What workers without packets do: nap for 30 us at a time, or poll on.", 1, 1,
		OPERATOR, msh_worker_idle},
	{"worker balance", "{on|off}",
		"Whether queues are moved from a busy worker to an idle one.", 1, 1, OPERATOR,
		msh_worker_balance},
	{"flow show", "",
		"Show how full the tables of flows and connections are, and what they saved.", 0, 0,
		OPERATOR, msh_flow_show},
	{"fdb show", "[PORT]", "Show the forwarding table.", 0, 1, OPERATOR, msh_fdb_show},
	{"fdb add", "MAC PORT [vlan VLAN]", "Put a MAC behind a port for good.", 2, 4, OPERATOR,
		msh_fdb_add},
	{"fdb del", "MAC [vlan VLAN]", "Let a MAC be learned again.", 1, 3, OPERATOR, msh_fdb_del},
	{"suppress", "{on|off}",
		"Whether ARP and IPv6 questions for VMs' addresses are answered by the switch, not "
		"flooded.",
		1, 1, OPERATOR, msh_suppress},
	{"X", "MAC", "Cancel all registrations of a MAC; nothing of them remains.", 1, 1, ANYONE,
		msh_stage_cancel},
	{"operator", "{X MAC | VERB OF A STAGE}",
		"Run X or a stage's verb on rules of the operator: they are asked before the VM's "
		"own, "
		"and the VM can neither see nor change them.",
		2, MSH_WORDS_MAX, OPERATOR, run_operator},
	{"save", "", "Print the commands that make what is configured now.", 0, 0, OPERATOR,
		run_save},
	{"help", "[VERB]...", "Show the commands that you may give.", 0, 2, ANYONE, run_help},
	{"version", "", "Show the version.", 0, 0, ANYONE, run_version},
};

/* Do the words begin with the name? Returns the number of words in it, or 0. */
static int
match_name(const char *name, int count, char *const *word)
{
	int n = 0;
	while (*name != '\0') {
		size_t length = strcspn(name, " ");
		if (n == count || strlen(word[n]) != length || strncmp(word[n], name, length) != 0)
			return 0;
		name += length + (name[length] == ' ');
		n++;
	}
	return n;
}

static int
check_arity(
	const char *name, const char *args, int min, int max, int argc, struct msh_answer *answer)
{
	if (argc >= min && argc <= max)
		return 0;
	if (max == 0)
		return msh_answer_set(answer, MSH_BAD, "%s takes no argument, not %d", name, argc);
	return msh_answer_set(answer, MSH_BAD, "%s takes %s, not %d argument%s", name, args, argc,
		argc == 1 ? "" : "s");
}

static int
run_stage_verb(struct msh_control *control, const struct msh_caller *caller, int count,
	char *const *word, struct msh_answer *answer)
{
	for (unsigned int s = 0; s < msh_stage_count; s++)
		for (unsigned int v = 0; v < msh_stages[s]->verb_count; v++) {
			const struct msh_stage_verb *verb = &msh_stages[s]->verbs[v];
			int skip = match_name(verb->name, count, word);
			if (skip == 0)
				continue;
			int argc = count - skip;
			char *const *argv = word + skip;
			int rc = check_arity(
				verb->name, verb->args, verb->min, verb->max, argc, answer);
			return rc != 0 ? rc
				       : msh_stage_run(control, caller, s, v, argc, argv, answer);
		}
	return 1;
}

static int
run_command(struct msh_control *control, const struct msh_caller *caller,
	const struct msh_words *words, struct msh_answer *answer)
{
	for (unsigned int i = 0; i < RTE_DIM(commands); i++) {
		const struct command *c = &commands[i];
		int skip = match_name(c->name, words->count, words->word);
		if (skip == 0)
			continue;
		int argc = words->count - skip;
		if ((c->who & caller->who) == 0)
			return msh_answer_set(
				answer, MSH_DENIED, "%s is for the operator", c->name);
		int rc = check_arity(c->name, c->args, c->min, c->max, argc, answer);
		return rc != 0 ? rc : c->run(control, caller, argc, words->word + skip, answer);
	}
	return 1;
}

/* A first word that is right deserves a better answer than "unknown". */
static int
refuse_unknown(const struct msh_words *words, struct msh_answer *answer)
{
	char known[256] = "";
	size_t used = 0, length = strlen(words->word[0]);
	for (unsigned int i = 0; i < RTE_DIM(commands); i++)
		if (strncmp(commands[i].name, words->word[0], length) == 0 &&
			commands[i].name[length] == ' ')
			used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
				used > 0 ? ", " : "", commands[i].name);
	for (unsigned int s = 0; s < msh_stage_count; s++)
		for (unsigned int v = 0; v < msh_stages[s]->verb_count; v++) {
			const char *name = msh_stages[s]->verbs[v].name;
			if (strncmp(name, words->word[0], length) == 0 && name[length] == ' ')
				used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
					used > 0 ? ", " : "", name);
		}
	if (used == 0)
		return msh_answer_set(answer, MSH_BAD,
			"unknown command '%s': `help` lists the commands", words->word[0]);
	bool more = words->count > 1;
	return msh_answer_set(answer, MSH_BAD, "'%s%s%s' is no command: %s", words->word[0],
		more ? " " : "", more ? words->word[1] : "", known);
}

void
msh_command_run(struct msh_control *control, const struct msh_caller *caller, const char *line,
	size_t length, struct msh_answer *answer)
{
	struct msh_words words;
	if (msh_words_split(&words, line, length, answer) != 0)
		return;
	if (words.count == 0) {
		if (caller->who == MSH_WHO_VM)
			msh_answer_set(answer, MSH_BAD, "the command is empty");
		return;
	}
	if (run_command(control, caller, &words, answer) == 1 &&
		run_stage_verb(control, caller, words.count, words.word, answer) == 1)
		refuse_unknown(&words, answer);
}

static void
append_help(json_t *rows, const char *name, const char *args, const char *help)
{
	json_array_append_new(
		rows, json_pack("{s:o, s:s}", "command",
			      json_sprintf("%s%s%s", name, *args != '\0' ? " " : "", args), "help",
			      help));
}

/* Whether the words that were asked for are the first ones of the name. */
static bool
is_wanted(const char *name, int argc, char *const *argv)
{
	for (int i = 0; i < argc; i++) {
		size_t length = strcspn(name, " ");
		if (strlen(argv[i]) != length || strncmp(name, argv[i], length) != 0)
			return false;
		name += length + (name[length] == ' ');
	}
	return true;
}

static int
run_help(struct msh_control *control, const struct msh_caller *caller, int argc, char *const *argv,
	struct msh_answer *answer)
{
	answer->data = json_array();
	for (unsigned int i = 0; i < RTE_DIM(commands); i++)
		if ((commands[i].who & caller->who) && is_wanted(commands[i].name, argc, argv))
			append_help(
				answer->data, commands[i].name, commands[i].args, commands[i].help);
	for (unsigned int s = 0; s < msh_stage_count; s++)
		for (unsigned int v = 0; v < msh_stages[s]->verb_count; v++) {
			const struct msh_stage_verb *verb = &msh_stages[s]->verbs[v];
			if (is_wanted(verb->name, argc, argv))
				append_help(answer->data, verb->name, verb->args, verb->help);
		}
	if (json_array_size(answer->data) == 0)
		return msh_answer_set(answer, MSH_NOTFOUND, "there is no command '%s'", argv[0]);
	return 0;
}

static int
run_operator(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	const struct msh_caller itself = {.who = caller->who, .for_itself = true};
	if (strcmp(argv[0], "X") == 0)
		return argc == 2 ? msh_stage_cancel(control, &itself, 1, argv + 1, answer)
				 : msh_answer_set(answer, MSH_BAD,
					   "operator X takes MAC, not %d arguments", argc - 1);
	int rc = run_stage_verb(control, &itself, argc, argv, answer);
	return rc != 1 ? rc
		       : msh_answer_set(answer, MSH_BAD, "'%s %s' is no verb of a stage", argv[0],
				 argv[1]);
}

static int
run_version(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	return msh_answer_set(answer, MSH_OK, "mshswitch " MSH_VERSION);
}

static int
run_save(struct msh_control *control, const struct msh_caller *caller, int argc, char *const *argv,
	struct msh_answer *answer)
{
	char *text = msh_save(control);
	if (text == NULL)
		return msh_answer_set(answer, MSH_FAILED, "out of memory");
	answer->data = json_string(text);
	free(text);
	return 0;
}
