/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "libmsh_private.h"

int
msh_why_set(struct msh_guest_why *why, int error, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why->text, sizeof(why->text), format, arguments);
	va_end(arguments);
	return -error;
}

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ll + now.tv_nsec / 1000000;
}

struct msh_wait
msh_wait_start(int timeout_ms)
{
	return (struct msh_wait){.deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms};
}

/* Nothing interrupts us when the switch writes. It answers within microseconds when it is awake, so
 * the first looks come at once; later ones leave the CPU to others. False once the time is over. */
bool
msh_wait_more(struct msh_wait *wait)
{
	struct timespec pause = {.tv_nsec = wait->rounds < 200 ? 50000 : 1000000};

	if (wait->deadline >= 0 && now_ms() >= wait->deadline)
		return false;
	if (wait->rounds++ < 50)
		sched_yield();
	else
		nanosleep(&pause, NULL);
	return true;
}

static unsigned int
sysfs_number(const char *device, const char *file)
{
	char path[PATH_MAX + 16];
	unsigned int value = 0;
	FILE *stream;

	snprintf(path, sizeof(path), "%s/%s", device, file);
	stream = fopen(path, "re");
	if (stream == NULL)
		return 0;
	if (fscanf(stream, "%x", &value) != 1)
		value = 0;
	fclose(stream);
	return value;
}

/* A device without a driver may have its memory decoding off (hot plug): its BAR then reads as
 * ones. */
static void
device_enable(const char *device)
{
	char path[PATH_MAX + 16];
	FILE *stream;

	if (sysfs_number(device, "enable") > 0)
		return;
	snprintf(path, sizeof(path), "%s/enable", device);
	stream = fopen(path, "we");
	if (stream == NULL)
		return;
	fputs("1", stream);
	fclose(stream);
}

static int
device_find(char *path, size_t size, struct msh_guest_why *why)
{
	int rc = -ENODEV;
	glob_t found;

	if (glob("/sys/bus/pci/devices/*", 0, NULL, &found) != 0)
		return msh_why_set(why, ENODEV, "this system has no PCI devices under /sys");
	for (size_t i = 0; i < found.gl_pathc && rc != 0; i++) {
		if (sysfs_number(found.gl_pathv[i], "vendor") != MSH_WIRE_PCI_VENDOR ||
			sysfs_number(found.gl_pathv[i], "device") != MSH_WIRE_PCI_DEVICE)
			continue;
		device_enable(found.gl_pathv[i]);
		snprintf(path, size, "%s/resource%d", found.gl_pathv[i], MSH_WIRE_PCI_BAR);
		rc = 0;
	}
	globfree(&found);
	if (rc != 0)
		msh_why_set(why, ENODEV, "this machine has no ivshmem device (PCI %04x:%04x)",
			MSH_WIRE_PCI_VENDOR, MSH_WIRE_PCI_DEVICE);
	return rc;
}

static int
region_map(struct msh_guest *guest, struct msh_guest_why *why)
{
	struct stat status;
	void *base;

	guest->fd = open(guest->path, O_RDWR | O_CLOEXEC);
	if (guest->fd < 0)
		return msh_why_set(why, errno, "cannot open %s: %m", guest->path);
	if (fstat(guest->fd, &status) < 0)
		return msh_why_set(why, errno, "cannot stat %s: %m", guest->path);
	guest->size = (uint64_t)status.st_size;
	if (guest->size < MSH_WIRE_SIZE_MIN || guest->size > MSH_WIRE_SIZE_MAX)
		return msh_why_set(why, EINVAL, "%s has %llu bytes; a region has %u to %u",
			guest->path, (unsigned long long)guest->size, MSH_WIRE_SIZE_MIN,
			MSH_WIRE_SIZE_MAX);
	base = mmap(NULL, guest->size, PROT_READ | PROT_WRITE, MAP_SHARED, guest->fd, 0);
	if (base == MAP_FAILED)
		return msh_why_set(why, errno, "cannot map %s: %m", guest->path);
	guest->base = base;
	return 0;
}

int
msh_guest_open(struct msh_guest **guest, const char *path, struct msh_guest_why *why)
{
	struct msh_guest *new = calloc(1, sizeof(*new));
	int rc = 0;

	*guest = NULL;
	if (new == NULL)
		return msh_why_set(why, ENOMEM, "out of memory");
	new->fd = -1;
	if (path == NULL)
		rc = device_find(new->path, sizeof(new->path), why);
	else
		snprintf(new->path, sizeof(new->path), "%s", path);
	if (rc == 0)
		rc = region_map(new, why);
	if (rc < 0) {
		msh_guest_close(new);
		return rc;
	}
	*guest = new;
	return 0;
}

void
msh_guest_close(struct msh_guest *guest)
{
	if (guest == NULL)
		return;
	if (guest->base != NULL)
		munmap(guest->base, guest->size);
	if (guest->fd >= 0)
		close(guest->fd); /* and the locks with it */
	free(guest);
}

const char *
msh_guest_path(const struct msh_guest *guest)
{
	return guest->path;
}

uint64_t
msh_guest_size(const struct msh_guest *guest)
{
	return guest->size;
}

const char *
msh_guest_status_word(unsigned int status)
{
	static const char *const words[] = {
#define X(number, name, text) [number] = #name,
		MSH_STATUS_LIST(X)
#undef X
	};

	return status < sizeof(words) / sizeof(words[0]) ? words[status] : NULL;
}

uint64_t
msh_guest_cookie(void)
{
	uint32_t high = 0;

	/* An early boot without entropy: the clock tells processes apart well enough. */
	if (getrandom(&high, sizeof(high), GRND_NONBLOCK) != sizeof(high))
		high = (uint32_t)now_ms() ^ (uint32_t)getpid() << 16;
	return ((uint64_t)high << 32) + 1;
}

/* Two reads that agree on the magic and the session enclose a header that was whole. */
static bool
header_copy(const struct msh_guest *guest, struct msh_wire_header *header)
{
	const struct msh_wire_header *raw = msh_header_raw(guest);
	uint64_t session;

	header->magic = msh_load32(&raw->magic);
	session = __atomic_load_n(&raw->session, __ATOMIC_ACQUIRE);
	header->abi = le16toh(raw->abi);
	header->header_size = le16toh(raw->header_size);
	header->features = le64toh(raw->features);
	header->region_size = msh_load32(&raw->region_size);
	header->command_offset = msh_load32(&raw->command_offset);
	header->command_size = msh_load32(&raw->command_size);
	header->event_offset = msh_load32(&raw->event_offset);
	header->event_size = msh_load32(&raw->event_size);
	header->command_max = msh_load32(&raw->command_max);
	header->answer_max = msh_load32(&raw->answer_max);
	header->session = le64toh(session);
	return header->magic == msh_load32(&raw->magic) &&
	       session == __atomic_load_n(&raw->session, __ATOMIC_ACQUIRE);
}

static bool
ring_plausible(const struct msh_guest *guest, uint64_t offset, uint64_t size, uint64_t text_max)
{
	uint64_t first = MSH_WIRE_INDEX_OFFSET + sizeof(struct msh_wire_index);

	return size >= 64 && (size & (size - 1)) == 0 && offset >= first && offset % 8 == 0 &&
	       offset + size <= guest->size && text_max > 0 &&
	       text_max + 8 + sizeof(struct msh_wire_record) <= size;
}

static int
header_check(const struct msh_guest *guest, const struct msh_wire_header *header,
	struct msh_guest_why *why)
{
	if (header->magic != MSH_WIRE_MAGIC)
		return msh_why_set(why, ENOTCONN,
			"no switch serves this region: its magic is 0x%08x, not 0x%08x",
			header->magic, MSH_WIRE_MAGIC);
	if (header->abi != MSH_WIRE_ABI)
		return msh_why_set(why, EPROTO,
			"the switch speaks ABI %u of the region, this program %u", header->abi,
			MSH_WIRE_ABI);
	if (header->header_size < sizeof(*header))
		return msh_why_set(why, EPROTO,
			"the region's header is broken: it has %u bytes, not %zu",
			header->header_size, sizeof(*header));
	if (header->region_size > guest->size)
		return msh_why_set(why, EPROTO,
			"the region's header is broken: region size %u, but %llu bytes are mapped",
			header->region_size, (unsigned long long)guest->size);
	if ((header->features & MSH_WIRE_F_RING) == 0)
		return 0;
	if (!ring_plausible(
		    guest, header->command_offset, header->command_size, header->command_max))
		return msh_why_set(why, EPROTO,
			"the region's header is broken: command ring at %u, %u bytes, texts to %u",
			header->command_offset, header->command_size, header->command_max);
	if (!ring_plausible(guest, header->event_offset, header->event_size, header->answer_max))
		return msh_why_set(why, EPROTO,
			"the region's header is broken: event ring at %u, %u bytes, texts to %u",
			header->event_offset, header->event_size, header->answer_max);
	return 0;
}

int
msh_guest_header(
	const struct msh_guest *guest, struct msh_wire_header *header, struct msh_guest_why *why)
{
	for (int attempt = 0; attempt < 100; attempt++) {
		if (header_copy(guest, header))
			return header_check(guest, header, why);
	}
	return msh_why_set(why, EPROTO, "the region's header changes all the time");
}

int
msh_way_lock(
	struct msh_guest *guest, enum msh_way way, struct msh_wait *wait, struct msh_guest_why *why)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = (off_t)way, .l_len = 1};

	while (fcntl(guest->fd, F_OFD_SETLK, &lock) < 0) {
		if (errno != EAGAIN && errno != EACCES && errno != EINTR)
			return msh_why_set(why, errno, "cannot lock %s: %m", guest->path);
		if (!msh_wait_more(wait))
			return msh_why_set(why, EBUSY, "another process of this guest uses the %s",
				way == MSH_WAY_SLOT ? "text slot" : "rings");
	}
	return 0;
}

void
msh_way_unlock(struct msh_guest *guest, enum msh_way way)
{
	struct flock lock = {.l_type = F_UNLCK, .l_start = (off_t)way, .l_len = 1};

	fcntl(guest->fd, F_OFD_SETLK, &lock);
}
