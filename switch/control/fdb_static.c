/* SPDX-License-Identifier: BSD-3-Clause */

/* MACs that the operator put behind a port: not learned elsewhere, not forgotten. */

#include <errno.h>
#include <string.h>

#include "control.h"

/* MAC and `vlan N`. 0 or the negative status. */
static int
parse_key(const char *mac_word, int argc, char *const *argv, struct msh_static_mac *key,
	struct msh_answer *answer)
{
	uint64_t vlan = 0;
	if (msh_parse_mac(mac_word, &key->mac) != 0 || !rte_is_unicast_ether_addr(&key->mac) ||
		rte_is_zero_ether_addr(&key->mac))
		return msh_answer_set(answer, MSH_BAD,
			"'%s' is no MAC of a host: six bytes like 52:54:00:12:34:56", mac_word);
	if (argc == 0)
		return 0;
	if (strcmp(argv[0], "vlan") != 0 || argc != 2)
		return msh_answer_set(answer, MSH_BAD, "'%s' is not vlan N", argv[0]);
	if (msh_parse_number(argv[1], 4094, &vlan) != 0 || vlan == 0)
		return msh_answer_set(answer, MSH_BAD, "'%s' is no VLAN: 1 to 4094", argv[1]);
	key->vlan = (uint16_t)vlan;
	return 0;
}

static struct msh_static_mac *
find(struct msh_control *control, const struct msh_static_mac *key)
{
	for (unsigned int i = 0; i < control->static_macs; i++) {
		struct msh_static_mac *s = &control->static_mac[i];
		if (s->vlan == key->vlan && rte_is_same_ether_addr(&s->mac, &key->mac))
			return s;
	}
	return NULL;
}

int
msh_fdb_add(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	struct msh_static_mac key = {.vlan = 0};
	int rc = parse_key(argv[0], argc - 2, argv + 2, &key, answer);
	if (rc != 0)
		return rc;
	const struct msh_port_entry *entry = msh_port_find(control, argv[1]);
	if (entry == NULL)
		return msh_answer_set(answer, MSH_NOTFOUND, "there is no port %s", argv[1]);
	const struct msh_vm *vm = msh_vm_of_mac(control, &key.mac);
	if (vm != NULL)
		return msh_answer_set(answer, MSH_EXISTS, "MAC %s is VM %s's", argv[0], vm->name);
	vm = msh_vm_of_port(control, entry->port->index);
	if (vm != NULL)
		return msh_answer_set(answer, MSH_DENIED,
			"port %s is VM %s's: it has the MACs of `vm add`", argv[1], vm->name);
	if (control->static_macs == MSH_STATIC_MACS_MAX)
		return msh_answer_set(
			answer, MSH_FULL, "all %d static MACs are in use", MSH_STATIC_MACS_MAX);
	key.port = entry->port->index;
	rc = msh_fdb_pin(control->datapath.fdb, msh_fdb_key(&key.mac, key.vlan), key.port);
	if (rc == -EEXIST)
		return msh_answer_set(answer, MSH_EXISTS, "MAC %s is static already", argv[0]);
	if (rc != 0)
		return msh_answer_set(answer, MSH_FULL,
			"no room left for MAC %s in the forwarding table", argv[0]);
	control->static_mac[control->static_macs++] = key;
	return 0;
}

static void
forget(struct msh_control *control, struct msh_static_mac *s)
{
	msh_fdb_unpin(control->datapath.fdb, msh_fdb_key(&s->mac, s->vlan));
	*s = control->static_mac[--control->static_macs];
}

int
msh_fdb_del(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	struct msh_static_mac key = {.vlan = 0};
	int rc = parse_key(argv[0], argc - 1, argv + 1, &key, answer);
	if (rc != 0)
		return rc;
	struct msh_static_mac *s = find(control, &key);
	if (s == NULL)
		return msh_answer_set(answer, MSH_NOTFOUND, "MAC %s is not static", argv[0]);
	forget(control, s);
	return 0;
}

void
msh_static_macs_forget(struct msh_control *control, uint16_t port)
{
	for (unsigned int i = control->static_macs; i-- > 0;)
		if (control->static_mac[i].port == port)
			forget(control, &control->static_mac[i]);
}

void
msh_static_macs_save(const struct msh_control *control, FILE *out)
{
	for (unsigned int i = 0; i < control->static_macs; i++) {
		const struct msh_static_mac *s = &control->static_mac[i];
		char mac[MSH_MAC_TEXT];
		fprintf(out, "fdb add %s %s", msh_mac_text(&s->mac, mac),
			control->port[s->port].port->name);
		if (s->vlan != 0)
			fprintf(out, " vlan %u", s->vlan);
		fputc('\n', out);
	}
}

int
msh_suppress(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer)
{
	bool on, was = control->asks_all;
	int rc = msh_parse_on_off("suppress", argv[0], &on, answer);
	if (rc != 0)
		return rc;
	control->asks_all = !on;
	if (msh_publish_topology(control) == 0)
		return 0;
	control->asks_all = was;
	return msh_answer_set(answer, MSH_FAILED, "suppress: out of memory");
}
