/* SPDX-License-Identifier: BSD-3-Clause */

/* Which MACs a device that is not promiscuous lets in. */

#include <rte_errno.h>
#include <rte_ethdev.h>

#include "port_dev.h"

/* A VM behind the port itself needs nothing of it: it is where frames to the VM leave. */
static bool
is_wanted(const struct msh_control *control, const struct msh_port *port, const struct msh_dev *dev,
	const struct rte_ether_addr *mac)
{
	for (uint16_t i = 0; i < dev->options.mac_count; i++)
		if (rte_is_same_ether_addr(&dev->options.mac[i], mac))
			return true;
	for (unsigned int v = 1; v < MSH_VMS_MAX; v++)
		for (uint16_t i = 0; i < control->vm[v].address_count; i++)
			if (rte_is_same_ether_addr(&control->vm[v].address[i].mac, mac))
				return control->vm[v].address[i].port != port->index;
	return false;
}

static void
remove_unwanted(const struct msh_control *control, const struct msh_port *port, struct msh_dev *dev)
{
	uint16_t kept = 0;
	for (uint16_t i = 0; i < dev->filter_count; i++) {
		struct rte_ether_addr *mac = &dev->filter[i];
		if (is_wanted(control, port, dev, mac))
			dev->filter[kept++] = *mac;
		else
			rte_eth_dev_mac_addr_remove(port->ethdev, mac);
	}
	dev->filter_count = kept;
}

static int
add_one(const struct msh_port *port, struct msh_dev *dev, const struct rte_ether_addr *mac,
	struct msh_answer *answer)
{
	struct rte_ether_addr copy = *mac;
	char text[MSH_MAC_TEXT];
	for (uint16_t i = 0; i < dev->filter_count; i++)
		if (rte_is_same_ether_addr(&dev->filter[i], mac))
			return 0;
	int rc = dev->filter_count < dev->filter_max
			 ? rte_eth_dev_mac_addr_add(port->ethdev, &copy, 0)
			 : -ENOSPC;
	if (rc == -ENOSPC)
		return msh_answer_set(answer, MSH_FULL,
			"port %s: no room for MAC %s: its device has %u filters, and is not "
			"promiscuous",
			port->name, msh_mac_text(mac, text), dev->filter_max);
	if (rc != 0)
		return msh_answer_set(answer, MSH_FAILED,
			"port %s: its device does not let in MAC %s: %s", port->name,
			msh_mac_text(mac, text), rte_strerror(-rc));
	dev->filter[dev->filter_count++] = *mac;
	return 0;
}

int
msh_dev_filter(const struct msh_control *control, const struct msh_port *port, struct msh_dev *dev,
	struct msh_answer *answer)
{
	int rc = 0;
	if (!dev->options.filtered || dev->gone)
		return 0;
	remove_unwanted(control, port, dev);
	for (uint16_t i = 0; rc == 0 && i < dev->options.mac_count; i++)
		rc = add_one(port, dev, &dev->options.mac[i], answer);
	for (unsigned int v = 1; v < MSH_VMS_MAX; v++)
		for (uint16_t i = 0; rc == 0 && i < control->vm[v].address_count; i++)
			if (control->vm[v].address[i].port != port->index)
				rc = add_one(port, dev, &control->vm[v].address[i].mac, answer);
	return rc;
}
