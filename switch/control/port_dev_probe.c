/* SPDX-License-Identifier: BSD-3-Clause */

/* Finding, making and removing DPDK devices. */

#include <limits.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_pci.h>
#include <string.h>
#include <unistd.h>

#include "port_dev.h"

/* Why a PCI device cannot be used, or 0. */
static int
check_pci(const char *address, const struct rte_pci_addr *pci, struct msh_answer *answer)
{
	char path[PATH_MAX], link[PATH_MAX], target[PATH_MAX];
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%.4" PRIx32 ":%.2x:%.2x.%x", pci->domain,
		pci->bus, pci->devid, pci->function);
	if (access(path, F_OK) != 0)
		return msh_answer_set(
			answer, MSH_NOTFOUND, "there is no PCI device %s in this machine", address);
	snprintf(link, sizeof(link), "%.*s/driver", PATH_MAX - 16, path);
	ssize_t n = readlink(link, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	const char *driver = strrchr(target, '/') != NULL ? strrchr(target, '/') + 1 : NULL;
	if (driver != NULL &&
		(strcmp(driver, "vfio-pci") == 0 || strcmp(driver, "uio_pci_generic") == 0 ||
			strcmp(driver, "igb_uio") == 0))
		return 0;
	return msh_answer_set(answer, MSH_FAILED,
		"PCI device %s is bound to %s: bind it to vfio-pci first", address,
		driver != NULL ? driver : "no driver");
}

/* By DPDK's port number. DPDK's interrupt thread and control write, control reads: atomic. */
static bool leaving[RTE_MAX_ETHPORTS];

/* vfio-pci: somebody unplugs the device or unbinds the driver, and waits for us. */
static void
on_device_event(const char *name, enum rte_dev_event_type event, void *argument)
{
	uint16_t ethdev;
	if (event == RTE_DEV_EVENT_REMOVE && rte_eth_dev_get_port_by_name(name, &ethdev) == 0)
		__atomic_store_n(&leaving[ethdev], true, __ATOMIC_RELEASE);
}

/* Drivers that notice by themselves. */
static int
on_removed(uint16_t ethdev, enum rte_eth_event_type event, void *argument, void *result)
{
	__atomic_store_n(&leaving[ethdev], true, __ATOMIC_RELEASE);
	return 0;
}

static void
watch(uint16_t ethdev)
{
	static bool watching;
	__atomic_store_n(&leaving[ethdev], false, __ATOMIC_RELEASE);
	if (watching)
		return;
	watching = true;
	rte_dev_event_callback_register(NULL, on_device_event, NULL);
	rte_eth_dev_callback_register(RTE_ETH_ALL, RTE_ETH_EVENT_INTR_RMV, on_removed, NULL);
}

bool
msh_dev_is_leaving(uint16_t ethdev)
{
	return __atomic_load_n(&leaving[ethdev], __ATOMIC_ACQUIRE);
}

static int
make(const char *devargs, const char *name, uint16_t *ethdev, struct msh_answer *answer)
{
	int rc = rte_dev_probe(devargs);
	if (rc != 0)
		return msh_answer_set(answer, MSH_FAILED,
			"DPDK cannot make device '%s': %s; its log says more", devargs,
			rc == -EFAULT ? "no driver of that name" : rte_strerror(-rc));
	if (rte_eth_dev_get_port_by_name(name, ethdev) != 0)
		return msh_answer_set(
			answer, MSH_FAILED, "device '%s' is no Ethernet device", devargs);
	return 0;
}

int
msh_dev_probe(const struct msh_control *control, const char *devargs, uint16_t *ethdev, bool *made,
	struct msh_answer *answer)
{
	char name[RTE_ETH_NAME_MAX_LEN];
	struct rte_pci_addr pci;
	int rc = 0;
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(devargs, ","), devargs);
	*made = rte_eth_dev_get_port_by_name(name, ethdev) != 0; /* else by --vdev or -a */
	if (*made && rte_pci_addr_parse(name, &pci) == 0) {
		rc = check_pci(name, &pci, answer);
		rte_pci_device_name(&pci, name, sizeof(name));
	}
	if (*made && rc == 0)
		rc = msh_memif_check(control, devargs, answer);
	if (*made && rc == 0)
		rc = make(devargs, name, ethdev, answer);
	if (rc == 0)
		watch(*ethdev);
	else
		*made = false;
	return rc;
}

void
msh_dev_remove(uint16_t ethdev)
{
	struct rte_eth_dev_info info;
	if (rte_eth_dev_info_get(ethdev, &info) != 0)
		return;
	rte_eth_dev_stop(ethdev);
	rte_eth_dev_close(ethdev);
	if (info.device != NULL)
		rte_dev_remove(info.device);
}
