/* SPDX-License-Identifier: BSD-3-Clause */
#include "vm_options.h"
#include "words.h"

#include <arpa/inet.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	struct msh_control *control;
	struct msh_vm *vm;
	struct msh_region_options *options;
	struct msh_answer *answer;
	uint16_t port; /* that the next MAC is for */
};

static int
parse_port(struct parser *p, const char *value)
{
	const struct msh_port_entry *entry = msh_port_find(p->control, value);
	if (entry == NULL)
		return msh_answer_set(p->answer, MSH_NOTFOUND, "there is no port %s", value);
	const struct msh_vm *other = msh_vm_of_port(p->control, entry->port->index);
	if (other != NULL)
		return msh_answer_set(
			p->answer, MSH_EXISTS, "port %s is VM %s's", value, other->name);
	p->port = entry->port->index;
	return 0;
}

static int
parse_mac(struct parser *p, const char *value)
{
	struct rte_ether_addr mac;
	if (msh_parse_mac(value, &mac) != 0)
		return msh_answer_set(p->answer, MSH_BAD,
			"'%s' is no MAC: six bytes like 52:54:00:12:34:56", value);
	if (!rte_is_unicast_ether_addr(&mac) || rte_is_zero_ether_addr(&mac))
		return msh_answer_set(
			p->answer, MSH_BAD, "MAC %s is not one that a host can have", value);
	if (p->port == 0)
		return msh_answer_set(p->answer, MSH_BAD, "mac %s comes before its port", value);
	const struct msh_vm *other = msh_vm_of_mac(p->control, &mac);
	for (uint16_t i = 0; i < p->vm->address_count; i++)
		if (rte_is_same_ether_addr(&p->vm->address[i].mac, &mac))
			other = p->vm;
	if (other != NULL)
		return msh_answer_set(
			p->answer, MSH_EXISTS, "MAC %s is VM %s's", value, other->name);
	if (p->vm->address_count == MSH_VM_MACS_MAX)
		return msh_answer_set(
			p->answer, MSH_FULL, "a VM has at most %d MACs", MSH_VM_MACS_MAX);
	p->vm->address[p->vm->address_count++] =
		(struct msh_vm_address){.mac = mac, .port = p->port};
	return 0;
}

/* Unicast, and neither unspecified nor loopback (RFC 6890). */
static bool
is_host(const struct msh_ip *ip)
{
	if (ip->version == 6)
		return !IN6_IS_ADDR_UNSPECIFIED(&ip->v6) && !IN6_IS_ADDR_LOOPBACK(&ip->v6) &&
		       !IN6_IS_ADDR_MULTICAST(&ip->v6);
	uint32_t v4 = ntohl(ip->v4.s_addr);
	return v4 >> 24 != 0 && v4 >> 24 != IN_LOOPBACKNET && v4 >> 28 < 0xe;
}

/* The VM's own address, at the MAC before it. */
static int
parse_ip(struct parser *p, const char *value)
{
	struct msh_vm *vm = p->vm;
	struct msh_vm_ip new = {.address = (uint16_t)(vm->address_count - 1)};
	if (msh_parse_ip(value, &new.ip) != 0)
		return msh_answer_set(p->answer, MSH_BAD, "'%s' is no IP address", value);
	if (!is_host(&new.ip))
		return msh_answer_set(
			p->answer, MSH_BAD, "IP %s is not one that a host can have", value);
	if (vm->address_count == 0)
		return msh_answer_set(p->answer, MSH_BAD, "ip %s comes before its mac", value);
	if (vm->ip_count == MSH_VM_IPS_MAX)
		return msh_answer_set(
			p->answer, MSH_FULL, "a VM has at most %d IPs", MSH_VM_IPS_MAX);
	for (unsigned int i = 0; i < MSH_VMS_MAX; i++) {
		const struct msh_vm *other = i == 0 ? vm : &p->control->vm[i];
		for (uint16_t j = 0; j < other->ip_count; j++)
			if (msh_ip_compare(&other->ip[j].ip, &new.ip) == 0)
				return msh_answer_set(p->answer, MSH_EXISTS, "IP %s is VM %s's",
					value, other->name);
	}
	vm->ip[vm->ip_count++] = new;
	return 0;
}

static int
parse_region(struct parser *p, const char *value)
{
	if (value[0] != '/')
		return msh_answer_set(
			p->answer, MSH_BAD, "region '%s' is not an absolute path", value);
	free(p->vm->region_path);
	p->vm->region_path = strdup(value);
	return p->vm->region_path != NULL ? 0
					  : msh_answer_set(p->answer, MSH_FAILED, "out of memory");
}

static int
parse_size(struct parser *p, const char *value)
{
	if (msh_parse_number(value, UINT32_MAX, &p->options->size) != 0 || p->options->size == 0)
		return msh_answer_set(p->answer, MSH_BAD, "'%s' is no region size in bytes", value);
	return 0;
}

static int
parse_mode(struct parser *p, const char *value)
{
	char *end;
	unsigned long mode = strtoul(value, &end, 8);
	if (end == value || *end != '\0' || mode == 0 || mode > 0666)
		return msh_answer_set(
			p->answer, MSH_BAD, "'%s' is no file mode: octal, like 0660", value);
	p->options->mode = (mode_t)mode;
	return 0;
}

static int
parse_owner(struct parser *p, const char *value)
{
	char user[64];
	const char *colon = strchr(value, ':');
	snprintf(user, sizeof(user), "%.*s", (int)strcspn(value, ":"), value);
	const struct passwd *pw = getpwnam(user);
	if (pw == NULL)
		return msh_answer_set(p->answer, MSH_BAD, "there is no user '%s'", user);
	const struct group *gr = colon != NULL ? getgrnam(colon + 1) : NULL;
	if (colon != NULL && gr == NULL)
		return msh_answer_set(p->answer, MSH_BAD, "there is no group '%s'", colon + 1);
	p->options->uid = pw->pw_uid;
	p->options->gid = gr != NULL ? gr->gr_gid : pw->pw_gid;
	return 0;
}

static const struct {
	const char *word;
	int (*parse)(struct parser *p, const char *value);
	bool of_region;
} options_table[] = {
	{"port", parse_port, false},
	{"mac", parse_mac, false},
	{"ip", parse_ip, false},
	{"region", parse_region, true},
	{"size", parse_size, true},
	{"owner", parse_owner, true},
	{"mode", parse_mode, true},
};

static int
parse_option(struct parser *p, const char *word, const char *value)
{
	for (unsigned int i = 0; i < RTE_DIM(options_table); i++) {
		if (strcmp(options_table[i].word, word) != 0)
			continue;
		if (value == NULL)
			return msh_answer_set(p->answer, MSH_BAD, "%s lacks its value", word);
		if (options_table[i].of_region && i > 3 && p->vm->region_path == NULL)
			return msh_answer_set(p->answer, MSH_BAD,
				"%s is of a region: give region FILE first", word);
		return options_table[i].parse(p, value);
	}
	return msh_answer_set(p->answer, MSH_BAD,
		"'%s' is not one of port, mac, ip, region, size, owner, mode", word);
}

/* The region's options as given, for `save`. */
static int
keep_region_arguments(struct parser *p, int argc, char *const *argv)
{
	char text[MSH_LINE_MAX + 1] = "";
	size_t used = 0;
	for (int i = 1; i + 1 < argc; i += 2)
		if (strcmp(argv[i], "port") != 0 && strcmp(argv[i], "mac") != 0 &&
			strcmp(argv[i], "ip") != 0) {
			text[used++] = ' ';
			used += msh_words_join(text + used, sizeof(text) - used, 2, argv + i);
		}
	p->vm->region_arguments = strdup(text);
	return p->vm->region_arguments != NULL
		       ? 0
		       : msh_answer_set(p->answer, MSH_FAILED, "out of memory");
}

int
msh_vm_parse(struct msh_control *control, struct msh_vm *vm, struct msh_region_options *options,
	int argc, char *const *argv, struct msh_answer *answer)
{
	struct parser p = {.control = control, .vm = vm, .options = options, .answer = answer};
	if (!msh_is_name(argv[0]))
		return msh_answer_set(answer, MSH_BAD,
			"'%s' is no name: letters, digits, - _ . , at most %d of them", argv[0],
			MSH_NAME_MAX - 1);
	if (msh_vm_find(control, argv[0]) != NULL)
		return msh_answer_set(answer, MSH_EXISTS, "VM %s is there already", argv[0]);
	snprintf(vm->name, sizeof(vm->name), "%s", argv[0]);
	for (int i = 1; i < argc; i += 2) {
		int rc = parse_option(&p, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
		if (rc != 0)
			return rc;
	}
	if (vm->address_count == 0)
		return msh_answer_set(
			answer, MSH_BAD, "vm %s has no MAC: give port PORT mac MAC", vm->name);
	return keep_region_arguments(&p, argc, argv);
}
