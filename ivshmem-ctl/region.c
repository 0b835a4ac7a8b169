/* SPDX-License-Identifier: BSD-3-Clause */

/* A region: its file, its mapping, and the turn of slot and ring.
 *
 * Whoever may write the file may also truncate it, and then every access behind the new end raises
 * SIGBUS. The handler puts anonymous zero pages in place of the whole region and marks it broken;
 * the access is repeated, reads zeros, and poll tells its caller once it is through. Not
 * siglongjmp: that would leave ring and slot half changed at any instruction, and a saved signal
 * mask costs a system call a poll. The whole region, not only the rest of it from the faulting page
 * on: one fault is then enough, and it is right with huge pages, too. What is lost is of no use to
 * anyone.
 *
 * Control lcore only, but for the handler, which any thread may enter with a fault that is not
 * ours. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bounds.h"
#include "region.h"
#include "region_map.h"
#include "region_ring.h"
#include "region_slot.h"

struct msh_region {
	struct msh_map *map;
	struct msh_region_counters counters;
	struct msh_slot slot;
	struct msh_ring ring;
	bool answer_due; /* poll gave a command that is not answered yet */
	bool made;       /* the file is ours to remove */
	char path[];
};

/* All mappings, for the handler: static, so that it never follows a pointer into freed memory. The
 * control lcore writes. */
static struct msh_map maps[MSH_VMS_MAX];
static struct sigaction previous; /* action for SIGBUS before ours */

/* True: the address is in a region, which has been replaced by zeros. System calls only: a signal
 * handler's work. */
static bool
map_replace(uintptr_t address)
{
	for (size_t i = 0; i < MSH_VMS_MAX; i++) {
		uintptr_t base = __atomic_load_n(&maps[i].base, __ATOMIC_ACQUIRE);

		if (!base || address < base || address - base >= maps[i].size)
			continue;
		maps[i].broken = 1;
		return mmap((void *)base, maps[i].size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
	}
	return false;
}

static void
on_sigbus(int number, siginfo_t *info, void *context)
{
	bool fault = info->si_code > 0; /* else sent by a process, and si_addr is no address */
	int saved = errno;
	bool ours = fault && map_replace((uintptr_t)info->si_addr);

	errno = saved;
	if (ours)
		return;
	if (previous.sa_flags & SA_SIGINFO) {
		previous.sa_sigaction(number, info, context);
	} else if (previous.sa_handler == SIG_DFL || previous.sa_handler == SIG_IGN) {
		if (!fault && previous.sa_handler == SIG_IGN)
			return;
		/* The access is repeated and ends the process, with the right address in its core.
		 */
		sigaction(SIGBUS, &previous, NULL);
		if (!fault)
			raise(number);
	} else {
		previous.sa_handler(number);
	}
}

/* Once in the life of the process; whatever was there before us still gets the faults that are not
 * ours. */
static int
handler_install(void)
{
	static bool installed;
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK};

	sigemptyset(&action.sa_mask);
	if (!installed && sigaction(SIGBUS, &action, &previous))
		return -errno;
	installed = true;
	return 0;
}

/* Map the file and enter it in `maps`: 0 or the negative status of *why. */
static int
map_add(struct msh_map **map, const char *path, int fd, const struct stat *file,
	struct msh_answer *why)
{
	struct msh_map *found = NULL;
	void *base;
	int error;

	for (size_t i = 0; i < MSH_VMS_MAX; i++) {
		if (!maps[i].base)
			found = &maps[i];
		else if (maps[i].dev == file->st_dev && maps[i].ino == file->st_ino)
			return msh_answer_set(
				why, MSH_EXISTS, "%s is a region already in use", path);
	}
	if (!found)
		return msh_answer_set(why, MSH_FULL, "cannot map %s: there are %d regions already",
			path, MSH_VMS_MAX);
	error = handler_install();
	if (error)
		return msh_answer_set(why, MSH_FAILED, "cannot map %s: no handler for SIGBUS: %s",
			path, strerror(-error));
	base = mmap(NULL, (size_t)file->st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (base == MAP_FAILED)
		return msh_answer_set(why, MSH_FAILED, "cannot map %jd bytes of %s: %s",
			(intmax_t)file->st_size, path, strerror(errno));
	found->size = (size_t)file->st_size;
	found->dev = file->st_dev;
	found->ino = file->st_ino;
	found->broken = 0;
	__atomic_store_n(&found->base, (uintptr_t)base, __ATOMIC_RELEASE);
	*map = found;
	return 0;
}

static void
map_remove(struct msh_map *map)
{
	void *base = (void *)map->base;

	__atomic_store_n(&map->base, 0, __ATOMIC_RELEASE);
	munmap(base, map->size);
}

static int
size_check(const char *path, uint64_t size, struct msh_answer *why)
{
	if (size >= MSH_WIRE_SIZE_MIN && size <= MSH_WIRE_SIZE_MAX && !(size & (size - 1)))
		return 0;
	return msh_answer_set(why, MSH_BAD,
		"size %" PRIu64 " of region %s is not a power of two from %u to %u", size, path,
		MSH_WIRE_SIZE_MIN, MSH_WIRE_SIZE_MAX);
}

/* Open the file, or make it: a descriptor, or the negative status of *why. */
static int
file_open(const char *path, const struct msh_region_options *options, bool *made,
	struct msh_answer *why)
{
	mode_t mode = options->mode ? options->mode : 0600;
	int flags = O_RDWR | O_NOFOLLOW | O_CLOEXEC;
	int fd = open(path, flags | O_CREAT | O_EXCL, 0600);
	const char *what = "make";

	*made = fd >= 0;
	if (!*made && errno == EEXIST) {
		what = "open";
		/* O_NONBLOCK: a device that somebody put there must not hold us up. */
		fd = open(path, flags | O_NONBLOCK | O_NOCTTY);
		if (fd < 0 && errno == ELOOP)
			return msh_answer_set(
				why, MSH_BAD, "region %s is a symbolic link, not a file", path);
	}
	if (fd < 0)
		return msh_answer_set(
			why, MSH_FAILED, "cannot %s region %s: %s", what, path, strerror(errno));
	if (!*made)
		return fd;
	if ((options->uid != (uid_t)-1 || options->gid != (gid_t)-1) &&
		fchown(fd, options->uid, options->gid))
		msh_answer_set(why, MSH_FAILED, "cannot give region %s to owner %d:%d: %s", path,
			(int)options->uid, (int)options->gid, strerror(errno));
	/* Not by open: umask is for others. After chown: never open to the wrong group. */
	else if (fchmod(fd, mode))
		msh_answer_set(why, MSH_FAILED, "cannot give region %s the mode %04o: %s", path,
			(unsigned int)mode, strerror(errno));
	else
		return fd;
	unlink(path);
	close(fd);
	return -MSH_FAILED;
}

/* Check the file's size, or give an empty one the wanted size. *file: what it is then. */
static int
file_size(int fd, const char *path, uint64_t wanted, struct stat *file, struct msh_answer *why)
{
	if (fstat(fd, file))
		return msh_answer_set(
			why, MSH_FAILED, "cannot examine region %s: %s", path, strerror(errno));
	if (!S_ISREG(file->st_mode))
		return msh_answer_set(why, MSH_BAD, "region %s is not a regular file", path);
	if (!file->st_size) {
		file->st_size = (off_t)(wanted ? wanted : MSH_WIRE_SIZE_DEFAULT);
		if (ftruncate(fd, file->st_size))
			return msh_answer_set(why, MSH_FAILED,
				"cannot give region %s the size %jd: %s", path,
				(intmax_t)file->st_size, strerror(errno));
	} else if (wanted && (uint64_t)file->st_size != wanted) {
		return msh_answer_set(why, MSH_BAD,
			"region %s has %jd bytes, not the %" PRIu64 " asked for", path,
			(intmax_t)file->st_size, wanted);
	} else if (size_check(path, (uint64_t)file->st_size, why)) {
		return -(int)why->status;
	}
	/* A full file system would else raise SIGBUS at the first touch of a page, here or in QEMU.
	 */
	if (fallocate(fd, 0, 0, file->st_size) && errno != EOPNOTSUPP)
		return msh_answer_set(why, MSH_FAILED,
			"no space for the %jd bytes of region %s: %s", (intmax_t)file->st_size,
			path, strerror(errno));
	return 0;
}

/* Begin a session: indices at zero, then the header, its magic last. A command in the slot stays
 * and is served. */
static int
session_begin(struct msh_region *region, struct msh_answer *why)
{
	struct msh_map *map = region->map;
	const size_t magic = MSH_WIRE_HEADER_OFFSET + offsetof(struct msh_wire_header, magic);
	struct msh_wire_header header = {.abi = MSH_WIRE_ABI,
		.header_size = sizeof(header),
		.features = MSH_WIRE_F_TEXT | MSH_WIRE_F_RING | MSH_WIRE_F_EVENTS,
		.command_max = MSH_WIRE_COMMAND_MAX,
		.answer_max = MSH_WIRE_ANSWER_MAX};

	while (!header.session)
		if (getrandom(&header.session, sizeof(header.session), 0) != sizeof(header.session))
			return msh_answer_set(why, MSH_FAILED,
				"no random session for region %s: %s", region->path,
				strerror(errno));
	msh_map_store32(map, magic, 0); /* a guest that looks now must wait */
	msh_ring_init(&region->ring, map, &region->counters);
	region->slot.map = map;
	region->slot.counters = &region->counters;
	header.region_size = (uint32_t)map->size;
	header.command_offset = region->ring.command_offset;
	header.command_size = region->ring.command_size;
	header.event_offset = region->ring.event_offset;
	header.event_size = region->ring.event_size;
	/* Its magic is zero here: copied like the rest, and stored below. */
	msh_map_copy_out(map, MSH_WIRE_HEADER_OFFSET, &header, sizeof(header));
	msh_map_store32(map, magic, MSH_WIRE_MAGIC);
	if (map->broken)
		return msh_answer_set(why, MSH_FAILED,
			"region %s was truncated while it was attached", region->path);
	return 0;
}

int
msh_region_open(struct msh_region **result, const char *path,
	const struct msh_region_options *options, struct msh_answer *why)
{
	struct msh_region *region;
	struct stat file;
	int fd;

	/* Before the file is made. */
	if (options->size && size_check(path, options->size, why))
		return -(int)why->status;
	region = calloc(1, sizeof(*region) + strlen(path) + 1);
	if (!region)
		return msh_answer_set(why, MSH_FAILED, "no memory for region %s", path);
	strcpy(region->path, path);
	fd = file_open(path, options, &region->made, why);
	if (fd < 0)
		goto fail;
	if (file_size(fd, path, options->size, &file, why))
		goto fail_file;
	if (map_add(&region->map, path, fd, &file, why))
		goto fail_file;
	if (session_begin(region, why))
		goto fail_map;
	close(fd);
	*result = region;
	return 0;
fail_map:
	map_remove(region->map);
fail_file:
	close(fd);
	if (region->made)
		unlink(path);
fail:
	free(region);
	return -(int)why->status;
}

void
msh_region_close(struct msh_region *region, bool remove)
{
	struct stat file;

	if (!region)
		return;
	/* Only if the name still is that of our file. */
	if (remove && region->made && !lstat(region->path, &file) &&
		file.st_dev == region->map->dev && file.st_ino == region->map->ino)
		unlink(region->path);
	map_remove(region->map);
	free(region);
}

int
msh_region_poll(struct msh_region *region, uint64_t now_ns, struct msh_region_command *command)
{
	bool taken;

	if (region->map->broken)
		return -EIO;
	/* One at a time: answers are in order by construction. */
	if (region->answer_due)
		return 0;
	/* They take turns without a count: the slot needs two looks for a command, and while it
	 * gives none the ring is served. */
	taken = msh_slot_take(&region->slot, now_ns, command);
	if (!taken)
		taken = msh_ring_take(&region->ring, command);
	/* A copy during which the file went away ends in zeros: not what the guest said. */
	if (region->map->broken)
		return -EIO;
	region->answer_due = taken;
	return taken;
}

void
msh_region_answer(struct msh_region *region, const struct msh_region_command *command,
	const struct msh_answer *answer)
{
	if (!region->answer_due)
		return;
	region->answer_due = false;
	if (command->from_ring)
		msh_ring_answer(&region->ring, command->cookie, answer);
	else
		msh_slot_answer(&region->slot, answer);
}

void
msh_region_event(struct msh_region *region, const char *text)
{
	msh_ring_event(&region->ring, text);
}

const struct msh_region_counters *
msh_region_counters(const struct msh_region *region)
{
	return &region->counters;
}

uint64_t
msh_region_size(const struct msh_region *region)
{
	return region->map->size;
}
