/* SPDX-License-Identifier: BSD-3-Clause */

/* msh-sample [SECONDS]: one line of JSON about this guest every SECONDS (1), counters since boot:
 * CPU time in ticks (/proc/stat), interrupts in all and of each virtio queue, packets in and out of
 * each interface. One process that stays: a shell loop would cost more CPU than what it measures.
 */

#include <inttypes.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char text[1 << 16];

static char *
slurp(const char *path)
{
	FILE *stream = fopen(path, "re");
	size_t length = 0;

	if (stream != NULL) {
		length = fread(text, 1, sizeof(text) - 1, stream);
		fclose(stream);
	}
	text[length] = '\0';
	return text;
}

/* Sum of the numbers that a line starts with: one for each CPU. *end is left behind them. */
static uint64_t
sum(char *line, char **end)
{
	uint64_t total = 0;

	for (;;) {
		char *at = line + strspn(line, " ");
		uint64_t value = strtoull(at, end, 10);

		if (*end == at)
			return total;
		total += value;
		line = *end;
	}
}

static void
print_stat(void)
{
	static const char *const names[] = {
		"user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"};
	char *at = slurp("/proc/stat") + strlen("cpu");
	const char *line;

	printf("\"cpu\":{");
	for (int i = 0; i < 8; i++)
		printf("%s\"%s\":%llu", i ? "," : "", names[i], strtoull(at, &at, 10));
	line = strstr(text, "\nintr ");
	printf("},\"interrupts\":%llu", line ? strtoull(line + 6, NULL, 10) : 0);
	line = strstr(text, "\nctxt ");
	printf(",\"switches\":%llu", line ? strtoull(line + 6, NULL, 10) : 0);
}

static void
print_softirqs(void)
{
	bool first = true;
	char *rest = slurp("/proc/softirqs"), *line, *end;

	printf(",\"softirqs\":{");
	while ((line = strsep(&rest, "\n")) != NULL) {
		line += strspn(line, " ");
		if (strncmp(line, "NET_", 4) != 0)
			continue;
		printf("%s\"%.6s\":%" PRIu64, first ? "" : ",", line, sum(line + 7, &end));
		first = false;
	}
	printf("}");
}

static void
print_interrupts(void)
{
	bool first = true;
	char *rest = slurp("/proc/interrupts"), *line, *end, *name;

	printf(",\"irq\":{");
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *colon = strchr(line, ':');
		uint64_t count;

		name = strstr(line, "virtio");
		if (colon == NULL || name == NULL)
			continue;
		count = sum(colon + 1, &end);
		printf("%s\"%s\":%" PRIu64, first ? "" : ",", name, count);
		first = false;
	}
	printf("}");
}

static void
print_interface(const char *name, char *counters)
{
	uint64_t values[12] = {0};
	char path[96], target[256] = "";
	ssize_t length;

	for (int i = 0; i < 12; i++)
		values[i] = strtoull(counters, &counters, 10);
	/* Under which name the interface's queues stand in "irq". */
	snprintf(path, sizeof(path), "/sys/class/net/%.32s/device", name);
	length = readlink(path, target, sizeof(target) - 1);
	printf("\"%s\":{\"device\":\"%s\"", name, length > 0 ? basename(target) : "");
	printf(",\"rx_bytes\":%" PRIu64 ",\"rx_packets\":%" PRIu64 ",\"rx_dropped\":%" PRIu64,
		values[0], values[1], values[3]);
	printf(",\"tx_bytes\":%" PRIu64 ",\"tx_packets\":%" PRIu64 ",\"tx_dropped\":%" PRIu64 "}",
		values[8], values[9], values[11]);
}

static void
print_net(void)
{
	bool first = true;
	char *rest = slurp("/proc/net/dev"), *line;

	printf(",\"net\":{");
	while ((line = strsep(&rest, "\n")) != NULL) {
		char *colon = strchr(line, ':');

		if (colon == NULL)
			continue;
		*colon = '\0';
		printf("%s", first ? "" : ",");
		print_interface(line + strspn(line, " "), colon + 1);
		first = false;
	}
	printf("}");
}

static bool
print_sample(const struct timespec *at)
{
	printf("{\"time\":%lld.%03ld,", (long long)at->tv_sec, at->tv_nsec / 1000000);
	print_stat();
	print_softirqs();
	print_interrupts();
	print_net();
	printf("}\n");
	return fflush(stdout) == 0;
}

int
main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 1;
	struct timespec at;

	if (argc > 2 || !(seconds >= 0.01 && seconds <= 86400)) {
		fprintf(stderr, "usage: msh-sample [SECONDS]: 0.01 to 86400\n");
		return 2;
	}
	clock_gettime(CLOCK_MONOTONIC, &at);
	while (print_sample(&at)) {
		/* From the start, not from now: samples do not drift. */
		at.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
		at.tv_sec += (time_t)seconds + at.tv_nsec / 1000000000;
		at.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	}
	return 1;
}
