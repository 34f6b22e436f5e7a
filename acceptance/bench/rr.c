// SPDX-License-Identifier: Apache-2.0
// Measures TCP between two namespaces: request/response on one connection (rr), a new connection
// for each (crr), or how fast one stream of bytes arrives (bulk).
//
//   rr server ADDRESS PORT                           answers until killed
//   rr sink ADDRESS PORT                             swallows bulk until killed
//   rr client ADDRESS PORT rr|crr|bulk MILLISECONDS  prints
//   {"transactions":…,"seconds":…,"p50_us":…,"p99_us":…} or {"bytes":…,"seconds":…}
//
// Servers say "ready" when they listen. Exit status 1 with a sentence on stderr when the peer
// cannot be reached or falls silent for 2 s.

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// Times are kept in a histogram of 50 ns steps up to 20 ms, the last bucket holding all that took
// longer.
#define STEP_NS 50
#define BUCKETS 400000

#define CHUNK (128 << 10)

static uint32_t histogram[BUCKETS];

static void die(const char *what)
{
	fprintf(stderr, "rr: cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static struct addrinfo *resolve(const char *address, const char *port)
{
	struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	int failed = getaddrinfo(address, port, &hints, &found);

	if (failed) {
		fprintf(stderr, "rr: %s port %s: %s\n", address, port, gai_strerror(failed));
		exit(1);
	}
	return found;
}

static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

// The machine's default may pace by its own estimate of the path, which is not what is measured.
static void use_reno(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno"));
}

static int dial(const struct addrinfo *to)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};
	struct timeval limit = {.tv_sec = 2};
	int fd = socket(to->ai_family, SOCK_STREAM, 0);

	if (fd < 0)
		die("open a socket");
	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	// Closed by reset: thousands of connections a second would use up the ports in TIME_WAIT.
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	use_reno(fd);
	if (connect(fd, to->ai_addr, to->ai_addrlen))
		die("connect");
	return fd;
}

static void transact(int fd)
{
	char byte = 'x';

	if (write(fd, &byte, 1) != 1)
		die("send a request");
	if (read(fd, &byte, 1) != 1)
		die("receive a response");
}

static void record(uint64_t ns)
{
	uint64_t bucket = ns / STEP_NS;

	histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static double percentile(uint64_t transactions, double share)
{
	uint64_t wanted = transactions * share, seen = 0;
	int bucket = 0;

	while (bucket < BUCKETS - 1 && (seen += histogram[bucket]) <= wanted)
		bucket++;
	return bucket * STEP_NS / 1000.0;
}

static void client(const struct addrinfo *to, int renew, uint64_t duration_ns)
{
	uint64_t start = now_ns(), before = start, transactions = 0;
	int fd = renew ? -1 : dial(to);

	while (before - start < duration_ns) {
		uint64_t after;

		if (renew)
			fd = dial(to);
		transact(fd);
		if (renew)
			close(fd);
		after = now_ns();
		record(after - before);
		before = after;
		transactions++;
	}
	printf("{\"transactions\":%llu,\"seconds\":%.6f,\"p50_us\":%.2f,\"p99_us\":%.2f}\n",
	       (unsigned long long)transactions, (before - start) / 1e9,
	       percentile(transactions, 0.5), percentile(transactions, 0.99));
}

// The clock stops when the sink has read everything and closes.
static void stream(const struct addrinfo *to, uint64_t duration_ns)
{
	static char chunk[CHUNK];
	uint64_t start, bytes = 0;
	int fd = dial(to);

	start = now_ns();
	while (now_ns() - start < duration_ns) {
		ssize_t sent = write(fd, chunk, sizeof(chunk));

		if (sent < 0)
			die("send");
		bytes += sent;
	}
	shutdown(fd, SHUT_WR);
	if (read(fd, chunk, 1) != 0)
		die("hear that all has arrived");
	printf("{\"bytes\":%llu,\"seconds\":%.6f}\n", (unsigned long long)bytes,
	       (now_ns() - start) / 1e9);
}

static void answer(int fd)
{
	char byte;

	while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1)
		;
}

static void swallow(int fd)
{
	static char chunk[CHUNK];

	while (read(fd, chunk, sizeof(chunk)) > 0)
		;
}

// Serves one connection after the other: a poll per request would dilute what is measured.
static void serve(const struct addrinfo *on, void (*connection)(int fd))
{
	int listener = socket(on->ai_family, SOCK_STREAM, 0);

	if (listener < 0)
		die("open a socket");
	set(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	use_reno(listener); // and so do the connections that it accepts
	if (bind(listener, on->ai_addr, on->ai_addrlen) || listen(listener, 128))
		die("listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		int fd = accept(listener, NULL, NULL);

		if (fd < 0)
			continue;
		set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
		connection(fd);
		close(fd);
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "server"))
		serve(resolve(argv[2], argv[3]), answer);
	if (argc == 4 && !strcmp(argv[1], "sink"))
		serve(resolve(argv[2], argv[3]), swallow);
	if (argc == 6 && !strcmp(argv[1], "client")) {
		const struct addrinfo *to = resolve(argv[2], argv[3]);
		uint64_t duration_ns = strtoull(argv[5], NULL, 10) * 1000000ULL;

		if (!strcmp(argv[4], "bulk"))
			stream(to, duration_ns);
		else
			client(to, !strcmp(argv[4], "crr"), duration_ns);
		return 0;
	}
	fprintf(stderr, "usage: rr server|sink ADDRESS PORT | "
			"rr client ADDRESS PORT rr|crr|bulk MILLISECONDS\n");
	return 1;
}
