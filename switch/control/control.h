/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* The control lcore's state: what is configured, from which it builds what workers read. One
 * thread, no locks. */

#include <signal.h>
#include <stdio.h>
#include <sys/types.h>

#include "region.h"
#include "worker.h"

struct msh_control;

/* Makes, tears down and describes ports of one kind. */
struct msh_port_provider {
	const char *kind;  /* third word of `port add` */
	bool guest_queues; /* a guest brings the queues, and may bring more of them later */
	/* Open what argv says and fill the port's ops and limits. 0 or the negative status of
	 * *answer. */
	int (*open)(struct msh_control *control, struct msh_port *port, int argc, char *const *argv,
		struct msh_answer *answer);
	/* No worker sees the port any more. */
	void (*close)(struct msh_port *port);
	/* Add what is particular to the kind to a row of `port show`. */
	void (*show)(const struct msh_port *port, json_t *row);
	/* Optional: add what only `port show NAME` shows. */
	void (*show_details)(
		const struct msh_control *control, const struct msh_port *port, json_t *row);
	/* Optional: words to save after those that made the port. */
	void (*save)(const struct msh_port *port, FILE *out);
	/* Optional: look at the link, about once a second. */
	void (*check_link)(struct msh_port *port);
	/* Optional: whether what is behind the port goes away, and is waiting to be let go. */
	bool (*is_leaving)(const struct msh_port *port);
	/* Let it go, while no worker uses the port. Returns whether the port lives on. */
	bool (*release)(struct msh_port *port);
	/* Optional: MACs of VMs came or went. 0 or the negative status of *answer. */
	int (*addresses_changed)(const struct msh_control *control, struct msh_port *port,
		struct msh_answer *answer);
};

extern const struct msh_port_provider msh_port_vhost_provider;
extern const struct msh_port_provider msh_port_dev_provider;

struct msh_port_entry {
	struct msh_port *port; /* NULL: index is free */
	const struct msh_port_provider *provider;
	char *arguments; /* as given after the name, for `save` */
	bool lost;       /* what was behind it went away: it is down until `port del` */
	struct msh_port_counters
		base; /* counters when the index was taken: it may have had another life */
	struct msh_service service; /* who serves its queues; published */
	/* By the operator: not moved for balance. Of a queue that is yet to come, service.worker is
	 * where it will be served. */
	bool placed[MSH_QUEUES_MAX];
	struct msh_rules rules; /* published; all zero: none */
};

struct msh_vm_address {
	struct rte_ether_addr mac;
	uint16_t port;
	uint32_t epoch; /* of its redirected flows */
};

/* An IP address of a VM, at one of its MACs. */
struct msh_vm_ip {
	struct msh_ip ip;
	uint16_t address; /* index into the VM's addresses */
};

/* A VM has one instance of each stage that the operator has made, and one of its own. In the order
 * of slots packets meet them: the operator's come first. */
#define MSH_SLOTS_MAX (2 * MSH_STAGES_MAX)

static inline unsigned int
msh_slots(void)
{
	return 2 * msh_stage_count;
}

static inline bool
msh_slot_is_operators(unsigned int slot)
{
	return slot < msh_stage_count;
}

/* Index into msh_stages. */
static inline unsigned int
msh_slot_index(unsigned int slot)
{
	return msh_slot_is_operators(slot) ? slot : slot - msh_stage_count;
}

static inline const struct msh_stage *
msh_slot_stage(unsigned int slot)
{
	return msh_stages[msh_slot_index(slot)];
}

struct msh_vm {
	uint16_t index; /* 0: free */
	char name[MSH_NAME_MAX];
	uint16_t address_count;
	struct msh_vm_address address[MSH_VM_MACS_MAX];
	uint16_t ip_count; /* 0: it may use any address that is not another VM's */
	struct msh_vm_ip ip[MSH_VM_IPS_MAX];
	struct msh_region *region;           /* NULL: none, or lost */
	char *region_path;                   /* NULL: none was asked for */
	char *region_arguments;              /* as given, for `save` */
	const char *region_lost;             /* why the region was given up, or NULL */
	const void *instance[MSH_SLOTS_MAX]; /* by slot */
	uint32_t epoch;                      /* of its connections */
	const struct msh_vm_stages *stages;  /* published */
	uint64_t commands, refused;          /* from its region */
};

/* Who gave a command. */
struct msh_caller {
	enum msh_who who;
	struct msh_vm *vm; /* of MSH_WHO_VM */
	bool for_itself;   /* the operator, to its own instances of stages, not the VM's */
};

/* What a worker had done at the last whole second, to tell how busy it is now. */
struct msh_worker_sample {
	uint64_t at, busy_cycles, packets;
	double busy, packets_per_second;
};

/* A MAC that the operator put behind a port. */
#define MSH_STATIC_MACS_MAX 1024
struct msh_static_mac {
	struct rte_ether_addr mac;
	uint16_t vlan, port;
};

struct msh_control {
	struct msh_datapath datapath;
	struct msh_port_entry port[MSH_PORTS_MAX];
	struct msh_vm vm[MSH_VMS_MAX];
	unsigned int regions; /* polled in the last turn */
	bool keep_places;     /* queues are not moved for balance */
	bool asks_all;        /* questions for VMs' addresses are flooded, not answered */
	struct msh_static_mac static_mac[MSH_STATIC_MACS_MAX];
	unsigned int static_macs;
	struct msh_worker_sample sample[MSH_WORKERS_MAX];
	uint32_t last_epoch;
	uint32_t generations; /* of stages of VMs */
	uint64_t versions;    /* of the topology */
	uint64_t started_ns;
	int epoll;
	struct msh_socket *socket;
};

uint64_t msh_now_ns(void);

/* Add a counter to an answer's row. */
static inline void
msh_put(json_t *row, const char *key, uint64_t value)
{
	json_object_set_new(row, key, json_integer((json_int_t)value));
}

static inline void
msh_put_node(json_t *row, int node)
{
	json_object_set_new(row, "node", node < 0 ? json_string("-") : json_integer(node));
}

/* commands.c: run one line; the caller clears the answer. Never leaves a half-done change. */
void msh_command_run(struct msh_control *control, const struct msh_caller *caller, const char *line,
	size_t length, struct msh_answer *answer);
/* Run a file of commands. 0, or -1 after printing "FILE:LINE: sentence" into error. */
int msh_script_run(struct msh_control *control, const char *path, char *error, size_t size);

/* port_rules.c: the words of `port set` that make these rules, a blank before each; of none: empty.
 * To be freed; NULL when out of memory. */
char *msh_rules_text(const struct msh_rules *rules);

/* fdb_static.c */
void msh_static_macs_save(const struct msh_control *control, FILE *out);
/* The port goes: so do its MACs. */
void msh_static_macs_forget(struct msh_control *control, uint16_t port);

/* queues.c: who serves them. */
/* Note how many queues a port has, and which NUMA node its guest's memory is on; vhost's thread,
 * too.
 */
void msh_port_set_queues(struct msh_port *port, uint16_t queues);
void msh_port_set_node(struct msh_port *port, int node);
/* Give each queue that has no worker yet the one that serves the fewest, on the port's node if
 * there is any. */
void msh_queues_place(struct msh_control *control, struct msh_port_entry *entry);
/* Serve the queues that guests have added or given up since, and where the guests are now. */
void msh_queues_follow(struct msh_control *control);
/* Move one to another worker: nothing is lost, nothing overtaken. One that is yet to come will be
 * served there. 0 or -ENOMEM. */
int msh_queue_move(
	struct msh_control *control, struct msh_port_entry *entry, uint16_t queue, uint16_t worker);
/* Relieve a worker that is much busier than another, once a second. */
void msh_queues_balance(struct msh_control *control);

/* ports.c */
struct msh_port_entry *msh_port_find(struct msh_control *control, const char *name);
/* Sum over the workers since the port was made; index 0: the switch itself. */
void msh_port_sum(const struct msh_control *control, uint16_t index, struct msh_port_counters *sum);
void msh_ports_close(struct msh_control *control);
void msh_ports_check_links(struct msh_control *control);
/* Tell all ports which MACs VMs have now. 0 or the negative status of *answer. */
int msh_ports_take_addresses(struct msh_control *control, struct msh_answer *answer);

/* vms.c */
struct msh_vm *msh_vm_find(struct msh_control *control, const char *name);
struct msh_vm *msh_vm_of_mac(struct msh_control *control, const struct rte_ether_addr *mac);
const struct msh_vm *msh_vm_of_port(const struct msh_control *control, uint16_t port);
/* Serve the regions of all VMs. Returns the number of commands taken. */
unsigned int msh_vms_poll(struct msh_control *control);
void msh_vms_close(struct msh_control *control);

/* stages.c: the verbs of the stages. `stage` and `verb`: indices. */
int msh_stage_run(struct msh_control *control, const struct msh_caller *caller, unsigned int stage,
	unsigned int verb, int argc, char *const *argv, struct msh_answer *answer);
/* Put an instance in force for a VM. NULL: none. Retires the old one. 0 or -ENOMEM. */
int msh_stage_install(
	struct msh_control *control, struct msh_vm *vm, unsigned int slot, const void *instance);
/* Remove all of a VM's instances. */
void msh_stages_clear(struct msh_control *control, struct msh_vm *vm);

/* publish.c */
/* Ports, VMs or their addresses changed. 0, or -ENOMEM with the old version still in force. */
int msh_publish_topology(struct msh_control *control);
/* Stages of a VM changed: control->vm[].stages. Takes `config`, all zero, for the new version. */
void msh_publish_stages(struct msh_control *control, struct msh_config *config);
/* Without workers: free what is in force. */
void msh_publish_end(struct msh_control *control);

/* neighbors.c: the MACs of backends. */
void msh_neighbors_poll(struct msh_control *control);
/* Ask for all that are unknown; `refresh`: for the known ones too. */
void msh_neighbors_ask(struct msh_control *control, bool refresh);

/* socket.c */
int msh_socket_open(struct msh_control *control, const char *path, char *error, size_t size);
void msh_socket_close(struct msh_control *control);
/* Serve clients; wait at most wait_ns for one when there is nothing to do. */
void msh_socket_poll(struct msh_control *control, uint64_t wait_ns);
/* An existing socket file that nobody answers is removed. 0, or -EADDRINUSE when somebody does,
 * -EEXIST when it is something else. */
int msh_socket_reclaim(const char *path, int type);

/* save.c: the commands that make what is configured now; to be freed. NULL when out of memory. */
char *msh_save(const struct msh_control *control);

/* loop.c: ahead of others on its core, or as they are: DPDK waits for threads that it starts
 * without leaving the core. */
void msh_control_be_first(bool first);
/* Until *stop. */
void msh_control_run(struct msh_control *control, const volatile sig_atomic_t *stop);

/* Handlers of commands (commands.c lists them). */
typedef int msh_handler(struct msh_control *control, const struct msh_caller *caller, int argc,
	char *const *argv, struct msh_answer *answer);
msh_handler msh_port_add, msh_port_del, msh_port_show, msh_port_move, msh_port_set;
msh_handler msh_vm_add, msh_vm_del, msh_vm_show;
msh_handler msh_stage_show, msh_stage_cancel;
msh_handler msh_flow_show, msh_drop_show, msh_worker_show, msh_worker_idle, msh_worker_balance;
msh_handler msh_fdb_show, msh_fdb_add, msh_fdb_del, msh_suppress;
