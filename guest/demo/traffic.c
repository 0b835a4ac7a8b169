/* SPDX-License-Identifier: BSD-3-Clause */

/* The demo's client. Prints its counters since the start as JSON, twice a second, as msh-sample
 * does. traffic flood PPS TO FROM:PORT...     UDP to PORT of TO in turn from each FROM, PPS packets
 * a second traffic get RATE URL-PATH TO FROM...  GET from TO, in turn from each FROM, one after the
 * other, at most RATE a second. A request counts when all of its body came. */

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ull
#define REPORT_NS (NS / 2)
#define TICK_NS (NS / 500)

static uint64_t
now_ns(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (uint64_t)at.tv_sec * NS + (uint64_t)at.tv_nsec;
}

static void
sleep_until(uint64_t ns)
{
	struct timespec at = {(time_t)(ns / NS), (long)(ns % NS)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static struct sockaddr_in
address(const char *ip, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (inet_pton(AF_INET, ip, &a.sin_addr) != 1)
		errx(2, "%s is not an IPv4 address", ip);
	return a;
}

static int
open_socket(int type, const char *from)
{
	struct sockaddr_in a = address(from, 0);
	int fd = socket(AF_INET, type, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		err(1, "socket from %s", from);
	return fd;
}

static void
flood(double pps, const char *to, int count, char **from)
{
	uint64_t start = now_ns(), report = start, sent = 0;
	int fds[16];

	if (count > 16)
		errx(2, "at most 16 sources");
	for (int i = 0; i < count; i++) {
		char *colon = strchr(from[i], ':');
		struct sockaddr_in a;

		if (colon == NULL)
			errx(2, "%s is not FROM:PORT", from[i]);
		*colon = '\0';
		a = address(to, atoi(colon + 1));
		fds[i] = open_socket(SOCK_DGRAM, from[i]);
		if (connect(fds[i], (struct sockaddr *)&a, sizeof(a)) < 0)
			err(1, "connect to %s", to);
	}
	for (uint64_t tick = start;; tick += TICK_NS) {
		/* Against the clock, not by the tick: a guest that had to wait for its CPU catches
		 * up. */
		uint64_t due = (uint64_t)(pps * (double)(now_ns() - start) / NS);

		for (int batch = 0; sent < due && batch < 1000; batch++, sent++)
			if (send(fds[sent % (uint64_t)count], "let me in", 9, 0) < 0 &&
				errno == ENOBUFS)
				break;
		if (now_ns() >= report) {
			printf("{\"time\":%.3f,\"sent\":%ju}\n", (double)now_ns() / NS,
				(uintmax_t)sent);
			fflush(stdout);
			report += REPORT_NS;
		}
		sleep_until(tick);
	}
}

/* Bytes of the whole body, or negative. */
static ssize_t
get_one(const char *from, const char *to, const char *request)
{
	static char text[1 << 16];
	struct sockaddr_in a = address(to, 80);
	struct timeval patience = {10, 0};
	int on = 1;
	int fd = open_socket(SOCK_STREAM, from);
	size_t total = 0, want = 0;
	char *body = NULL;

	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); /* connect() too */
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
		send(fd, request, strlen(request), MSG_NOSIGNAL) > 0) {
		ssize_t n;

		/* The server waits for an ACK before its last, short segment: 40 ms of nothing,
		 * otherwise. */
		do {
			setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof(on));
			n = recv(fd, text + total, sizeof(text) - 1 - total, 0);
			total += n > 0 ? (size_t)n : 0;
		} while (n > 0 && total < sizeof(text) - 1);
		text[total] = '\0';
		body = strstr(text, "\r\n\r\n");
		char *length = strstr(text, "Content-Length:");
		if (body != NULL && length != NULL && length < body &&
			strncmp(text, "HTTP/1", 6) == 0 && strncmp(text + 8, " 200", 4) == 0)
			want = strtoul(length + strlen("Content-Length:"), NULL, 10);
	}
	close(fd);
	if (want == 0 || (size_t)(text + total - (body + 4)) != want)
		return -1;
	return (ssize_t)want;
}

static void
get(double rate, const char *path, const char *to, int count, char **from)
{
	uint64_t report = now_ns(), next = report, ok = 0, failed = 0, bytes = 0, waited = 0;
	char request[256];

	snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path, to);
	for (uint64_t number = 0;; number++) {
		uint64_t begin = now_ns();
		ssize_t size = get_one(from[number % (uint64_t)count], to, request);

		if (size < 0) {
			failed++;
		} else {
			ok++;
			bytes += (uint64_t)size;
			waited += now_ns() - begin;
		}
		if (now_ns() >= report) {
			printf("{\"time\":%.3f,\"ok\":%ju,\"failed\":%ju,\"bytes\":%ju,\"waited\":%"
			       ".6f}\n",
				(double)now_ns() / NS, (uintmax_t)ok, (uintmax_t)failed,
				(uintmax_t)bytes, (double)waited / NS);
			fflush(stdout);
			report += REPORT_NS;
		}
		/* What could not be served in time is not made up for. */
		next += (uint64_t)(NS / rate);
		if (next < now_ns())
			next = now_ns();
		sleep_until(next);
	}
}

int
main(int argc, char **argv)
{
	if (argc > 4 && strcmp(argv[1], "flood") == 0)
		flood(atof(argv[2]), argv[3], argc - 4, argv + 4);
	else if (argc > 5 && strcmp(argv[1], "get") == 0)
		get(atof(argv[2]), argv[3], argv[4], argc - 5, argv + 5);
	errx(2, "usage: traffic flood PPS TO FROM:PORT... | get RATE PATH TO FROM...");
}
