/* SPDX-License-Identifier: BSD-3-Clause */

/* Bonds of devices, by DPDK's net_bonding: their members are made first, and are no ports. */

#include <rte_errno.h>
#include <rte_eth_bond.h>
#include <rte_version.h>
#include <string.h>

#include "port_dev.h"

#if RTE_VERSION >= RTE_VERSION_NUM(23, 11, 0, 0)
#define bond_members_get rte_eth_bond_members_get
#define bond_active_get rte_eth_bond_active_members_get
#define bond_member_remove rte_eth_bond_member_remove
#else
#define bond_members_get rte_eth_bond_slaves_get
#define bond_active_get rte_eth_bond_active_slaves_get
#define bond_member_remove rte_eth_bond_slave_remove
#endif

static bool
is_bond(const char *devargs)
{
	return strncmp(devargs, "net_bonding", strlen("net_bonding")) == 0;
}

/* The value of the next slave= (member= since DPDK 23.11) after at, and where it is; NULL: none. */
static const char *
next_member(const char *at, char *value, size_t size)
{
	while ((at = strchr(at, ',')) != NULL) {
		at++;
		if (strncmp(at, "slave=", 6) != 0 && strncmp(at, "member=", 7) != 0)
			continue;
		at = strchr(at, '=') + 1;
		snprintf(value, size, "%.*s", (int)strcspn(at, ","), at);
		return at;
	}
	return NULL;
}

int
msh_bond_probe(const struct msh_control *control, struct msh_dev *dev, const char *devargs,
	struct msh_answer *answer)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	const char *at = devargs;
	while (is_bond(devargs) && (at = next_member(at, name, sizeof(name))) != NULL) {
		struct msh_dev_member *member = &dev->member[dev->member_count];
		if (dev->member_count == MSH_BOND_MEMBERS_MAX)
			return msh_answer_set(answer, MSH_FULL, "a bond has at most %d members",
				MSH_BOND_MEMBERS_MAX);
		int rc = msh_dev_probe(control, name, &member->ethdev, &member->made, answer);
		if (rc != 0)
			return rc;
		if (msh_dev_is_taken(control, member->ethdev))
			return msh_answer_set(answer, MSH_EXISTS,
				"device '%s' is a port, or a member of one, already", name);
		dev->member_count++;
	}
	return 0;
}

int
msh_bond_take(struct msh_dev *dev, uint16_t ethdev, const char *devargs, struct msh_answer *answer)
{
	uint16_t members[RTE_MAX_ETHPORTS] = {0};
	const struct rte_eth_conf conf = {0};
	if (!is_bond(devargs))
		return 0;
	/* The driver looks at its arguments only now, and can what its members can. */
	int rc = rte_eth_dev_configure(ethdev, 1, 1, &conf);
	int count = rc == 0 ? bond_members_get(ethdev, members, RTE_DIM(members)) : -1;
	if (count <= 0 || count < dev->member_count)
		return msh_answer_set(answer, MSH_FAILED,
			"bond '%s' does not take its members; DPDK's log says more", devargs);
	if (count > MSH_BOND_MEMBERS_MAX)
		return msh_answer_set(
			answer, MSH_FULL, "a bond has at most %d members", MSH_BOND_MEMBERS_MAX);
	dev->member_count = (uint16_t)count;
	for (int i = 0; i < count; i++)
		dev->member[i].ethdev = members[i];
	dev->lacp = rte_eth_bond_mode_get(ethdev) == BONDING_MODE_8023AD;
	return 0;
}

bool
msh_bond_lose_members(struct msh_dev *dev, uint16_t ethdev)
{
	uint16_t kept = 0;
	for (uint16_t i = 0; i < dev->member_count; i++) {
		if (!msh_dev_is_leaving(dev->member[i].ethdev)) {
			dev->member[kept++] = dev->member[i];
			continue;
		}
		bond_member_remove(ethdev, dev->member[i].ethdev);
		msh_dev_remove(dev->member[i].ethdev);
	}
	bool lost = kept < dev->member_count;
	dev->member_count = kept;
	return lost;
}

void
msh_bond_close_members(struct msh_dev *dev, bool all)
{
	for (uint16_t i = 0; i < dev->member_count; i++)
		if (all || dev->member[i].made)
			msh_dev_remove(dev->member[i].ethdev);
	dev->member_count = 0;
}

/* "0000:01:00.0 active, 0000:02:00.0 down": active ones carry traffic. */
json_t *
msh_bond_show(const struct msh_dev *dev, uint16_t ethdev)
{
	char text[512] = "", name[RTE_ETH_NAME_MAX_LEN];
	uint16_t active[RTE_MAX_ETHPORTS];
	size_t used = 0;
	int count = bond_active_get(ethdev, active, RTE_DIM(active));
	bool one = rte_eth_bond_mode_get(ethdev) == BONDING_MODE_ACTIVE_BACKUP;
	for (uint16_t i = 0; i < dev->member_count && used < sizeof(text); i++) {
		const char *state = "down";
		for (int a = 0; a < count; a++)
			if (active[a] == dev->member[i].ethdev)
				state = one && rte_eth_bond_primary_get(ethdev) != active[a]
						? "ready"
						: "active";
		rte_eth_dev_get_name_by_port(dev->member[i].ethdev, name);
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s %s",
			i > 0 ? ", " : "", name, state);
	}
	return json_string(text);
}
