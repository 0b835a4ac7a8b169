/* SPDX-License-Identifier: BSD-3-Clause */
#include "cowset.h"

#include <stdlib.h>

/* With a secret hash pages fill evenly. So many pages for so few objects mean that something else
 * is wrong: give up before that takes all memory. */
static uint32_t
pages_max(uint32_t objects)
{
	return 16 + objects;
}

void
msh_object_ref(struct msh_object *object)
{
	object->refs++;
}

void
msh_object_unref(struct msh_object *object)
{
	if (object != NULL && --object->refs == 0)
		object->release(object);
}

static bool
page_insert(struct msh_page *page, struct msh_object *object)
{
	uint32_t i = object->hash % MSH_PAGE_SLOTS;

	if (page->count >= MSH_PAGE_OBJECTS)
		return false;
	while (page->tag[i] != 0)
		i = (i + 1) % MSH_PAGE_SLOTS;
	page->tag[i] = object->hash;
	page->slot[i] = object;
	page->count++;
	msh_object_ref(object);
	return true;
}

static void
page_unref(struct msh_page *page)
{
	if (page == NULL || --page->refs != 0)
		return;
	for (uint32_t i = 0; i < MSH_PAGE_SLOTS; i++)
		msh_object_unref(page->slot[i]);
	free(page);
}

static struct msh_page *
page_new(void)
{
	struct msh_page *page = calloc(1, sizeof(*page));

	if (page != NULL)
		page->refs = 1;
	return page;
}

static struct msh_page *
page_copy_without(const struct msh_page *old, const struct msh_object *skip)
{
	struct msh_page *page = page_new();

	if (page == NULL)
		return NULL;
	for (uint32_t i = 0; i < MSH_PAGE_SLOTS; i++)
		if (old->slot[i] != NULL && old->slot[i] != skip)
			page_insert(page, old->slot[i]);
	return page;
}

void
msh_set_ref(struct msh_set *set)
{
	if (set != NULL)
		set->refs++;
}

void
msh_set_unref(struct msh_set *set)
{
	if (set == NULL || --set->refs != 0)
		return;
	for (uint32_t i = 0; i < set->pages; i++)
		page_unref(set->page[i]);
	free(set);
}

/* Its pages are still NULL. */
static struct msh_set *
set_new(uint32_t pages)
{
	struct msh_set *set = calloc(1, sizeof(*set) + pages * sizeof(set->page[0]));

	if (set != NULL) {
		set->refs = 1;
		set->pages = pages;
	}
	return set;
}

static uint32_t
page_of(const struct msh_set *set, const struct msh_object *object)
{
	return object->hash / MSH_PAGE_SLOTS & (set->pages - 1);
}

static bool
set_insert(struct msh_set *set, struct msh_object *object)
{
	if (!page_insert(set->page[page_of(set, object)], object))
		return false;
	set->count++;
	return true;
}

/* Put all objects of old and one more into a new set of so many pages. Sets *full when a page did
 * not hold them. */
static struct msh_set *
set_spread(const struct msh_set *old, struct msh_object *extra, uint32_t pages, bool *full)
{
	struct msh_set *set = set_new(pages);
	uint32_t at = 0;

	*full = false;
	if (set == NULL)
		return NULL;
	for (uint32_t i = 0; i < pages; i++)
		if ((set->page[i] = page_new()) == NULL)
			goto fail;
	for (struct msh_object *o; (o = msh_set_next(old, &at)) != NULL;)
		if (!set_insert(set, o))
			goto full;
	if (set_insert(set, extra))
		return set;
full:
	*full = true;
fail:
	msh_set_unref(set);
	return NULL;
}

/* old with one page replaced. Takes the page over. */
static struct msh_set *
set_with_page(const struct msh_set *old, uint32_t at, struct msh_page *page)
{
	struct msh_set *set = page != NULL ? set_new(old->pages) : NULL;

	if (set == NULL) {
		page_unref(page);
		return NULL;
	}
	for (uint32_t i = 0; i < old->pages; i++) {
		set->page[i] = i == at ? page : old->page[i];
		if (i != at)
			set->page[i]->refs++;
	}
	set->count = old->count - old->page[at]->count + page->count;
	return set;
}

struct msh_set *
msh_set_add(const struct msh_set *old, struct msh_object *object)
{
	uint32_t at = old != NULL ? page_of(old, object) : 0;

	if (old != NULL && old->page[at]->count < MSH_PAGE_OBJECTS) {
		struct msh_page *page = page_copy_without(old->page[at], NULL);
		if (page != NULL)
			page_insert(page, object);
		return set_with_page(old, at, page);
	}
	bool full = true;
	struct msh_set *set = NULL;
	uint32_t pages = old != NULL ? old->pages * 2 : 1;
	for (; full && pages <= pages_max(old != NULL ? old->count : 0); pages *= 2)
		set = set_spread(old, object, pages, &full);
	return set;
}

struct msh_set *
msh_set_remove(const struct msh_set *old, const struct msh_object *object)
{
	uint32_t at = page_of(old, object);

	return set_with_page(old, at, page_copy_without(old->page[at], object));
}

struct msh_object *
msh_set_next(const struct msh_set *set, uint32_t *at)
{
	while (set != NULL && *at < set->pages * MSH_PAGE_SLOTS) {
		struct msh_object *object =
			set->page[*at / MSH_PAGE_SLOTS]->slot[*at % MSH_PAGE_SLOTS];
		++*at;
		if (object != NULL)
			return object;
	}
	return NULL;
}

size_t
msh_set_collect(const struct msh_set *set, struct msh_object **to)
{
	size_t count = 0;
	uint32_t at = 0;

	for (struct msh_object *o; (o = msh_set_next(set, &at)) != NULL; count++)
		to[count] = o;
	return count;
}

static int
by_order(const void *a, const void *b)
{
	const struct msh_object *const *x = a, *const *y = b;

	return ((*x)->order > (*y)->order) - ((*x)->order < (*y)->order);
}

void
msh_objects_sort(struct msh_object **objects, size_t count)
{
	qsort(objects, count, sizeof(*objects), by_order);
}
