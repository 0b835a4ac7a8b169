/* SPDX-License-Identifier: BSD-3-Clause */

/* vhost-user ports: socket, features, and the coming and going of the guest (librte_vhost's own
 * thread). */

#include <inttypes.h>
#include <linux/virtio_net.h>
#include <rte_vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "control.h"
#include "log.h"
#include "nodes.h"
#include "port_vhost.h"
#include "port_vhost_options.h"
#include "retire.h"

/* What vhost's thread needs to find a port by its socket. Control fills, vhost's thread reads. */
struct vhost_socket {
	struct msh_vhost_options options;
	int vid;             /* the guest's device, -1: none; vhost's thread */
	bool on[2];          /* its rings are ready and enabled; vhost's thread */
	uint64_t negotiated; /* features of the last guest; vhost's thread writes: atomic */
	struct msh_port *port;
	const struct msh_datapath *datapath; /* for its pools */
};

static struct vhost_socket *sockets[MSH_PORTS_MAX]; /* by port index; atomic */

/* Port of each connected device, for the callback that workers run into. vhost's thread writes;
 * atomic. */
#define DEVICES_MAX 1024 /* librte_vhost's own bound */
static struct msh_port *port_of_device[DEVICES_MAX];
/* Rings of each connection that its guest has enabled, by bit; vhost's thread. */
static uint32_t enabled[DEVICES_MAX];
static_assert(2 * MSH_QUEUES_MAX <= 32, "a bit for each ring");

static struct vhost_socket *
socket_of_device(int vid)
{
	char path[sizeof(sockets[0]->options.path)];
	if (rte_vhost_get_ifname(vid, path, sizeof(path)) != 0)
		return NULL;
	for (unsigned int i = 0; i < MSH_PORTS_MAX; i++) {
		struct vhost_socket *s = __atomic_load_n(&sockets[i], __ATOMIC_ACQUIRE);
		if (s != NULL && strcmp(s->options.path, path) == 0)
			return s;
	}
	return NULL;
}

/* Workers leave the rings while a message may change them: our own code takes no lock against that,
 * and librte_vhost's would wait for this thread, which waits for them. */
static void
pause_rings(struct vhost_socket *s)
{
	if (s->vid < 0)
		return;
	__atomic_store_n(&s->port->vid, -1, __ATOMIC_RELEASE);
	msh_vrings_give_back(s->port, s->vid);
}

/* Pairs of rings that the guest uses: those before the first that is not enabled. */
static uint16_t
count_pairs(int vid)
{
	uint16_t n = 0;
	while (n < MSH_QUEUES_MAX && (enabled[vid] >> 2 * n & 3) == 3)
		n++;
	return n;
}

/* The guest's memory is where its first ring is. rte_vhost_get_numa_node() would say where
 * librte_vhost keeps its own notes on the guest, which need not be there. */
static void
find_node(struct vhost_socket *s)
{
	struct rte_vhost_vring ring = {0};
	if (rte_vhost_get_vhost_vring(s->vid, 0, &ring) != 0)
		return;
	int node = msh_node_of(ring.desc);
	if (node < 0)
		return;
	__atomic_store_n(&s->port->pool, msh_node_pool(s->datapath, node), __ATOMIC_RELAXED);
	msh_port_set_node(s->port, node);
}

static void
resume(struct vhost_socket *s)
{
	if (s->vid < 0)
		return;
	uint16_t pairs = count_pairs(s->vid);
	find_node(s);
	if (!s->options.librte)
		msh_vrings_take(s->port, s->vid, pairs);
	if (pairs > 0)
		msh_port_set_queues(s->port, pairs);
	__atomic_store_n(&s->port->vid, s->vid, __ATOMIC_RELEASE);
}

/* The begin of librte_vhost's message: as on the wire (QEMU's docs/interop/vhost-user). */
struct message {
	uint32_t request, flags, size;
	uint64_t number;
} __attribute__((packed));
#define GET_QUEUE_NUM 17

static enum rte_vhost_msg_result
before_message(int vid, void *message)
{
	struct vhost_socket *s = socket_of_device(vid);
	struct message *m = message;
	/* librte_vhost would allow more than we serve. */
	if (m->request == GET_QUEUE_NUM) {
		m->size = sizeof(m->number);
		m->number = MSH_QUEUES_MAX;
		return RTE_VHOST_MSG_RESULT_REPLY;
	}
	if (s != NULL && s->vid == vid)
		pause_rings(s);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static enum rte_vhost_msg_result
after_message(int vid, void *message)
{
	struct vhost_socket *s = socket_of_device(vid);
	if (s != NULL && s->vid == vid)
		resume(s);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

static const struct rte_vhost_user_extern_ops message_hooks = {
	.pre_msg_handle = before_message,
	.post_msg_handle = after_message,
};

static int
guest_came(int vid)
{
	struct vhost_socket *s = socket_of_device(vid);
	uint64_t features = 0;
	if (s == NULL || vid >= DEVICES_MAX ||
		rte_vhost_get_negotiated_features(vid, &features) != 0)
		return -1;
	if (s->vid >= 0) {
		MSH_LOG(WARNING, "port %s: a second guest at %s is not served: one is there",
			s->port->name, s->options.path);
		return -1;
	}
	/* Without mergeable buffers a guest has room for one Ethernet frame in each
	 * (virtio 1.2, 5.1.6.3.1). */
	bool mergeable = features & (1ull << VIRTIO_NET_F_MRG_RXBUF);
	s->port->max_frame = mergeable ? MSH_FRAME_MAX : RTE_ETHER_MAX_VLAN_FRAME_LEN;
	__atomic_store_n(&s->port->takes, msh_vhost_takes(features), __ATOMIC_RELAXED);
	__atomic_store_n(&s->negotiated, features, __ATOMIC_RELAXED);
	/* Workers poll: a guest that told us of each packet would pay a VM exit for nothing. */
	for (uint16_t i = 0; i < rte_vhost_get_vring_num(vid); i++)
		rte_vhost_enable_guest_notification(vid, i, 0);
	__atomic_store_n(&port_of_device[vid], s->port, __ATOMIC_RELEASE);
	s->vid = vid;
	enabled[vid] |= 3; /* else this was not called */
	__atomic_store_n(&s->port->broken, false, __ATOMIC_RELAXED);
	resume(s);
	msh_port_set_up(s->port, true);
	MSH_LOG(INFO, "port %s: guest is there, features 0x%" PRIx64 ", rings served by %s",
		s->port->name, features,
		s->port->queue[0].rings != NULL ? "mshswitch" : "librte_vhost");
	return 0;
}

static void
guest_left(int vid)
{
	struct vhost_socket *s = socket_of_device(vid);
	if (s == NULL || s->vid != vid)
		return;
	msh_port_set_up(s->port, false);
	pause_rings(s); /* librte_vhost unmaps the guest's memory after this */
	s->vid = -1;
	__atomic_store_n(&port_of_device[vid], NULL, __ATOMIC_RELEASE);
	MSH_LOG(INFO, "port %s: guest left", s->port->name);
}

static int
ring_changed(int vid, uint16_t ring, int on)
{
	struct vhost_socket *s = socket_of_device(vid);
	if (s == NULL || vid >= DEVICES_MAX || ring >= 2 * MSH_QUEUES_MAX)
		return 0;
	if (s->vid == vid)
		pause_rings(s);
	enabled[vid] = (enabled[vid] & ~(1u << ring)) | (uint32_t)(on != 0) << ring;
	if (s->vid == vid)
		resume(s);
	return 0;
}

static int
connected(int vid)
{
	if (vid >= DEVICES_MAX)
		return -1;
	enabled[vid] = 0;
	rte_vhost_extern_callback_register(vid, &message_hooks, NULL);
	return 0;
}

/* Called by a worker, in the midst of sending. */
static void
guest_notified(int vid)
{
	struct msh_port *port = __atomic_load_n(&port_of_device[vid], __ATOMIC_ACQUIRE);
	if (port != NULL)
		__atomic_fetch_add(&port->queue[0].notifications, 1, __ATOMIC_RELAXED);
}

static const struct rte_vhost_device_ops callbacks = {
	.new_device = guest_came,
	.destroy_device = guest_left,
	.guest_notified = guest_notified,
	.vring_state_changed = ring_changed,
	.new_connection = connected,
};

static int
check_path(const struct msh_vhost_options *options, struct msh_answer *answer)
{
	for (unsigned int i = 0; i < MSH_PORTS_MAX; i++)
		if (sockets[i] != NULL && strcmp(sockets[i]->options.path, options->path) == 0)
			return msh_answer_set(answer, MSH_EXISTS, "socket %s is port %s's",
				options->path, sockets[i]->port->name);
	return 0;
}

static int
start_driver(struct vhost_socket *s, struct msh_answer *answer)
{
	int rc = s->options.client ? 0 : msh_socket_reclaim(s->options.path, SOCK_STREAM);
	if (rc == -EADDRINUSE)
		return msh_answer_set(answer, MSH_FAILED, "socket %s is in use by another process",
			s->options.path);
	if (rc != 0)
		return msh_answer_set(
			answer, MSH_FAILED, "%s is there and is not a socket", s->options.path);
	if (rte_vhost_driver_register(
		    s->options.path, s->options.client ? RTE_VHOST_USER_CLIENT : 0) != 0)
		return msh_answer_set(answer, MSH_FAILED, "cannot make socket %s: %s",
			s->options.path, errno != 0 ? strerror(errno) : "vhost refused");
	uint64_t known = 0, offered;
	rc = rte_vhost_driver_get_features(s->options.path, &known);
	offered = known;
	if (rc == 0)
		rc = msh_vhost_offer(&s->options, &offered, answer);
	if (rc != 0) {
		rte_vhost_driver_unregister(s->options.path);
		return rc;
	}
	/* rte_vhost_driver_set_features would make librte_vhost serve no rings any more. */
	if (rte_vhost_driver_disable_features(s->options.path, known & ~offered) != 0 ||
		rte_vhost_driver_callback_register(s->options.path, &callbacks) != 0 ||
		rte_vhost_driver_start(s->options.path) != 0) {
		int reason = errno;
		rte_vhost_driver_unregister(s->options.path);
		return msh_answer_set(answer, MSH_FAILED, "cannot make socket %s: %s",
			s->options.path, reason != 0 ? strerror(reason) : "vhost refused");
	}
	return 0;
}

static int
vhost_open(struct msh_control *control, struct msh_port *port, int argc, char *const *argv,
	struct msh_answer *answer)
{
	struct vhost_socket *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return msh_answer_set(answer, MSH_FAILED, "port %s: out of memory", port->name);
	int rc = msh_vhost_parse(&s->options, argc, argv, answer);
	if (rc == 0)
		rc = check_path(&s->options, answer);
	if (rc != 0)
		goto fail;
	port->ops = &msh_port_vhost_ops;
	port->vid = -1;
	s->vid = -1;
	port->max_frame = MSH_FRAME_MAX;
	s->port = port;
	s->datapath = &control->datapath;
	__atomic_store_n(&sockets[port->index], s, __ATOMIC_RELEASE);
	errno = 0;
	rc = start_driver(s, answer);
	if (rc == 0) {
		msh_vhost_wake();
		return 0;
	}
	__atomic_store_n(&sockets[port->index], NULL, __ATOMIC_RELEASE);
fail:
	free(s);
	return rc;
}

static void
vhost_close(struct msh_port *port)
{
	struct vhost_socket *s = sockets[port->index];
	rte_vhost_driver_unregister(
		s->options.path); /* ends the connection; guest_left is called from here */
	__atomic_store_n(&sockets[port->index], NULL, __ATOMIC_RELEASE);
	free(s);
}

static void
vhost_show(const struct msh_port *port, json_t *row)
{
	const struct vhost_socket *s = sockets[port->index];
	uint64_t n = 0;
	for (unsigned int i = 0; i < MSH_QUEUES_MAX; i++)
		n += __atomic_load_n(&port->queue[i].notifications, __ATOMIC_RELAXED);
	bool own = __atomic_load_n(&port->queue[0].rings, __ATOMIC_RELAXED) != NULL;
	bool broken = own && __atomic_load_n(&port->broken, __ATOMIC_RELAXED);
	msh_put(row, "interrupts", n);
	json_object_set_new(row, "rings",
		json_string(broken                 ? "broken"
			    : own                  ? "own"
			    : msh_port_is_up(port) ? "librte"
						   : "-"));
	json_object_set_new(row, "where",
		json_sprintf("%s (%s)", s->options.path, s->options.client ? "client" : "server"));
}

/* What a guest has negotiated, it must find again after a restart of the switch. */
static void
vhost_save(const struct msh_port *port, FILE *out)
{
	const struct vhost_socket *s = sockets[port->index];
	uint64_t features = __atomic_load_n(&s->negotiated, __ATOMIC_RELAXED);
	if (features != 0 && s->options.features == 0)
		fprintf(out, " features 0x%" PRIx64, features);
}

const struct msh_port_provider msh_port_vhost_provider = {
	.kind = "vhost",
	.guest_queues = true,
	.open = vhost_open,
	.close = vhost_close,
	.show = vhost_show,
	.save = vhost_save,
};
