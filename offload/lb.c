/* SPDX-License-Identifier: BSD-3-Clause */

/* Redirects what comes for a middlebox to the backend that it has decided on: docs/stages.md. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lb_service.h"

/* Of one VM. */
#define SERVICES_MAX 65536

static const struct msh_stage_verb verbs[] = {
	{"R L", "MAC IP TYPE SRCIP DSTIP",
		"redirect to DSTIP what comes for MAC and IP: type 0 all of it, type 1 only what "
		"SRCIP sends",
		5, 5},
};

static int
no_memory(struct msh_answer *answer)
{
	return msh_answer_set(answer, MSH_FAILED, "out of memory for load balancer services");
}

static int
parse_ipv4(const char *what, const char *word, rte_be32_t *value, struct msh_answer *answer)
{
	struct msh_ip ip;

	if (msh_parse_ip(word, &ip) < 0)
		return msh_answer_set(answer, MSH_BAD, "%s %s is not an IPv4 address", what, word);
	if (ip.version != 4)
		return msh_answer_set(answer, MSH_UNSUPPORTED,
			"%s %s is an IPv6 address: the load balancer redirects IPv4 only", what,
			word);
	*value = ip.v4.s_addr;
	return 0;
}

/* Neither "this network" nor a group nor reserved (RFC 1122 3.2.1.3): ARP can find it. */
static bool
is_host(rte_be32_t ip)
{
	uint32_t host = rte_be_to_cpu_32(ip);

	return host >> 24 != 0 && host >> 28 < 0xe;
}

static int
not_a_host(const char *what, const char *word, struct msh_answer *answer)
{
	return msh_answer_set(answer, MSH_BAD, "%s %s is not the address of a host", what, word);
}

static int
parse_service(struct lb_spec *spec, char *const *argv, struct msh_answer *answer)
{
	uint64_t type;
	int rc;

	memset(spec, 0, sizeof(*spec));
	if (msh_parse_mac(argv[0], &spec->mac) < 0)
		return msh_answer_set(answer, MSH_BAD, "%s is not a MAC", argv[0]);
	if (rte_is_multicast_ether_addr(&spec->mac))
		return msh_answer_set(
			answer, MSH_BAD, "MAC %s is a group's, not a middlebox's", argv[0]);
	if (msh_parse_number(argv[2], 1, &type) < 0)
		return msh_answer_set(answer, MSH_BAD,
			"type %s is neither 0 (all traffic) nor 1 (traffic from SRCIP)", argv[2]);
	spec->type = (uint8_t)type;
	if ((rc = parse_ipv4("IP", argv[1], &spec->ip, answer)) < 0 ||
		(rc = parse_ipv4("SRCIP", argv[3], &spec->source, answer)) < 0 ||
		(rc = parse_ipv4("DSTIP", argv[4], &spec->backend, answer)) < 0)
		return rc;
	if (spec->type == 0)
		spec->source = 0; /* means nothing there */
	if (!is_host(spec->ip))
		return not_a_host("IP", argv[1], answer);
	if (spec->type == 1 && !is_host(spec->source))
		return not_a_host("SRCIP", argv[3], answer);
	if (!is_host(spec->backend))
		return not_a_host("DSTIP", argv[4], answer);
	if (spec->backend == spec->ip)
		return msh_answer_set(answer, MSH_BAD,
			"DSTIP %s is the middlebox's own IP: that would go round in circles",
			argv[4]);
	return 0;
}

static int
lb_apply(const void *instance, unsigned int verb, int argc, char *const *argv,
	struct msh_answer *answer, const void **result)
{
	const struct lb *old = instance;
	struct lb_spec spec;

	*result = old;
	if (argc != verbs[verb].min)
		return msh_answer_set(
			answer, MSH_BAD, "usage: %s %s", verbs[verb].name, verbs[verb].args);
	int rc = parse_service(&spec, argv, answer);
	if (rc < 0)
		return rc;
	if (old != NULL && old->services->count >= SERVICES_MAX)
		return msh_answer_set(answer, MSH_FULL,
			"the VM has %u services, no room for another", old->services->count);

	const struct lb *lb = lb_with_service(old, &spec, &rc);
	if (rc == -EEXIST)
		return msh_answer_set(answer, MSH_EXISTS,
			"MAC %s has a type %u service for %s%s%s already", argv[0], spec.type,
			argv[1], spec.type == 1 ? " from " : "", spec.type == 1 ? argv[3] : "");
	if (rc < 0)
		return no_memory(answer);
	*result = lb;
	return msh_answer_set(answer, MSH_OK, "%s%s for %s at MAC %s is redirected to %s",
		spec.type == 1 ? "traffic from " : "all traffic", spec.type == 1 ? argv[3] : "",
		argv[1], argv[0], argv[4]);
}

static const char *
ip_text(rte_be32_t ip, char buffer[MSH_IP_TEXT])
{
	struct msh_ip any = {.version = 4, .v4 = {.s_addr = ip}};

	return msh_ip_text(&any, buffer);
}

static void
lb_dump(const void *instance, msh_emit_line emit, void *context)
{
	size_t count;
	struct lb_service **services = lb_services(instance, &count);

	for (size_t i = 0; i < count; i++) {
		const struct lb_service *s = services[i];
		char line[160], mac[MSH_MAC_TEXT], vip[MSH_IP_TEXT], source[MSH_IP_TEXT],
			backend[MSH_IP_TEXT];
		snprintf(line, sizeof(line), "R L %s %s %u %s %s",
			msh_mac_text(&s->redirect.vip_mac, mac), ip_text(s->redirect.vip, vip),
			s->type, ip_text(s->source, source), ip_text(s->redirect.backend, backend));
		emit(context, line);
	}
	free(services);
}

static json_t *
service_row(const struct lb_service *s)
{
	char mac[MSH_MAC_TEXT], backend_mac[MSH_MAC_TEXT], vip[MSH_IP_TEXT], source[MSH_IP_TEXT],
		backend[MSH_IP_TEXT];
	struct msh_tally sent = msh_tally_sum(s->redirect.tally);
	struct msh_tally unresolved = msh_tally_sum(s->tallies->unresolved);
	struct msh_tally ttl = msh_tally_sum(s->redirect.tally_ttl);

	return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "stage", "lb",
		"mac", msh_mac_text(&s->redirect.vip_mac, mac), "ip", ip_text(s->redirect.vip, vip),
		"type", s->type, "source", s->type == 1 ? ip_text(s->source, source) : "-",
		"backend", ip_text(s->redirect.backend, backend), "backend_mac",
		s->known ? msh_mac_text(&s->redirect.backend_mac, backend_mac) : "-", "packets",
		(json_int_t)sent.packets, "bytes", (json_int_t)sent.bytes, "unresolved",
		(json_int_t)unresolved.packets, "ttl", (json_int_t)ttl.packets);
}

static void
lb_show(const void *instance, json_t *rows)
{
	size_t count;
	struct lb_service **services = lb_services(instance, &count);

	for (size_t i = 0; i < count; i++)
		json_array_append_new(rows, service_row(services[i]));
	free(services);
}

/* By backend; those of one backend stay in the order in which they were added. */
static int
by_backend(const void *a, const void *b)
{
	const struct lb_service *x = *(const struct lb_service *const *)a;
	const struct lb_service *y = *(const struct lb_service *const *)b;

	if (x->redirect.backend != y->redirect.backend)
		return x->redirect.backend < y->redirect.backend ? -1 : 1;
	return (x->object.order > y->object.order) - (x->object.order < y->object.order);
}

static void
lb_neighbors(const void *instance, msh_emit_neighbor emit, void *context)
{
	size_t count;
	struct lb_service **services = lb_services(instance, &count);

	if (services == NULL)
		return;
	qsort(services, count, sizeof(*services), by_backend);
	for (size_t i = 0; i < count; i++) {
		const struct msh_redirect *r = &services[i]->redirect;
		if (i == 0 || services[i - 1]->redirect.backend != r->backend)
			emit(context, r->backend, r->vip, &r->vip_mac, services[i]->known);
	}
	free(services);
}

const struct msh_stage msh_stage_lb = {
	.name = "lb",
	.help = "redirects what comes for a middlebox to the backend that it has decided on",
	.verbs = verbs,
	.verb_count = RTE_DIM(verbs),
	.apply = lb_apply,
	.cancel = lb_cancel,
	.destroy = lb_destroy,
	.classify = lb_classify,
	.dump = lb_dump,
	.show = lb_show,
	.neighbors = lb_neighbors,
	.resolved = lb_resolved,
};
