/* SPDX-License-Identifier: BSD-3-Clause */
#include "lb_service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static void
tallies_unref(struct lb_tallies *t)
{
	if (--t->refs != 0)
		return;
	msh_tally_free(t->sent);
	msh_tally_free(t->unresolved);
	msh_tally_free(t->ttl);
	free(t);
}

static struct lb_tallies *
tallies_new(void)
{
	struct lb_tallies *t = malloc(sizeof(*t));

	if (t == NULL)
		return NULL;
	*t = (struct lb_tallies){.refs = 1,
		.sent = msh_tally_new(),
		.unresolved = msh_tally_new(),
		.ttl = msh_tally_new()};
	if (t->sent != 0 && t->unresolved != 0 && t->ttl != 0)
		return t;
	tallies_unref(t);
	return NULL;
}

static void
service_release(struct msh_object *object)
{
	struct lb_service *service = (struct lb_service *)object;

	tallies_unref(service->tallies);
	free(service);
}

/* A service with one reference, or NULL. Shares tallies, or makes new ones when that is NULL. */
static struct lb_service *
service_new(const struct lb_service *like)
{
	struct lb_service *service = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*service));

	if (service == NULL)
		return NULL;
	*service = *like;
	service->object.refs = 1;
	service->object.release = service_release;
	if (service->tallies == NULL)
		service->tallies = tallies_new();
	else
		service->tallies->refs++;
	if (service->tallies == NULL) {
		free(service);
		return NULL;
	}
	service->redirect.tally = service->tallies->sent;
	service->redirect.tally_ttl = service->tallies->ttl;
	return service;
}

/* A new instance with this set; takes it over. NULL: out of memory, also when the set is NULL. */
static struct lb *
lb_with_set(const struct lb *old, struct msh_set *services)
{
	struct lb *lb = services != NULL ? malloc(sizeof(*lb)) : NULL;

	if (lb == NULL) {
		msh_set_unref(services);
		return NULL;
	}
	*lb = *old;
	lb->services = services;
	return lb;
}

/* A service with this backend, whose MAC is known. */
static const struct lb_service *
known_backend(const struct lb *lb, rte_be32_t backend)
{
	uint32_t at = 0;

	for (struct msh_object *o; (o = msh_set_next(lb->services, &at)) != NULL;) {
		const struct lb_service *service = (const struct lb_service *)o;
		if (service->known && service->redirect.backend == backend)
			return service;
	}
	return NULL;
}

const struct lb *
lb_with_service(const struct lb *old, const struct lb_spec *spec, int *rc)
{
	struct lb_key key = lb_key(&spec->mac, spec->ip, spec->type, spec->source);
	struct lb first = {.services = NULL};

	*rc = -ENOMEM;
	if (old == NULL) {
		if (getrandom(&first.secret, sizeof(first.secret), 0) != sizeof(first.secret))
			return NULL;
		old = &first;
	} else if (lb_find(old, &key) != NULL) {
		*rc = -EEXIST;
		return NULL;
	}

	struct lb_service like = {
		.redirect = {.vip = spec->ip, .backend = spec->backend, .vip_mac = spec->mac},
		.type = spec->type,
		.source = spec->source,
	};
	memcpy(like.object.key, key.word, sizeof(like.object.key));
	like.object.hash = msh_object_hash(&old->secret, key.word, LB_KEY_WORDS);
	like.object.order = old->next_order;
	const struct lb_service *other = known_backend(old, spec->backend);
	if (other != NULL) {
		like.known = true;
		like.redirect.backend_mac = other->redirect.backend_mac;
	}

	struct lb_service *service = service_new(&like);
	if (service == NULL)
		return NULL;
	struct lb *lb = lb_with_set(old, msh_set_add(old->services, &service->object));
	msh_object_unref(&service->object); /* the set holds it */
	if (lb == NULL)
		return NULL;
	lb->next_order++;
	*rc = 0;
	return lb;
}

struct lb_service **
lb_services(const struct lb *lb, size_t *count)
{
	struct msh_object **objects = malloc(lb->services->count * sizeof(*objects));

	*count = 0;
	if (objects == NULL)
		return NULL;
	*count = msh_set_collect(lb->services, objects);
	msh_objects_sort(objects, *count);
	return (struct lb_service **)objects; /* the object is the first member */
}

/* Step from one set to the next: `next` was made from *set. */
static bool
step(struct msh_set **set, struct msh_set *next)
{
	msh_set_unref(*set);
	*set = next;
	return next != NULL;
}

int
lb_cancel(const void *instance, const struct rte_ether_addr *mac, const void **result)
{
	const struct lb *old = instance;
	struct msh_set *set = NULL;
	struct lb_service **services;
	size_t count, removed = 0;

	*result = old;
	if (old == NULL)
		return -ENOENT;
	services = lb_services(old, &count);
	if (services == NULL)
		return -ENOMEM;
	msh_set_ref(set = old->services);
	for (size_t i = 0; i < count && set != NULL; i++)
		if (rte_is_same_ether_addr(&services[i]->redirect.vip_mac, mac)) {
			step(&set, msh_set_remove(set, &services[i]->object));
			removed++;
		}
	free(services);
	if (removed == 0 || removed == count) {
		msh_set_unref(set);
		*result = removed == 0 ? old : NULL;
		return removed == 0 ? -ENOENT : 0;
	}
	const struct lb *lb = lb_with_set(old, set);
	if (lb == NULL)
		return -ENOMEM;
	*result = lb;
	return 0;
}

/* The set with this service replaced by one that has the MAC. */
static struct msh_set *
set_with_mac(struct msh_set *old, struct lb_service *service, const struct rte_ether_addr *mac)
{
	struct lb_service like = *service;
	struct msh_set *set = msh_set_remove(old, &service->object);

	like.redirect.backend_mac = *mac;
	like.known = true;
	struct lb_service *moved = set != NULL ? service_new(&like) : NULL;
	if (moved == NULL) {
		msh_set_unref(set);
		return NULL;
	}
	step(&set, msh_set_add(set, &moved->object));
	msh_object_unref(&moved->object);
	return set;
}

int
lb_resolved(
	const void *instance, rte_be32_t ip, const struct rte_ether_addr *mac, const void **result)
{
	const struct lb *old = instance;
	struct msh_set *set;
	struct lb_service **services;
	bool changed = false;
	size_t count;

	*result = old;
	if (!rte_is_valid_assigned_ether_addr(mac)) /* RFC 1812 3.3.2: not to be believed */
		return 0;
	services = lb_services(old, &count);
	if (services == NULL)
		return -ENOMEM;
	msh_set_ref(set = old->services);
	for (size_t i = 0; i < count && set != NULL; i++) {
		const struct msh_redirect *r = &services[i]->redirect;
		if (r->backend != ip ||
			(services[i]->known && rte_is_same_ether_addr(&r->backend_mac, mac)))
			continue;
		changed = true;
		step(&set, set_with_mac(set, services[i], mac));
	}
	free(services);
	if (!changed) {
		msh_set_unref(set);
		return 0;
	}
	const struct lb *lb = lb_with_set(old, set);
	if (lb == NULL)
		return -ENOMEM;
	*result = lb;
	return 0;
}

void
lb_destroy(const void *instance)
{
	struct lb *lb = (struct lb *)(uintptr_t)instance;

	msh_set_unref(lb->services);
	free(lb);
}
