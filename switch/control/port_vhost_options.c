/* SPDX-License-Identifier: BSD-3-Clause */
#include "port_vhost_options.h"

#include <inttypes.h>
#include <linux/virtio_net.h>
#include <rte_vhost.h>
#include <stdlib.h>
#include <string.h>

#include "unfinished.h"

#define BIT(n) (UINT64_C(1) << (n))

/* UFO is gone from Linux; that a segment keeps its congestion mark (ECN) has no place in an mbuf.
 */
#define NEVER                                                                                     \
	(BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_HOST_UFO) | BIT(VIRTIO_NET_F_GUEST_ECN) | \
		BIT(VIRTIO_NET_F_HOST_ECN))
#define OFFLOADS                                                                               \
	(BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) | \
		BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_GUEST_TSO4) |                   \
		BIT(VIRTIO_NET_F_GUEST_TSO6))
/* Between QEMU and us; the guest does not see these. */
#define TRANSPORT (BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VHOST_F_LOG_ALL))

static int
set_mode(struct msh_vhost_options *o, const char *value)
{
	o->client = strcmp(value, "client") == 0;
	return 0;
}

static int
set_rings(struct msh_vhost_options *o, const char *value)
{
	o->librte = strcmp(value, "librte") == 0;
	return o->librte || strcmp(value, "own") == 0 ? 0 : -1;
}

static int
set_offloads(struct msh_vhost_options *o, const char *value)
{
	o->finished = strcmp(value, "off") == 0;
	return o->finished || strcmp(value, "on") == 0 ? 0 : -1;
}

static int
set_features(struct msh_vhost_options *o, const char *value)
{
	char *end;
	o->features = strtoull(value, &end, 16);
	return value[0] == '0' && value[1] == 'x' && *end == '\0' && o->features != 0 ? 0 : -1;
}

static const struct {
	const char *word, *values;
	int (*set)(struct msh_vhost_options *options, const char *value);
	bool alone; /* the word is its own value */
} words[] = {
	{"server", "", set_mode, true},
	{"client", "", set_mode, true},
	{"rings", "own or librte", set_rings, false},
	{"offloads", "on or off", set_offloads, false},
	{"features", "virtio's bits as 0xHEX", set_features, false},
};

/* Returns how many words it took, or the negative status. */
static int
parse_word(
	struct msh_vhost_options *options, int argc, char *const *argv, struct msh_answer *answer)
{
	for (unsigned int i = 0; i < RTE_DIM(words); i++) {
		if (strcmp(argv[0], words[i].word) != 0)
			continue;
		const char *value = words[i].alone ? argv[0] : argc > 1 ? argv[1] : "";
		if (words[i].set(options, value) != 0)
			return msh_answer_set(answer, MSH_BAD, "%s is %s, not '%s'", words[i].word,
				words[i].values, value);
		return words[i].alone ? 1 : 2;
	}
	return msh_answer_set(answer, MSH_BAD,
		"'%s' is none of server, client, rings, offloads, features, learn", argv[0]);
}

int
msh_vhost_parse(
	struct msh_vhost_options *options, int argc, char *const *argv, struct msh_answer *answer)
{
	if (argc < 1)
		return msh_answer_set(answer, MSH_BAD,
			"port add NAME vhost takes PATH [server|client] [rings own|librte] "
			"[offloads on|off] [features HEX] [learn on|off]");
	if (strlen(argv[0]) >= sizeof(options->path))
		return msh_answer_set(answer, MSH_BAD, "socket path '%s' is longer than %zu bytes",
			argv[0], sizeof(options->path) - 1);
	if (argv[0][0] != '/')
		return msh_answer_set(answer, MSH_BAD, "socket path '%s' is not absolute", argv[0]);
	for (int at = 1, n; at < argc; at += n) {
		n = parse_word(options, argc - at, argv + at, answer);
		if (n < 0)
			return n;
	}
	snprintf(options->path, sizeof(options->path), "%s", argv[0]);
	return 0;
}

int
msh_vhost_offer(
	const struct msh_vhost_options *options, uint64_t *features, struct msh_answer *answer)
{
	uint64_t known = *features & ~NEVER;
	if (options->finished)
		known &= ~OFFLOADS;
	uint64_t unknown = options->features & ~known & ~TRANSPORT;
	if (unknown != 0)
		return msh_answer_set(answer, MSH_UNSUPPORTED,
			"features 0x%" PRIx64 ": 0x%" PRIx64 " of them cannot be offered",
			options->features, unknown);
	*features = options->features != 0 ? options->features | (known & TRANSPORT) : known;
	return 0;
}

uint8_t
msh_vhost_takes(uint64_t features)
{
	uint8_t takes = 0;
	if (features & BIT(VIRTIO_NET_F_GUEST_CSUM))
		takes |= MSH_TAKES_CSUM;
	if (features & BIT(VIRTIO_NET_F_GUEST_TSO4))
		takes |= MSH_TAKES_TSO4;
	if (features & BIT(VIRTIO_NET_F_GUEST_TSO6))
		takes |= MSH_TAKES_TSO6;
	return takes;
}
